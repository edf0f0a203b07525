"""The pages of mined pairs: the list of a file, and one pair with where it came from."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from lrat_sim.errors import InputError
from lrat_sim.viewer.mined import PairsFile
from lrat_sim.viewer.run import RunFolder
from lrat_sim.viewer.site import PAGE, Site, facts, parameters
from lrat_sim.viewer.story import ShownCall, ShownTurn, story


class _Page(Struct, frozen=True, forbid_unknown_fields=True):
    file: str = ""
    page: Annotated[int, Meta(ge=1)] = 1


class _At(Struct, frozen=True, forbid_unknown_fields=True):
    file: str
    number: int


class PairPages:
    """Answers in threads, since all of them read files.

    Args:
        site: what the pages share.
    """

    def __init__(self, site: Site):
        self.site, self.library = site, site.library

    def pairs(self, request: Request) -> Response:
        """The pairs of a file."""
        asked = parameters(request, _Page)
        self.library.refresh()
        names = sorted(self.library.pairs)
        of = self._file(asked.file or names[0]) if names or asked.file else None
        total = len(of) if of is not None else 0
        pages = max(1, -(-total // PAGE))
        number = min(asked.page, pages)
        start = (number - 1) * PAGE + 1
        return self.site.page(
            "pairs.html",
            of=of,
            names=names,
            rows=of.slice(start, start + PAGE) if of is not None else [],
            total=total,
            number=number,
            pages=pages,
        )

    def pair(self, request: Request) -> Response:
        """One pair: where it came from, and what each document is to it."""
        asked = parameters(request, _At)
        self.library.refresh()
        of = self._file(asked.file)
        at = of.at(asked.number)
        run = self._run(of, at.pair.provenance.trajectory)
        if run is None:
            return self.site.page("pair.html", of=of, at=at, run=None)
        found = self.site.trajectory(run.name, at.pair.provenance.trajectory)[1]
        task, corpus = run.tasks.get(found.task_id), self.library.corpora.of(found.retriever)
        turns = story(found, task, corpus, run.verdicts(found.id), [(at, of.report)])
        shown = [(turn, call, pair) for turn in turns for call in turn.calls for pair in call.pairs]
        if not shown:
            raise InputError(f"pair {at.number} of {of.path} names a turn that its trajectory has not; mine it again.")
        turn, call, pair = shown[0]
        return self.site.page(
            "pair.html",
            of=of,
            at=at,
            run=run,
            found=found,
            facts=facts(found, task),
            turn=turn,
            call=call,
            shown=pair,
            titles={hit.docid: hit for each in turns for every in each.calls for hit in every.hits},
            browse=_browse(at.pair.provenance.browse_turn, at.pair.positive, turn.number, turns),
            turns=turns,
        )

    def _file(self, name: str) -> PairsFile:
        if name not in self.library.pairs:
            raise InputError(f"there is no file of pairs {name!r} here; choose one of the list.")
        found = self.library.pairs[name]
        found.refresh()
        return found

    def _run(self, of: PairsFile, trajectory: str) -> RunFolder | None:
        """The run that holds a trajectory, among those that were mined."""
        mined = [run for run in self.library.runs.values() if run.folder.resolve() in of.runs]
        return next((run for run in mined if run.trajectory(trajectory) is not None), None)


def _browse(
    recorded: int | None, docid: str, search: int, turns: list[ShownTurn]
) -> tuple[ShownTurn, ShownCall] | None:
    """The turn and call that opened the positive."""
    for turn in turns:
        for call in turn.calls:
            if call.docid == docid and (turn.number == recorded or (recorded is None and turn.number >= search)):
                return turn, call
    return None
