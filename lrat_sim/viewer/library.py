"""All that a folder holds: run folders, mined pairs, comparisons, and the corpora that its runs searched."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.mining.run import PAIRS
from lrat_sim.rollout.index import TRAJECTORIES
from lrat_sim.viewer.mined import PairsFile
from lrat_sim.viewer.run import RunFolder
from lrat_sim.viewer.table import SCHEMA
from lrat_sim.viewer.titles import Corpora

_COMPARISON = "comparison.json"
_PASSED_OVER = {"model", "indexes", "corpus", "node_modules"}
_DEPTH = 8
_EVIDENCE_AT_ONCE = 200_000_000
"""Bytes of trajectories up to which evidence is counted without being asked for: about a second's reading."""
_SECONDS = 1.0
"""Between two looks for new folders: a page of several requests shall not walk the tree for each."""


class Answer(Struct, frozen=True):
    """What a comparison found, in its own words."""

    answer: str = ""
    base: str = ""
    name: str = ""


class Library:
    """The run folders in and below a folder, as one table.

    Args:
        root: a run folder, that of a comparison or a flywheel, or any above them.
        corpora: where titles and texts come from; by default the corpora near the folder.

    Raises:
        InputError: there is no run folder.

    Attributes:
        runs: by the name that is shown, the path from ``root``.
        table: the rows of all runs, by :data:`lrat_sim.viewer.table.SCHEMA` with ``run``, the run's name.
        pairs: files of mined pairs, by name.
        answers: of the comparisons, by the folder's name.
    """

    def __init__(self, root: Path, corpora: Corpora | None = None):
        self.root = root
        if not root.is_dir():
            raise InputError(f"{root} is no folder; give a run folder, or one that holds run folders.")
        self.corpora = corpora or Corpora(root)
        self.runs: dict[str, RunFolder] = {}
        self.pairs: dict[str, PairsFile] = {}
        self.answers: dict[str, Answer] = {}
        self.table = _with_run(SCHEMA.empty_table(), "")
        self._looked, self._evidence, self._lock = float("-inf"), False, threading.Lock()
        self.refresh()
        if not self.runs:
            raise InputError(f"{root} holds no run folder (no {TRAJECTORIES} in it or below); give one that does.")

    @property
    def problems(self) -> list[str]:
        """What could not be read, a sentence each."""
        return [problem for run in self.runs.values() for problem in run.problems]

    @property
    def counted(self) -> bool:
        """Whether the evidence of all runs is counted."""
        return self._evidence

    def refresh(self, *, evidence: bool = False) -> None:
        """Takes in what was written since the last call.

        Args:
            evidence: counts the evidence, however much has to be read for it.
        """
        with self._lock:
            if time.monotonic() - self._looked >= _SECONDS or (evidence and not self._evidence):
                found = self._look()
                size = sum(run.size for run in self.runs.values())
                self._evidence = self._evidence or evidence or size <= _EVIDENCE_AT_ONCE
                changed = [run.refresh(evidence=self._evidence) for run in self.runs.values()]
                if found or any(changed):
                    self.table = _joined(self.runs)
                self._looked = time.monotonic()

    def run(self, name: str) -> RunFolder:
        """A run by its name.

        Raises:
            InputError: there is none.
        """
        if name not in self.runs:
            raise InputError(f"there is no run {name!r} here; choose one of the list.")
        return self.runs[name]

    def pairs_of(self, run: RunFolder) -> list[PairsFile]:
        """The files of pairs that were mined from a run, with what was added to them."""
        found = [pairs for pairs in self.pairs.values() if run.folder.resolve() in pairs.runs]
        for pairs in found:
            pairs.refresh()
        return found

    def _look(self) -> bool:
        runs: dict[str, Path] = {}
        mined: dict[str, Path] = {}
        answers: dict[str, Answer] = {}
        for folder, files in _folders(self.root):
            name = folder.relative_to(self.root).as_posix()
            name = self.root.resolve().name if name == "." else name
            if TRAJECTORIES in files:
                runs[name] = folder
            if PAIRS in files:
                mined[name] = folder / PAIRS
            if _COMPARISON in files and (answer := _answer(folder / _COMPARISON)):
                answers[name] = msgspec.structs.replace(answer, name=name)
        beside = self.root.resolve().parent / PAIRS  # that of a flywheel's round, seen from its collect/
        if TRAJECTORIES in os.listdir(self.root) and beside.is_file():
            found = PairsFile(beside, f"{beside.parent.name} (above)")
            if self.root.resolve() in found.runs:
                mined[found.name] = beside
        self.answers = answers
        if runs.keys() == self.runs.keys() and mined.keys() == self.pairs.keys():
            return False
        self.runs = {name: self.runs.get(name) or RunFolder(folder, name) for name, folder in runs.items()}
        self.pairs = {name: self.pairs.get(name) or PairsFile(path, name) for name, path in mined.items()}
        return True


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folders that may hold something to show, those above before those below, each with its files."""
    for where, folders, files in os.walk(root):
        path = Path(where)
        deep = len(path.relative_to(root).parts) >= _DEPTH
        folders[:] = [] if deep else sorted(f for f in folders if f not in _PASSED_OVER and not f.startswith("."))
        yield path, files


def _answer(path: Path) -> Answer | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Answer)
    except (OSError, *NOT_JSON):  # the terminal's `compare` says what is wrong with it
        return None


def _joined(runs: dict[str, RunFolder]) -> Any:
    return pa.concat_tables([_with_run(run.table, name) for name, run in runs.items()]).combine_chunks()


def _with_run(table: Any, name: str) -> Any:
    return table.append_column("run", pa.array([name] * table.num_rows, pa.string()))
