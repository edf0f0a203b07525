"""Training by Ray Train: its ``TorchTrainer`` starts the processes and joins them, each runs the same training."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from lrat_sim.cluster import Cluster
from lrat_sim.cluster.connection import import_ray
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, LratSimError
from lrat_sim.records import Pair, decode, encode
from lrat_sim.training.settings import TrainingSettings

_RESTARTS = 3
"""How often the processes are started again when one of them is lost; they resume from the last checkpoint."""


def train_on(
    cluster: Cluster, processes: int, pairs: Iterable[Pair], corpus: Corpus, base_model: str | Path,
    settings: TrainingSettings, folder: Path, kind: str,
) -> Path:  # fmt: skip
    """:func:`lrat_sim.training.trainer.train` in several processes of a cluster, with a GPU each where there are any;
    the folders must be seen by all machines by the same path."""
    ray = import_ray()
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    # packed by itself: it is opened after a process has come to this folder, from which paths may be relative
    packed = ray.cloudpickle.dumps((corpus, base_model, settings, folder.absolute(), kind))
    work = partial(_train, ray.put([*map(encode, pairs)]), packed, os.getcwd())
    trainer = TorchTrainer(
        lambda: work(),
        scaling_config=ScalingConfig(num_workers=processes, use_gpu=cluster.gpus > 0),
        run_config=RunConfig(
            name=folder.name,
            storage_path=str(folder.absolute().with_name(f"{folder.name}.ray")),
            failure_config=FailureConfig(max_failures=_RESTARTS),
        ),
        torch_config=TorchConfig(backend="nccl" if cluster.gpus else "gloo"),
    )
    try:
        trainer.fit()
    except Exception as error:
        raise _cause(error) from error
    return folder


def _train(pairs: Any, packed: bytes, cwd: str) -> None:
    """One of the processes."""
    import ray

    from lrat_sim.training.trainer import train

    os.chdir(cwd)
    corpus, base_model, settings, folder, kind = ray.cloudpickle.loads(packed)
    train((decode(pair, Pair) for pair in ray.get(pairs)), corpus, base_model, settings, folder, kind=kind)


def _cause(error: BaseException) -> BaseException:
    """What a process raised, where it is bad input."""
    failures = getattr(error, "worker_failures", {})
    for failure in (*failures.values(), error.__cause__, error):
        cause = getattr(failure, "cause", failure)
        if isinstance(cause, LratSimError):
            return cause
    lines = str(error).strip().splitlines()
    return InputError(f"training on the cluster failed ({lines[-1][:500] if lines else type(error).__name__}).")
