"""The rule judge beside the verdicts given for published runs, for a reader to check.

The folder holds LRAT trajectories (one JSON a question) and ``mined-pairs.release.json`` with the verdict given on
each of their browses, in order.  The given verdicts were an input of the published miner, not annotations: some say
the opposite of the reasoning beside them, so agreement with them is printed and not sought.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.artifact import read_json
from lrat_sim.errors import InputError
from lrat_sim.grading.rules import RuleVerdict, judge_by_rules
from lrat_sim.tables import Group, Row, Table

GIVEN = "mined-pairs.release.json"
_REMEDY = "give the folder of the published runs"
_COLUMNS = ["run", "document", "given", "rules", "what decided", "reasoning"]


class _PublishedStep(Struct, frozen=True):
    type: str
    output: Any = None
    tool_name: str | None = None
    arguments: str | None = None


class _PublishedRun(Struct, frozen=True):
    result: list[_PublishedStep]


class _MinedRun(Struct, frozen=True):
    query_id: str
    browse_verdicts: list[bool]


class _MinedFile(Struct, frozen=True):
    trajectories: list[_MinedRun]


class PublishedBrowse(Struct, frozen=True, kw_only=True):
    """A browse of a published run: the reasoning right after it, and the verdict it was given."""

    question: str
    browse: int
    docid: str
    reasoning: str | None
    relevant: bool

    @property
    def rules(self) -> RuleVerdict:
        """The verdict of the rules."""
        return judge_by_rules(self.reasoning)


def published_browses(folder: Path) -> Iterator[PublishedBrowse]:
    """The browses of the published runs in a folder, with their verdicts.

    Raises:
        InputError: a file is missing or is not of that form, or browses and verdicts differ in number.
    """
    for run in read_json(folder / GIVEN, _MinedFile, "a file of mined pairs", _REMEDY).trajectories:
        path = folder / f"{run.query_id}.json"
        found = list(_browses(read_json(path, _PublishedRun, "a published run", _REMEDY).result))
        if len(found) != len(run.browse_verdicts):
            raise InputError(
                f"{path} has {len(found)} browses and {GIVEN} {len(run.browse_verdicts)} verdicts; "
                "give the files that belong together."
            )
        for number, ((docid, reasoning), relevant) in enumerate(zip(found, run.browse_verdicts, strict=True)):
            yield PublishedBrowse(
                question=run.query_id, browse=number, docid=docid, reasoning=reasoning, relevant=relevant
            )


def _browses(steps: list[_PublishedStep]) -> Iterator[tuple[str, str | None]]:
    for step, after in zip(steps, [*steps[1:], _PublishedStep("end")], strict=True):
        if step.type == "tool_call" and step.tool_name != "search":
            docid = str(json.loads(step.arguments or "{}").get("docid", ""))
            yield docid, after.output if after.type == "reasoning" else None


def judge_report(folder: Path, *, characters: int = 240) -> Table:
    """A table of the rules' verdicts beside the given ones, with the start of the reasoning that both read.

    Args:
        folder: where the published runs are.
        characters: how much of the reasoning is shown.

    Raises:
        InputError: as :func:`published_browses`.
    """
    rows, judged, agree = [], 0, 0
    for browse in published_browses(folder):
        given = "relevant" if browse.relevant else "irrelevant"
        state, reason = browse.rules
        judged += state != "unjudged"
        agree += state == given
        start = " ".join((browse.reasoning or "").split())[:characters]
        cells = [f"{browse.question}.{browse.browse}", browse.docid, given, state, reason, start]
        rows.append(Row(cells, strong=[] if state == given else [3]))
    note = f"the same verdict on {agree} of {judged} browses, {len(rows) - judged} unjudged"
    return Table(
        title="The rule judge beside the given verdicts",
        columns=_COLUMNS,
        groups=[Group(rows)],
        notes=[note],
        text_columns=tuple(range(len(_COLUMNS))),
    )
