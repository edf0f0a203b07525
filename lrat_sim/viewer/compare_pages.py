"""The pages that set two arms beside each other: their tasks, and one task turn by turn."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.responses import Response

from lrat_sim.errors import InputError
from lrat_sim.viewer.arms import arms, choice_texts, chosen
from lrat_sim.viewer.listing import Query, matching, page_bounds
from lrat_sim.viewer.renderer import PAGE, Renderer, ShownRun
from lrat_sim.viewer.transcript import Transcript
from lrat_sim.viewer.versus import RESULTS, Match, Side, divergence, matches

_Result = Literal["", "won", "lost", "tied", "unknown"]


class CompareAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """Two arms, and which of their tasks are listed."""

    a: str = ""
    b: str = ""
    result: _Result = ""
    q: Annotated[str, Meta(max_length=1000)] = ""
    page: Annotated[int, Meta(ge=1)] = 1


class VersusAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """Two arms and a task, in the list it was chosen from."""

    a: str
    b: str
    task: str
    result: _Result = ""
    q: Annotated[str, Meta(max_length=1000)] = ""
    sample: Annotated[int, Meta(ge=0)] = 0


def compare(renderer: Renderer, asked: CompareAddress) -> Response:
    """Two arms by task."""
    library = renderer.library
    known = [arm.name for arm in arms(library)]
    a, b = chosen(known, [card.arm(card.base) for card in library.comparisons], asked.a, asked.b)
    every = _matches(renderer, a, b, asked.q) if b else []
    wanted = [match for match in every if asked.result in ("", match.result)]
    number, pages, first = page_bounds(len(wanted), PAGE, asked.page)
    return renderer.page(
        "compare.html",
        asked=asked,
        a=a,
        b=b,
        known=choice_texts(known),
        counts={result: sum(match.result == result for match in every) for result in RESULTS},
        rows=wanted[first : first + PAGE],
        total=len(wanted),
        every=len(every),
        number=number,
        pages=pages,
    )


def versus(renderer: Renderer, asked: VersusAddress) -> Response:
    """Two arms on one task, side by side."""
    every = _matches(renderer, asked.a, asked.b, asked.q)
    wanted = [match for match in every if asked.result in ("", match.result) or match.task == asked.task]
    position = next((index for index, match in enumerate(wanted) if match.task == asked.task), None)
    if position is None:
        raise InputError(f"neither {asked.a!r} nor {asked.b!r} was run on the task {asked.task!r}.")
    match = wanted[position]
    one, other = _side(renderer, match.a, asked.sample), _side(renderer, match.b, asked.sample)
    return renderer.page(
        "versus.html",
        asked=asked,
        match=match,
        sides=(one, other),
        transcripts=(_transcript(renderer, one, other), _transcript(renderer, other, one)),
        divergence=divergence(one.trajectory, other.trajectory) if one is not None and other is not None else None,
        samples=max(len(match.a.ids), len(match.b.ids)),
        before=wanted[position - 1] if position else None,
        after=wanted[position + 1] if position + 1 < len(wanted) else None,
        number=position + 1,
        total=len(wanted),
    )


def _matches(renderer: Renderer, a: str, b: str, words: str) -> list[Match]:
    table = renderer.library.table
    found = matches(table, a, b)
    if not words:
        return found
    # a word of one side's answer brings the other side with it
    tasks = set(matching(table, Query(q=words))["task_id"].to_pylist())
    return [match for match in found if match.task in tasks]


def _side(renderer: Renderer, side: Side, sample: int) -> ShownRun | None:
    if not side.ids:
        return None
    position = min(sample, len(side.ids) - 1)
    return renderer.shown(side.runs[position], side.ids[position])


def _transcript(renderer: Renderer, side: ShownRun | None, other: ShownRun | None) -> Transcript | None:
    if side is None:
        return None
    verdicts = side.run.verdicts(side.trajectory.id)
    return side.transcript(renderer.library, verdicts=verdicts, other=other.trajectory if other is not None else None)
