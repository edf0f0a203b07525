"""All that a folder holds: run folders, mined pairs, comparisons, and the corpora that its runs searched.

This is the one place that knows where a study puts them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from msgspec import Struct

from lrat_sim.comparison import Comparison, load
from lrat_sim.corpus.documents import Corpus, CorpusCard
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.mining.run import PAIRS
from lrat_sim.retrieval.base import corpora_of
from lrat_sim.rollout.index import TRAJECTORIES
from lrat_sim.viewer.files import PairsFile, signature
from lrat_sim.viewer.run import RUN_SCHEMA, RunFolder, values

SCHEMA = pa.schema([*RUN_SCHEMA, *((name, pa.string()) for name in ("retriever_name", "agent_name", "run", "arm"))])
"""A row a trajectory: what its run folder knows, the name of that folder (``run``), and what it is compared as."""

_COMPARISON = "comparison.json"
_CARD, _ABOVE = "corpus.json", 4
_PASSED_OVER = {"model", "indexes", "corpus", "node_modules"}
_DEPTH = 8
_EVIDENCE_AT_ONCE = 200_000_000  # bytes up to which evidence is counted unasked: about a second of reading
_SECONDS = 1.0  # between two looks for new folders: the requests of one page walk the tree once


class Corpora:
    """The corpora in and near a folder and in ``data``, by fingerprint, each opened when a run first needs it;
    ``given`` is taken for runs that name none."""

    def __init__(self, root: Path, given: Path | None = None, data: Path | None = None):
        self._folders: dict[str, Path] = {}
        self._open: dict[str, Corpus | None] = {}
        self._given: Corpus | None = None
        for card in _cards(root.resolve(), data):
            try:
                fingerprint = from_json(card.read_bytes(), CorpusCard).fingerprint
            except (OSError, *NOT_JSON):
                continue  # a corpus of something else, or unfinished
            self._folders.setdefault(fingerprint, card.parent)
        if given is not None:
            self._given = Corpus.open(given if (given / _CARD).is_file() else given / "corpus")
            self._folders[self._given.fingerprint] = self._given.folder

    def of(self, retriever: dict[str, Any]) -> Corpus | None:
        """The corpus that a retriever says it searches, None where it is not here."""
        name = next(corpora_of(retriever), None)
        if name is None:
            return self._given
        if name not in self._open:
            try:
                self._open[name] = Corpus.open(self._folders[name]) if name in self._folders else None
            except InputError:  # without its corpus a run is shown all the same
                self._open[name] = None
        return self._open[name]


def _cards(root: Path, data: Path | None) -> Iterator[Path]:
    """The cards of corpora in a folder, in those beside it, and in those beside the folders above it."""
    above = [folder for folder in (root, *root.parents[:_ABOVE]) if folder != folder.parent]
    for folder in [*above, *([data] if data is not None else [])]:
        yield folder / "corpus" / _CARD
        yield from sorted(folder.glob(f"*/corpus/{_CARD}"))


class PlacedComparison(Struct, frozen=True):
    """A comparison with the name of its folder, and the prefix of its arms' names in the viewer."""

    name: str
    prefix: str
    comparison: Comparison

    def arm(self, name: str) -> str:
        """What the viewer calls an arm of it."""
        return self.prefix + name


