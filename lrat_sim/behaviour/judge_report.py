"""The rule judge beside the verdicts given for published runs, for a reader to check.

The given verdicts were an input of the published miner, not annotations: some say the opposite of the reasoning beside
them, so agreement with them is printed but not aimed at.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from lrat_sim.artifact import read_json
from lrat_sim.errors import InputError
from lrat_sim.formats import read_any
from lrat_sim.grading.relevance import browses
from lrat_sim.grading.rules import judge_by_rules
from lrat_sim.tables import Group, Row, Table

_GIVEN = "mined-pairs.release.json"
_COLUMNS = ["run", "document", "given", "rules", "what decided", "reasoning"]
_SHOWN = 240  # characters of the reasoning


class _MinedRun(Struct, frozen=True):
    query_id: str
    browse_verdicts: list[bool]


class _MinedFile(Struct, frozen=True):
    trajectories: list[_MinedRun]


def judge_report(folder: Path) -> Table:
    """The rules' verdict on each browse of published runs beside the given one, and the reasoning that both read.

    The folder holds LRAT trajectories and ``mined-pairs.release.json`` with the verdicts on their browses, in order.
    """
    mined = read_json(folder / _GIVEN, _MinedFile, "a file of mined pairs", "give the folder of the published runs")
    runs = {entry.trajectory.task_id: entry.trajectory for entry in read_any(folder)}
    rows, judged, agree = [], 0, 0
    for run in mined.trajectories:
        opened = list(browses(runs[run.query_id])) if run.query_id in runs else []
        if len(opened) != len(run.browse_verdicts):
            raise InputError(
                f"{folder} has {len(opened)} browses of run {run.query_id} and {_GIVEN} {len(run.browse_verdicts)} "
                "verdicts; give the files that belong together."
            )
        for number, (browse, relevant) in enumerate(zip(opened, run.browse_verdicts, strict=True)):
            given = "relevant" if relevant else "irrelevant"
            state, reason = judge_by_rules(browse.reasoning)
            judged += state != "unjudged"
            agree += state == given
            start = " ".join((browse.reasoning or "").split())[:_SHOWN]
            cells = [f"{run.query_id}.{number}", browse.docid, given, state, reason, start]
            rows.append(Row(cells, strong=[] if state == given else [3]))
    return Table(
        title="The rule judge beside the given verdicts",
        columns=_COLUMNS,
        groups=[Group(rows)],
        notes=[f"the same verdict on {agree} of {judged} browses, {len(rows) - judged} unjudged"],
        text_columns=tuple(range(len(_COLUMNS))),
    )
