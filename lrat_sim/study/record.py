"""``study.json``: what a folder holds of a study, and what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from lrat_sim import __version__
from lrat_sim.artifact import read_json
from lrat_sim.study.rounds import Rounds

STUDY, COMPARISON = "study.json", "comparison.json"

Kind = Literal["compare", "sweep", "ablate", "flywheel", "probe"]


class Trained(Struct, frozen=True, kw_only=True):
    """What an arm was trained on, and how long that took: one number a seed."""

    pairs: list[int] = []
    tasks: list[int] = []
    seconds: list[float] = []


class Cell(Struct, frozen=True, kw_only=True):
    """One comparison of a study."""

    agent: str
    task_set: str
    split: str
    k: int
    seeds: list[int]
    tasks: int
    arms: list[str]
    base: str
    folder: str  # relative to that of the study, "." for that itself
    identity: str  # fingerprint of agent (k included), task set and split
    answer: str
    trained: dict[str, Trained] = {}  # the arms that were trained in the study


class StudyRecord(Struct, frozen=True, kw_only=True):
    """``study.json``; ``command`` and ``settings`` are those of the last call."""

    schema_version: int = 1
    lrat_sim: str = __version__
    kind: Kind
    command: str | None = None
    settings: dict[str, Any] = {}
    made_from: dict[str, Any] = {}  # what may not change in the folder
    cells: list[Cell] = []  # all comparisons that it holds
    rounds: Rounds | None = None  # those of a flywheel


def read_study(folder: Path) -> StudyRecord:
    """The record of a study's folder; an InputError where it holds none, or one that cannot be read."""
    return read_json(folder / STUDY, StudyRecord, "the record of a study", "give the folder of a study, or a new one")


def recorded_study(folder: Path | str) -> StudyRecord | None:
    """The record of a study's folder; None where nothing is there yet."""
    return read_study(Path(folder)) if (Path(folder) / STUDY).exists() else None