class Library:
    """The run folders in and below a folder as one ``table`` (:data:`SCHEMA`); ``runs`` and ``pairs`` by their path
    from ``root``.  ``counted`` says whether the evidence of all runs is counted."""

    def __init__(self, root: Path, corpora: Corpora | None = None):
        self.root = root
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; give a run folder, or one that holds run folders.")
        self.corpora = corpora or Corpora(root)
        self.runs: dict[str, RunFolder] = {}
        self.pairs: dict[str, PairsFile] = {}
        self.comparisons: list[PlacedComparison] = []
        self.table = SCHEMA.empty_table()
        self.counted = False
        self._arms: dict[Path, str] = {}
        self._retrievers: dict[str, str] = {}
        self._looked, self._lock = float("-inf"), threading.Lock()
        self.refresh()
        if not self.runs:
            raise InputError(f"{root} holds no run folder (no {TRAJECTORIES} in it or below); give one that does.")

    @property
    def problems(self) -> list[str]:
        """What could not be read, a sentence each."""
        return [problem for run in self.runs.values() for problem in run.problems]

    def refresh(self, *, evidence: bool = False) -> None:
        """Takes in what was written since the last call; ``evidence`` is counted however much has to be read for it."""
        with self._lock:
            if time.monotonic() - self._looked >= _SECONDS or (evidence and not self.counted):
                changed = self._look()
                size = sum(known[1] for run in self.runs.values() if (known := signature(run.path)))
                self.counted = self.counted or evidence or size <= _EVIDENCE_AT_ONCE
                # a list, not any() of a generator: every run is to be refreshed
                if any([changed, *[run.refresh(evidence=self.counted) for run in self.runs.values()]]):
                    self.table = self._joined()
                self._looked = time.monotonic()

    def run(self, name: str) -> RunFolder:
        """A run by its name."""
        if name not in self.runs:
            raise InputError(f"there is no run {name!r} here; choose one of the list.")
        return self.runs[name]

    def arm_of(self, run: RunFolder) -> str:
        """What a run is compared as: the name of its study's arm, else its own."""
        return self._arms.get(run.folder.resolve(), run.name)

    def mined_from(self, run: RunFolder) -> list[PairsFile]:
        """The files of pairs that were mined from a run, as they are now."""
        files = [pairs for pairs in self.pairs.values() if run.folder.resolve() in pairs.runs]
        for pairs in files:
            pairs.refresh()
        return files

    def _look(self) -> bool:
        """Looks for folders; says whether there are others than before."""
        runs: dict[str, Path] = {}
        pairs: dict[str, Path] = {}
        arms: dict[Path, str] = {}
        comparisons: list[PlacedComparison] = []
        for folder, files in _folders(self.root):
            path = folder.relative_to(self.root).as_posix()
            name = self.root.resolve().name if path == "." else path
            if TRAJECTORIES in files:
                runs[name] = folder
            if PAIRS in files:
                pairs[name] = folder / PAIRS
            if _COMPARISON in files:
                try:
                    comparison = load(folder / _COMPARISON)
                except InputError:  # `lrat-sim compare` says what is wrong with it
                    continue
                placed = PlacedComparison(name, "" if path == "." else f"{path}/", comparison)
                comparisons.append(placed)
                for arm in comparison.summaries:
                    arms |= {(folder / run).resolve(): placed.arm(arm.name) for run in arm.runs}
        above = self.root.resolve().parent / PAIRS  # that of a flywheel's round, seen from its collect/
        if (self.root / TRAJECTORIES).is_file() and above.is_file():
            name = f"{above.parent.name} (above)"
            if self.root.resolve() in PairsFile(above, name).runs:
                pairs[name] = above
        same = runs.keys() == self.runs.keys() and pairs.keys() == self.pairs.keys() and arms == self._arms
        self.comparisons, self._arms = comparisons, arms
        self.runs = {name: self.runs.get(name) or RunFolder(folder, name) for name, folder in runs.items()}
        self.pairs = {name: self.pairs.get(name) or PairsFile(path, name) for name, path in pairs.items()}
        return not same

    def _joined(self) -> pa.Table:
        for run in self.runs.values():
            arm = self._arms.get(run.folder.resolve())
            for _, fingerprint in run.described() if arm is not None else ():
                self._retrievers.setdefault(fingerprint, str(arm).rpartition("/")[2])
        return pa.concat_tables([self._named(run) for run in self.runs.values()]).combine_chunks()

    def _named(self, run: RunFolder) -> pa.Table:
        """The rows of a run with the names that people know agents, retrievers and arms by."""
        names = {
            (agent, retriever): (
                str(described[0].get("name") or described[0].get("model") or "unknown agent")
                if described[0]
                else agent,
                retriever_label(described[1], self._retrievers.get(retriever)) if described[1] else retriever,
            )
            for (agent, retriever), described in run.described().items()
        }
        of_row = [names[key] for key in values(run.table, "agent", "retriever")]
        several, arm = len(set(of_row)) > 1, self.arm_of(run)
        columns: dict[str, Any] = dict(zip(run.table.column_names, run.table.columns, strict=True)) | {
            "retriever_name": [retriever for _, retriever in of_row],
            "agent_name": [str(agent) for agent, _ in of_row],
            "run": [run.name] * len(of_row),
            "arm": [f"{arm} · {agent} · {retriever}" if several else arm for agent, retriever in of_row],
        }
        return pa.table(columns, SCHEMA)


def retriever_label(retriever: Mapping[str, Any], arm: str | None) -> str:
    """What people call a retriever: its kind and its model; a trained one, whose folder is just ``model``, is called as
    the arm of its study, else by its weights."""
    kind, model = str(retriever.get("kind") or "unknown retriever"), retriever.get("model")
    if not isinstance(model, str) or not model:
        return kind
    name = Path(model).name
    if name != "model":
        return f"{kind} {name}"
    return arm or f"{kind} {name} {str(retriever.get('weights', ''))[:6]}".strip()


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folders that may hold something to show, those above before those below, each with its files."""
    for where, folders, files in os.walk(root):
        path = Path(where)
        deep = len(path.relative_to(root).parts) >= _DEPTH
        folders[:] = [] if deep else sorted(f for f in folders if f not in _PASSED_OVER and not f.startswith("."))
        yield path, files
