"""Pairs as Parquet for sentence-transformers and the Hugging Face hub, with a data set card.

sentence-transformers goes by the order of columns: ``anchor``, ``positive``, ``negative_1`` and so on; a column named
``label`` is the label, here the pair's weight.  Where each row came from is in a table of its own, row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from lrat_sim import __version__
from lrat_sim.artifact import ensure_folder
from lrat_sim.formats.card import size_category
from lrat_sim.formats.formats import About
from lrat_sim.formats.pairs_lines import Texts
from lrat_sim.records import Pair

_TOGETHER, _SHARD = 1_000, 100_000
"""Rows of a row group, and of a file."""

_ORIGIN = {
    "question_id": ("string", "the question; rows of one must not stand in both training and test data"),
    "trajectory_id": ("string", "the run"),
    "turn": ("int64", "the search's turn in it, from 0"),
    "rank": ("int64", "the positive's rank in the search's list, from 1; 0 where it stood in an older list"),
    "rule": ("string", "the rule that made it a positive"),
    "positive_id": ("string", "the positive's id in the corpus"),
    "negative_ids": ("strings", "those of all its negatives, more than the columns hold"),
    "negative_weights": ("floats", "the weights of their terms in the loss"),
    "length": ("int64", "length of the reasoning after the document was opened"),
    "weight": ("double", "the pair's weight, of mean 1 over the mined set"),
    "canary": ("string", "the canary of a benchmark that asks not to be republished in plain text"),
}


def write(pairs: Iterable[Pair], path: Path, texts: Texts, about: About, negatives: int) -> int:
    """Writes the folder, streaming; returns the number of rows.

    Args:
        pairs: each with at least one negative.
        path: the folder.
        texts: the documents.
        about: for the card.
        negatives: columns of them; a pair with fewer repeats its own in order.
    """
    import pyarrow
    from pyarrow import parquet

    ensure_folder(path / "data")
    kinds = {
        "string": pyarrow.string(),
        "strings": pyarrow.list_(pyarrow.string()),
        "floats": pyarrow.list_(pyarrow.float64()),
        "int64": pyarrow.int64(),
        "double": pyarrow.float64(),
    }
    columns = ["anchor", "positive", *(f"negative_{number}" for number in range(1, negatives + 1))]
    schema = pyarrow.schema([*((name, pyarrow.string()) for name in columns), ("label", pyarrow.float64())])
    origin = pyarrow.schema([(name, kinds[kind]) for name, (kind, _) in _ORIGIN.items()])
    counts: Counter[str] = Counter()
    tasks: set[str] = set()
    canaries: set[str] = set()
    rows, shard = iter(pairs), 0
    group = list(islice(rows, _TOGETHER))
    while group or not shard:
        files = (path / "data" / f"{name}-{shard:05}.parquet" for name in ("pairs", "origin"))
        with (
            parquet.ParquetWriter(next(files), schema, compression="zstd") as texts_out,
            parquet.ParquetWriter(next(files), origin, compression="zstd") as origin_out,
        ):
            written = 0
            while group and written < _SHARD:
                texts_out.write_table(pyarrow.Table.from_pylist([_row(p, texts, negatives) for p in group], schema))
                origin_out.write_table(pyarrow.Table.from_pylist([_origin(pair) for pair in group], origin))
                written += len(group)
                counts["pairs"] += len(group)
                counts["repeated"] += sum(len(pair.negatives) < negatives for pair in group)
                tasks.update(pair.provenance.task for pair in group)
                canaries.update(pair.provenance.canary for pair in group if pair.provenance.canary is not None)
                group = list(islice(rows, _TOGETHER))
        shard += 1
    card = _card(about, counts, len(tasks), sorted(canaries), negatives)
    (path / "README.md").write_text(card, encoding="utf-8")
    return counts["pairs"]


def _row(pair: Pair, texts: Texts, negatives: int) -> dict[str, Any]:
    own = [texts.text(negative.docid) for negative in pair.negatives[:negatives]]
    filled = {f"negative_{number + 1}": own[number % len(own)] for number in range(negatives)}
    return {"anchor": pair.query, "positive": texts.text(pair.positive), **filled, "label": pair.weight}


def _origin(pair: Pair) -> dict[str, Any]:
    where = pair.provenance
    return {
        "question_id": where.task,
        "trajectory_id": where.trajectory,
        "turn": where.turn,
        "rank": where.rank,
        "rule": where.rule,
        "positive_id": pair.positive,
        "negative_ids": [negative.docid for negative in pair.negatives],
        "negative_weights": [negative.weight for negative in pair.negatives],
        "length": pair.length,
        "weight": pair.weight,
        "canary": where.canary,
    }


def _card(about: About, counts: Counter[str], tasks: int, canaries: list[str], negatives: int) -> str:
    head = {
        "pretty_name": about.name,
        "license": about.license,
        "language": [about.language],
        "task_categories": ["text-retrieval", "sentence-similarity"],
        "tags": ["sentence-transformers", "agent-trajectories", "search-agents", "lrat-sim"],
        "size_categories": [size_category(counts["pairs"])],
        "configs": [
            {
                "config_name": "pairs",
                "default": True,
                "data_files": [{"split": "train", "path": "data/pairs-*.parquet"}],
            },
            {"config_name": "origin", "data_files": [{"split": "train", "path": "data/origin-*.parquet"}]},
        ],
    }
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {about.name}",
        "",
        f"{counts['pairs']:,} training pairs on {tasks:,} questions, mined from what search agents opened and how "
        f"they reasoned about it. Written by lrat-sim {__version__}.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'pairs = load_dataset("PATH", split="train")',
        'origin = load_dataset("PATH", "origin", split="train")  # row by row, where each pair came from',
        "```",
        "",
        "## Fields",
        "",
        "| column | meaning |",
        "|---|---|",
        "| `anchor` | the query |",
        "| `positive` | the document that the agent opened and did not reject |",
        f"| `negative_1` to `negative_{negatives}` | documents of its result lists; {counts['repeated']:,} pairs have "
        "fewer of their own and repeat them in order |",
        "| `label` | the pair's weight, which a loss may use or ignore |",
        "",
        "In the configuration `origin`:",
        "",
        "| column | meaning |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, (_, meaning) in _ORIGIN.items()),
        "",
    ]
    if canaries:
        lines += [
            "## Benchmark data",
            "",
            "Queries of a benchmark are among these that asks not to be republished in plain text. Do not publish this "
            "data set. Its canary:",
            "",
            *(f"    {canary}" for canary in canaries),
            "",
        ]
    return "\n".join(lines)
