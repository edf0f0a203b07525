"""The arms of an experiment: retrievers by name and spec, opened, and the tasks that all of them can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.fingerprint import fingerprint
from lrat_sim.progress import bar, console
from lrat_sim.records import Task
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.registry import parse_spec

ORACLE = "oracle"


def opened(
    spec: str | Path, dataset: Dataset, title: str | None = None, *, indexes: Path | None = None, **options: object
) -> Retriever:
    """A retriever over a data set's corpus, its index built with a progress bar where it is missing.

    Args:
        spec: as for :func:`lrat_sim.retrieval.open_retriever`.
        dataset: whose corpus it ranks.
        title: what the progress bar calls it.
        indexes: the folder for its index; by default one beside the corpus for each spec and set of options, which
            every run shares.
        options: of the retriever.

    Raises:
        InputError: see :func:`lrat_sim.retrieval.open_retriever`.
    """
    key = fingerprint([str(spec), {name: str(value) for name, value in options.items()}])[:8]
    folder = indexes or dataset.folder / "indexes" / f"{parse_spec(str(spec))[0]}-{key}"
    with bar(f"index {title or spec}") as progress:
        return open_retriever(spec, dataset.corpus, folder, progress=progress, **options)


def named_retriever(spec: str) -> tuple[str, str]:
    """The name of an arm and its spec, from ``NAME=SPEC`` or from a spec that names itself.

    An equals sign after a colon belongs to the spec; a model folder is called by its name, and one called ``model``
    by that of the round or run that holds it.

    Raises:
        InputError: the name cannot be that of the arm's run folder.
    """
    name, equals, rest = spec.partition("=")
    if equals and not {":", "/"} & {*name}:
        check_arm(name)
        return name, rest
    path = Path(spec)
    own = path.parent.name if path.name == "model" and path.is_dir() else path.name if path.is_dir() else spec
    return own.replace("/", "-"), spec


def runnable(tasks: Sequence[Task], agent: AgentSettings, limit: int | None = None) -> list[Task]:
    """The tasks that an agent can be asked, at most ``limit`` of them; those left out are named first.

    A simulated agent needs a plan; a comparison asks every arm the same tasks, so they are left out for all.

    Raises:
        InputError: none is left.
    """
    kept = [task for task in tasks if task.plan is not None or not agent.simulated]
    if len(kept) < len(tasks):
        named = ", ".join([task.id for task in tasks if task.plan is None][:3])
        console.print(f"left out {len(tasks) - len(kept):,} of {len(tasks):,} tasks, without a plan: {named}, ...")
    if not kept:
        raise InputError("no task has a plan, which a sim/ agent needs; choose another task set or agent.")
    return kept[:limit]


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuses seeds of runs that are none, or not each given once.

    Raises:
        InputError: so they are.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"the seeds are {', '.join(map(str, seeds)) or 'none'}; give one or more, each once.")


def check_arm(name: str) -> None:
    """Refuses the name of an arm that cannot be that of its run folder.

    Raises:
        InputError: it cannot.
    """
    if name != Path(name).name or name in ("", ".."):
        raise InputError(f"an arm is called {name!r}, which cannot name its run folder; use a plain word.")
