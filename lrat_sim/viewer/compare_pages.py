"""The pages that set two runs beside each other: their tasks, and one task turn by turn."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from lrat_sim.errors import InputError
from lrat_sim.records import Grade, Task, Trajectory
from lrat_sim.viewer.arms import arms, chosen
from lrat_sim.viewer.listing import Query, matching
from lrat_sim.viewer.run import RunFolder
from lrat_sim.viewer.site import PAGE, Facts, Site, facts, parameters
from lrat_sim.viewer.story import ShownTurn, story
from lrat_sim.viewer.versus import RESULTS, Match, Side, matches, parting

_Result = Literal["", "won", "lost", "tied", "unknown"]


class _Arms(Struct, frozen=True, forbid_unknown_fields=True):
    a: str = ""
    b: str = ""
    result: _Result = ""
    q: Annotated[str, Meta(max_length=1000)] = ""
    page: Annotated[int, Meta(ge=1)] = 1


class _Task(Struct, frozen=True, forbid_unknown_fields=True):
    a: str
    b: str
    task: str
    result: _Result = ""
    q: Annotated[str, Meta(max_length=1000)] = ""
    sample: Annotated[int, Meta(ge=0)] = 0


class OneSide(Struct, frozen=True, kw_only=True):
    """A trajectory of one of the two runs, with all that belongs to it."""

    run: RunFolder
    found: Trajectory
    task: Task | None
    grade: Grade | None
    facts: Facts
    outcome: str


class ComparePages:
    """Answers in threads, since all of them read files.

    Args:
        site: what the pages share.
    """

    def __init__(self, site: Site):
        self.site, self.library = site, site.library

    def compare(self, request: Request) -> Response:
        """Two runs by task."""
        asked = parameters(request, _Arms)
        self.library.refresh()
        known = [arm.name for arm in arms(self.library)]
        a, b = chosen(known, asked.a, asked.b)
        every = self._matches(a, b, asked.q) if b else []
        wanted = [match for match in every if asked.result in ("", match.result)]
        pages = max(1, -(-len(wanted) // PAGE))
        number = min(asked.page, pages)
        return self.site.page(
            "compare.html",
            asked=asked,
            a=a,
            b=b,
            known=known,
            counts={result: sum(match.result == result for match in every) for result in RESULTS},
            rows=wanted[(number - 1) * PAGE : number * PAGE],
            total=len(wanted),
            every=len(every),
            number=number,
            pages=pages,
        )

    def versus(self, request: Request) -> Response:
        """Two runs on one task, side by side."""
        asked = parameters(request, _Task)
        self.library.refresh()
        every = self._matches(asked.a, asked.b, asked.q)
        wanted = [match for match in every if asked.result in ("", match.result) or match.task == asked.task]
        place = next((place for place, match in enumerate(wanted) if match.task == asked.task), None)
        if place is None:
            raise InputError(f"neither {asked.a!r} nor {asked.b!r} was run on the task {asked.task!r}.")
        match = wanted[place]
        one, other = self._side(match.a, asked.sample), self._side(match.b, asked.sample)
        return self.site.page(
            "versus.html",
            asked=asked,
            match=match,
            sides=(one, other),
            turns=(self._turns(one, other), self._turns(other, one)),
            part=parting(one.found, other.found) if one is not None and other is not None else None,
            samples=max(len(match.a.ids), len(match.b.ids)),
            before=wanted[place - 1] if place else None,
            after=wanted[place + 1] if place + 1 < len(wanted) else None,
            place=place + 1,
            total=len(wanted),
        )

    def _matches(self, a: str, b: str, words: str) -> list[Match]:
        found: Any = matching(self.library.table, Query(q=words)) if words else self.library.table
        if words:  # a word of one side's answer brings the other side with it
            tasks = set(found["task_id"].to_pylist())
            return [match for match in matches(self.library.table, a, b) if match.task in tasks]
        return matches(found, a, b)

    def _side(self, side: Side, sample: int) -> OneSide | None:
        if not side.ids:
            return None
        place = min(sample, len(side.ids) - 1)
        run, found = self.site.trajectory(side.runs[place], side.ids[place])
        task, grades = run.tasks.get(found.task_id), run.grades(found.id)
        return OneSide(
            run=run,
            found=found,
            task=task,
            grade=grades[-1] if grades else None,
            facts=facts(found, task),
            outcome=side.outcomes[place],
        )

    def _turns(self, side: OneSide | None, other: OneSide | None) -> list[ShownTurn]:
        if side is None:
            return []
        verdicts, corpus = side.run.verdicts(side.found.id), self.library.corpora.of(side.found.retriever)
        return story(side.found, side.task, corpus, verdicts, other=other.found if other is not None else None)
