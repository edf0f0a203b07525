"""What several verbs take: their arguments, described and bounded once, and what those mean.

Annotations name what the package exports, so that nothing heavy is imported before a verb is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from lrat_sim.artifact import fingerprint
from lrat_sim.cluster import ClusterSettings
from lrat_sim.settings import Settings

if TYPE_CHECKING:
    from lrat_sim.agent.profile import AgentSettings
    from lrat_sim.corpus.dataset import Dataset
    from lrat_sim.retrieval.base import Retriever
    from lrat_sim.verbs.results import Model, Pairs, Run

DATA = Path("runs/data")
"""Where prepared task sets are kept by default."""


class Given(NamedTuple):
    """How the command line gives an argument that takes more in Python: a type, or a record of settings."""

    kind: Any


_ABOUT = "A task set by name, such as world, a prepared folder, or one with corpus.jsonl and task files of your own."
_Source = Annotated[str | None, Meta(description="Its local copy; by default its folder below $LRAT_SIM_DATA.")]
_TaskOptions = Annotated[dict[str, Any], Meta(description="An option of the task set.")]
_DataFolder = Annotated[str, Meta(description="Where prepared task sets and indexes are kept.")]


class TaskSet(Settings, frozen=True, kw_only=True):
    """A task set as the command line names it."""

    task_set: Annotated[str | None, Meta(description=_ABOUT)] = None
    source: _Source = None
    task_options: _TaskOptions = {}
    data: _DataFolder = str(DATA)


class TaskSets(Settings, frozen=True, kw_only=True):
    """Several task sets; ``source`` and ``task_options`` are for one alone."""

    task_set: Annotated[tuple[str, ...], Meta(description=_ABOUT)] = ()
    source: _Source = None
    task_options: _TaskOptions = {}
    data: _DataFolder = str(DATA)


AnyPath = Path | str
OptionalPath = Annotated[Path | str | None, Given(Path)]
PairsFile = Annotated[
    "Run | Pairs | Path | str", Given(Path), Meta(description="A file of pairs, or the folder that holds pairs.jsonl.")
]
Data = Annotated["Dataset | Path | str | TaskSet | None", Given(TaskSet)]
Folder = Annotated["Run | Pairs | Model | Path | str", Given(Path)]
Runs = Annotated["Run | Path | str | Sequence[Run | Path | str]", Given(list[Path]), Meta(description="Run folders.")]
Out = Annotated[
    Path | str | None,
    Given(Path),
    Meta(description="The result's folder, named by the settings by default; rerun the same command to resume."),
]
Agent = Annotated["AgentSettings | str", Given(str), Meta(description="An agent by name or path.")]
AgentOptions = Annotated[Mapping[str, Any], Meta(description="A field of the agent, such as limits.turns=30.")]
RetrieverLike = Annotated[
    "Retriever | Model | Path | str", Given(str), Meta(description="A retriever by name, spec or model folder.")
]
Results = Annotated[int, Meta(ge=1, le=1000)]
K = Annotated[Results, Meta(description="Results per search.")]
AgentK = Annotated[Results | None, Meta(description="Results per search; by default the agent's own.")]
Judge = Annotated[str, Meta(description="'rule' judges offline; else a litellm model name.")]
JudgeOptions = Annotated[Mapping[str, Any], Meta(description="A field of a model judge, such as base_url=http://...")]
RecipeOptions = Annotated[Mapping[str, Any], Meta(description="A field of the recipe.")]
BaseModel = Annotated[
    "Model | Path | str | None",
    Given(str),
    Meta(description="A sentence-transformers folder or hub id; all-MiniLM-L6-v2 by default."),
]
Cluster = Annotated[ClusterSettings | str | None, Given(ClusterSettings)]
ShardOf = Annotated[
    str | None, Meta(description="Do one share of the work, I/N such as 3/8, as a job of its own; then join them.")
]
NOTHING: Mapping[str, Any] = {}


def several(value: Any) -> list[Any]:
    """One or several as a list."""
    return [*value] if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def folder_of(value: Any) -> Path:
    """The folder of a result, or a path as it was given."""
    return Path(getattr(value, "folder", value))


ADDS = {
    "limit", "samples", "rounds", "patience", "train_tasks", "test_tasks", "seeds", "ks", "evaluate_ks", "splits",
    "baselines", "sizes", "arms",
}  # fmt: skip
"""Settings that only add to what a folder holds, so that they do not name another one."""


def default_folder(verb: str, words: Sequence[str], decisive: Mapping[str, Any], parent: Path = Path("runs")) -> Path:
    """The folder of a result where none is given: ``runs/VERB-WORDS-HASH``, by words that a reader would look for and
    the hash of what is decisive."""
    name = "-".join("".join(letter if letter.isalnum() else "-" for letter in word) for word in (verb, *words))
    key = {setting: value for setting, value in decisive.items() if setting not in ADDS}
    return parent / f"{name[:80]}-{fingerprint(msgspec.to_builtins(key, enc_hook=str))[:8]}"
