"""What a model forgot: a general data set, measured before and after training."""

from __future__ import annotations

from pathlib import Path

from lrat_sim.corpus.dataset import prepare
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.metrics import retrieval_metrics
from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.retrieval.registry import open_retriever
from lrat_sim.training.folder import add_figures, read_record

METRIC = "nDCG@10"
_DEPTH = 100


def guard(
    folder: Path,
    source: Path,
    kept: Path,
    *,
    split: str = "test",
    max_length: int = 256,
    progress: ProgressCallback | None = None,
) -> tuple[float, float]:
    """Measures a trained encoder and its base on a general data set, and puts both figures on the model's card.

    Args:
        folder: of a model that lrat-sim trained.
        source: a data set in the layout of BEIR (SciFact, or any other).
        kept: a folder for the prepared documents and the vectors, by model, so that a base is measured once.
        split: whose judgements count.
        max_length: tokens that both read of a text, so that only the weights differ.
        progress: told of the documents that are encoded.

    Returns:
        nDCG@10 of the base and of the model.

    Raises:
        InputError: the folder holds no model of ours, or the data set cannot be read.
    """
    record = read_record(folder)
    if record.kind == "reranker":
        raise InputError(f"{folder} holds a reranker, and only encoders are measured on a general data set.")
    # a query in two splits is no leak here: nothing is trained on either
    dataset = prepare("beir", kept / "data", source=source, options={"leak": "drop"}, progress=progress)
    tasks = dataset.tasks(split)
    qrels = {task.id: dict.fromkeys(task.evidence, 1) for task in tasks}
    prompts = {n: record.identity[n] for n in ("query_prompt", "document_prompt") if record.identity.get(n) is not None}

    def measured(model: str) -> float:
        retriever = open_retriever(
            model_kind(model),
            dataset.corpus,
            kept / "indexes",
            progress=progress,
            model=model,
            max_length=max_length,
            **prompts,
        )
        lists = retriever.search([task.question for task in tasks], _DEPTH)
        return retrieval_metrics(dict(zip(qrels, lists, strict=True)), qrels, [METRIC])[METRIC]

    before, after = measured(record.base_model), measured(str(folder))
    name = f"{METRIC} on {source.name}"
    add_figures(folder, {f"{name} before": before, f"{name} after": after})
    return before, after
