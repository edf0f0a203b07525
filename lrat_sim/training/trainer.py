"""Trains a retriever on mined pairs (LRAT, section 5.2)."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy
import sentence_transformers
import torch
import transformers
from filelock import FileLock, Timeout

from lrat_sim import catalog
from lrat_sim.artifact import ensure_folder, replacing, write_text
from lrat_sim.cluster import current
from lrat_sim.corpus.dataset import dataset_name
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback, console
from lrat_sim.records import Pair
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.retrieval.loading import quiet
from lrat_sim.retrieval.pair_scorer import load_cross_encoder
from lrat_sim.retrieval.query_text import PLAIN
from lrat_sim.retrieval.registry import OWN_RECIPE, own_options
from lrat_sim.training.data import PairDataset
from lrat_sim.training.distributed import is_main, join, process_count, wait_for_all
from lrat_sim.training.encoders import Encoder
from lrat_sim.training.folder import (
    TrainingRecord,
    base_fingerprint,
    base_licence,
    base_name,
    claim,
    discard,
    identity,
    is_trained,
    mean_losses,
    settle,
)
from lrat_sim.training.kinds import KINDS, RETRIEVERS, Trainee, kind_of
from lrat_sim.training.loop import BEST, History, fit
from lrat_sim.training.model import check_tokenizer, load_weights, make_trainable, mix
from lrat_sim.training.precision import compute_dtype
from lrat_sim.training.settings import Kind, TrainingSettings
from lrat_sim.training.spread import train_on

_PAIRS_AT_ONCE = 256


def train(
    pairs: Iterable[Pair],
    corpus: Corpus,
    base_model: str | Path,
    settings: TrainingSettings,
    folder: Path,
    *,
    kind: Kind | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Trains an encoder, or a reranker, on pairs and writes it as a sentence-transformers model folder.

    If interrupted, rerun it: it resumes from the last checkpoint in ``<folder>.training``, to the same weights, and
    returns at once when the model is there.  The same seed gives the same weights on the same machine.

    Started by ``torchrun`` or ``accelerate launch``, or on a cluster that has GPUs or a given number of workers, all
    processes train together: ``batch_size`` is that of all of them, every document of it is a negative for every row,
    and but for rounding the result is that of one process.

    Args:
        pairs: read once, in order.
        corpus: holds every positive and negative.
        base_model: a sentence-transformers folder, a hub id, or the name of a retriever's recipe. A reranker's may be
            an encoder (``all-MiniLM-L6-v2``), which gets a new output.
        settings: the recipe; for a reranker ``train-reranker``, with ``in_batch_negatives`` off, since it scores a
            document only with the queries it was mined for.
        folder: where the model goes; must not exist, be empty, or hold this very model.
        kind: an ``encoder`` learns by :class:`lrat_sim.training.loss.WeightedInfoNCE` and loads as
            ``SentenceTransformer(path)``, a ``multivector`` one by :class:`~.loss_kinds.WeightedMaxSim` and as
            ``MultiVectorEncoder(path)``, a ``sparse`` one by :class:`~.loss_kinds.WeightedSplade` and as
            ``SparseEncoder(path)``, a ``reranker`` by :class:`lrat_sim.training.loss.WeightedListwise` and as
            ``CrossEncoder(path)``. By default what the base model is, an encoder where its files do not tell.
        progress: told (steps done, all steps, the mean loss of the last ones in words).

    Returns:
        ``folder``: weights in safetensors, ``README.md`` (the model card), ``training.json`` (the record) and
        ``retriever.yaml``, by which the model is asked with the query text of its pairs wherever it is used.

    Raises:
        InputError: the pairs, the base model or a setting cannot be used, the folder holds something else, another
            process trains there, or the loss is no longer finite.
        FingerprintMismatch: the folder holds a model, or an unfinished one, that was made from something else.
    """
    kind = kind or kind_of(base_model)
    cluster = current()
    if cluster is not None and (processes := cluster.trainers) > 0:
        return train_on(cluster, processes, pairs, corpus, base_model, settings, folder, kind)
    join()
    dataset = PairDataset(pairs, corpus, settings)
    base_text = _text_of_base(base_model, dataset, kind)
    fingerprints = {
        "kind": kind,
        "pairs": dataset.fingerprint,
        "corpus": corpus.fingerprint,
        "base_model": base_fingerprint(base_model),
    }
    if settings.teacher:
        fingerprints["teacher"] = base_fingerprint(settings.teacher)
    wanted = identity(settings, **fingerprints)
    unfinished = folder.with_name(folder.name + ".training")
    if is_trained(folder, wanted):
        if is_main():
            discard(unfinished)
            if progress:
                progress(1, 1, f"model, reused from {folder}: it is of these pairs and settings")
        return folder
    started = time.monotonic()
    lock = FileLock(unfinished / "lock")
    # what is drawn in training, and what the libraries say of it, is none of the caller's business
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), quiet():
        for model_folder in (base_model, settings.teacher or base_model):
            check_tokenizer(model_folder)
        trainee = KINDS[kind](base_model, dataset, settings)
        adapters = make_trainable(trainee.model, settings)
        try:
            if is_main():
                ensure_folder(unfinished)
                lock.acquire(timeout=0)
                claim(unfinished, wanted)
                if warning := settings.warning(len(dataset.examples) + len(dataset.development)):
                    console.print(warning, markup=False, soft_wrap=True)
            wait_for_all()
            if settings.teacher:
                scores = unfinished / "teacher.npy"
                if is_main():
                    teacher_scores(
                        load_cross_encoder(settings.teacher, best_device()), dataset.groups(), scores, progress
                    )
                wait_for_all()
                dataset.teach(numpy.load(scores, allow_pickle=False))
            try:
                history = fit(trainee, unfinished / "checkpoints", progress)
            except InputError:
                if is_main():
                    discard(unfinished)  # resumed from its checkpoints it would end the same way
                raise
            if is_main():
                if history.best is not None:
                    load_weights(trainee.model, unfinished / "checkpoints" / BEST)
                if adapters is not None:
                    adapters.merge_and_unload()
                if settings.base_share:
                    mix(trainee.model, KINDS[kind](base_model, dataset, settings).model, settings.base_share)
                trainee.save(unfinished / "model")
                _save_recipe(unfinished / "model", trainee, base_model)
                seconds = time.monotonic() - started
                settle(unfinished / "model", folder, _record(trainee, base_model, base_text, wanted, history, seconds))
        except Timeout as error:
            raise InputError(f"{folder} is being trained by another process; wait for it or choose another.") from error
        finally:
            lock.release()
    if is_main():
        discard(unfinished)
    wait_for_all()
    return folder


