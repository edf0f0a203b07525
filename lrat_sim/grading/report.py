"""The rule judge beside the verdicts given for published runs, for a reader to check.

The folder holds LRAT trajectories (one JSON a question) and ``mined-pairs.release.json`` with the verdict given on
each of their browses, in order.  Only what the table needs is read here: the reasoning right after each browse; import
as trajectories belongs to the interchange of formats.  The given verdicts were an input of the published miner, not
annotations: some say the opposite of the reasoning beside them, so agreement with them is printed and not sought.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.table import Table

from lrat_sim.errors import InputError
from lrat_sim.grading.rules import RuleVerdict, judge_by_rules

GIVEN = "mined-pairs.release.json"


class GivenVerdict(Struct, frozen=True, kw_only=True):
    """A browse of a published run: the reasoning right after it, and the verdict it was given."""

    question: str
    browse: int
    docid: str
    reasoning: str | None
    relevant: bool


def given_verdicts(folder: Path) -> Iterator[GivenVerdict]:
    """The browses of the published runs in a folder, with their verdicts.

    Raises:
        InputError: a file is missing or is not of that form, or browses and verdicts differ in number.
    """
    for run in _read(folder / GIVEN)["trajectories"]:
        path = folder / f"{run['query_id']}.json"
        found = list(_browses(_read(path)["result"]))
        if len(found) != len(run["browse_verdicts"]):
            raise InputError(
                f"{path} has {len(found)} browses and {GIVEN} {len(run['browse_verdicts'])} verdicts; "
                "give the files that belong together."
            )
        for number, ((docid, reasoning), relevant) in enumerate(zip(found, run["browse_verdicts"], strict=True)):
            yield GivenVerdict(
                question=run["query_id"], browse=number, docid=docid, reasoning=reasoning, relevant=relevant
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give the folder of the published runs.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}); fetch it again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object; fetch it again.")
    return content


def _browses(steps: list[dict[str, Any]]) -> Iterator[tuple[str, str | None]]:
    for place, step in enumerate(steps):
        if step["type"] != "tool_call" or step["tool_name"] == "search":
            continue
        after = steps[place + 1] if place + 1 < len(steps) else {}
        yield (
            str(json.loads(step["arguments"] or "{}").get("docid", "")),
            after["output"] if after.get("type") == "reasoning" else None,
        )


class Judged(Struct, frozen=True, kw_only=True):
    """A given verdict and that of the rules."""

    given: GivenVerdict
    rules: RuleVerdict


def compare(folder: Path) -> list[Judged]:
    """The rules' verdict on every browse of the published runs.

    Raises:
        InputError: as :func:`given_verdicts`.
    """
    return [Judged(given=given, rules=judge_by_rules(given.reasoning)) for given in given_verdicts(folder)]


def judge_report(folder: Path, *, characters: int = 240) -> Table:
    """A table of the rules' verdicts beside the given ones, with the start of the reasoning that both read.

    Args:
        folder: where the published runs are.
        characters: how much of the reasoning is shown.

    Raises:
        InputError: as :func:`given_verdicts`.
    """
    rows = compare(folder)
    agree = sum((row.rules.state == "relevant") == row.given.relevant for row in rows if row.rules.state != "unjudged")
    judged = sum(row.rules.state != "unjudged" for row in rows)
    table = Table(
        title="The rule judge beside the given verdicts",
        caption=f"the same verdict on {agree} of {judged} browses, {len(rows) - judged} unjudged",
        show_lines=True,
    )
    for column in ("run", "document", "given", "rules", "what decided", "reasoning"):
        table.add_column(column, ratio=3 if column == "reasoning" else 2 if column == "what decided" else None)
    for row in rows:
        given = "relevant" if row.given.relevant else "irrelevant"
        style = "bold red" if row.rules.state != given else None
        start = " ".join((row.given.reasoning or "").split())[:characters]
        table.add_row(
            f"{row.given.question}.{row.given.browse}",
            row.given.docid,
            given,
            row.rules.state,
            row.rules.reason,
            start,
            style=style,
        )
    return table


if __name__ == "__main__":
    import sys

    from lrat_sim.progress import Screen

    Screen().print(judge_report(Path(sys.argv[1])))
