"""How hard the generated world is for untrained retrievers, over its dial.

Asks for single facts by their subject's true name and one of the asker's phrasings, and prints recall of the
evidence among the first 1, 5 and 10 documents, for BM25 and for untrained MiniLM.  ``right entity`` is the share of
the misses at 5 whose first hit tells of the right entity, that is, of its wrong document: what training can mend.

    python benchmarks/world_difficulty.py --documents 3000
"""

from __future__ import annotations

import random
from collections.abc import Callable

import bm25s
import numpy as np
import Stemmer
import typer
from rich.console import Console
from rich.table import Table

from lrat_sim.corpus.world import SPLITS, WorldSettings, world_documents, world_tasks
from lrat_sim.records import Document, Task
from lrat_sim.text import minilm_folder, normalise

Ranker = Callable[[list[str]], np.ndarray]
"""From queries to the rows of their ten best documents, (queries, 10)."""


def bm25(documents: list[Document]) -> Ranker:
    stemmer = Stemmer.Stemmer("english")

    def tokens(texts: list[str]) -> object:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    index = bm25s.BM25(method="lucene")
    index.index(tokens([f"{d.title} {d.text}" for d in documents]), show_progress=False)
    return lambda queries: index.retrieve(tokens(queries), k=10, show_progress=False)[0]


def minilm(documents: list[Document], model: object) -> Ranker:
    vectors = model.encode([f"{d.title} {d.text}" for d in documents], normalize_embeddings=True)

    def rank(queries: list[str]) -> np.ndarray:
        scores = model.encode(queries, normalize_embeddings=True) @ vectors.T
        return np.argsort(-scores, axis=1, kind="stable")[:, :10]

    return rank


def single_hops(
    tasks: list[Task], documents: dict[str, Document], rng: random.Random, limit: int
) -> list[tuple[str, str, set[str], str]]:
    """(query, subject, evidence, relation) of distinct hops whose subject is a name or was found by an earlier hop."""
    hops = {}
    for task in tasks:
        assert task.plan is not None
        for hop in task.plan.hops:
            subject = task.plan.hops[int(hop.subject[1:]) - 1].object if hop.subject.startswith("#") else hop.subject
            name, value = f" {normalise(subject)} ", f" {normalise(hop.object)} "
            evidence = {
                docid
                for docid in task.evidence
                if name in f" {normalise(documents[docid].title + ' ' + documents[docid].text)} "
                and value in f" {normalise(documents[docid].text)} "
            }
            query = rng.choice(hop.phrasings).replace("{subject}", subject)
            hops.setdefault((subject, hop.relation), (query, subject, evidence, hop.relation))
    chosen = sorted(hops.values())
    return rng.sample(chosen, min(limit, len(chosen)))


def main(
    documents: int = 3000, queries: int = 400, seed: int = 0, split: str = "", relations: bool = False, dial: str = ""
) -> None:
    """Print recall over difficulty; --relations shows it for each relation too; --dial asks for certain values."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm_folder()), device="cpu")
    model.max_seq_length = 128
    table = Table(title=f"single-hop recall of evidence, {documents} documents, seed {seed}")
    for column in ("difficulty", "retriever", "queries", "recall@1", "recall@5", "recall@10", "right entity"):
        table.add_column(column, justify="right")
    details: dict[str, list[float]] = {}
    for difficulty in [float(value) for value in dial.split(",")] if dial else [0, 0.25, 0.5, 0.75, 1]:
        settings = WorldSettings(documents=documents, seed=seed, difficulty=difficulty)
        texts = list(world_documents(settings))
        by_id = {document.id: document for document in texts}
        tasks = world_tasks(settings)
        wanted = [task for name in SPLITS if not split or name == split for task in tasks[name]]
        asked = single_hops(wanted, by_id, random.Random(seed), queries)
        for name, ranker in (("bm25", bm25(texts)), ("minilm", minilm(texts, model))):
            rows = ranker([query for query, _, _, _ in asked])
            ids = [[texts[row].id for row in line] for line in rows]
            recall = {
                k: [len({*line[:k]} & e[2]) / len(e[2]) for line, e in zip(ids, asked, strict=True)] for k in (1, 5, 10)
            }
            right = [
                f" {normalise(subject)} " in f" {normalise(by_id[line[0]].title + ' ' + by_id[line[0]].text)} "
                for line, (_, subject, evidence, _) in zip(ids, asked, strict=True)
                if not {*line[:5]} & evidence
            ]
            table.add_row(
                f"{difficulty:.2f}",
                name,
                str(len(asked)),
                *(f"{np.mean(recall[k]):.2f}" for k in (1, 5, 10)),
                f"{np.mean(right):.2f}",
            )
            if relations:
                for value, (_, _, _, relation) in zip(recall[5], asked, strict=True):
                    details.setdefault(f"{relation:14s} {name}", []).append(value)
    Console().print(table)
    for key, values in sorted(details.items()):
        print(f"{key:24s} {np.mean(values):.2f}  ({len(values)})")


if __name__ == "__main__":
    typer.run(main)