def _text_of_base(base_model: str | Path, dataset: PairDataset, kind: Kind) -> str:
    """The query text that the base model reads.

    That a base which reads the query alone learns to read more is how AgentIR and ITER are made; anything else would
    unlearn what the base was trained for, and is refused.
    """
    text = str(own_options(base_model, RETRIEVERS[kind]).get("query_text", PLAIN))
    if text not in (PLAIN, dataset.query_text):
        raise InputError(
            f"the base model {base_model} was trained on the query text {text!r}, and the pairs have "
            f"{dataset.query_text!r}; mine with query_text={text}, or start from another base."
        )
    return text


def _save_recipe(folder: Path, trainee: Trainee, base_model: str | Path) -> None:
    """Writes how the model is to be asked into its folder."""
    retriever = RETRIEVERS[trainee.kind]
    kept = {name: value for name, value in own_options(base_model, retriever).items() if name == "causal"}
    text = trainee.dataset.query_text
    # a query of its own length, since it holds more than a query
    length = {"max_query_length": trainee.query_length} if isinstance(trainee, Encoder) and text != PLAIN else {}
    own = {"retriever": retriever, "options": {"query_text": text, **length, **kept}}
    write_text(folder / OWN_RECIPE, catalog.dump_yaml(own))


def teacher_scores(
    model: Any, texts: Sequence[tuple[str, str]], path: Path, progress: ProgressCallback | None = None
) -> None:
    """Writes a cross-encoder's scores of (query, passage) pairs, before any activation, unless the file is there.

    ``path`` is an npy file, (len(texts),) in fp32.
    """
    if path.exists():
        return
    scores = numpy.zeros(len(texts), numpy.float32)
    for start in range(0, len(texts), _PAIRS_AT_ONCE):
        batch = list(texts[start : start + _PAIRS_AT_ONCE])
        scores[start : start + len(batch)] = model.predict(
            batch, activation_fn=torch.nn.Identity(), show_progress_bar=False
        )
        if progress:
            progress(start + len(batch), len(texts), "pairs scored by the teacher")
    with replacing(path) as beside, beside.open("wb") as stream:
        numpy.save(stream, scores, allow_pickle=False)


def _record(
    trainee: Trainee, base_model: str | Path, base_text: str, wanted: dict[str, Any], history: History, seconds: float
) -> TrainingRecord:
    dataset, device = trainee.dataset, best_device()
    return TrainingRecord(
        identity=wanted,
        base_model=str(base_model),
        base_name=base_name(own_options(base_model, RETRIEVERS[trainee.kind]).get("model", base_model)),
        dataset=dataset_name(dataset.corpus),
        pairs=len(dataset.examples),
        steps=dataset.steps,
        losses=mean_losses(history.losses),
        seconds=seconds,
        kind=trainee.kind,
        query_text=dataset.query_text,
        base_query_text=base_text,
        development=history.development,
        kept_step=history.best.step if history.best else dataset.steps,
        rejected=dataset.rejected,
        licence=base_licence(base_model),
        machine={
            "device": device,
            "processes": process_count(),
            "precision": str(compute_dtype(trainee.settings, device)).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "processor": platform.processor() or platform.machine(),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "sentence-transformers": sentence_transformers.__version__,
        },
    )
