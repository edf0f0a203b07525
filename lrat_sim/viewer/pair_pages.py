"""The pages of mined pairs: the list of a file, and one pair with where it came from."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from lrat_sim.errors import InputError
from lrat_sim.records import Pair
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.listing import page_bounds
from lrat_sim.viewer.mined import PairsFile
from lrat_sim.viewer.renderer import PAGE, Renderer
from lrat_sim.viewer.run import RunFolder
from lrat_sim.viewer.transcript import ShownCall, ShownTurn, Transcript


class PairsAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of pairs."""

    file: str = ""
    page: Annotated[int, Meta(ge=1)] = 1


class PairAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """One pair of a file."""

    file: str
    number: int


def pairs(renderer: Renderer, asked: PairsAddress) -> Response:
    """The pairs of a file."""
    names = sorted(renderer.library.pairs)
    file = _file(renderer.library, asked.file or names[0]) if names or asked.file else None
    number, pages, first = page_bounds(len(file) if file is not None else 0, PAGE, asked.page)
    return renderer.page(
        "pairs.html",
        file=file,
        names=names,
        rows=file.slice(first + 1, first + 1 + PAGE) if file is not None else [],
        number=number,
        pages=pages,
    )


def pair(renderer: Renderer, asked: PairAddress) -> Response:
    """One pair: where it came from, and what each document is to it."""
    file = _file(renderer.library, asked.file)
    at = file.at(asked.number)
    mined = at.pair.provenance
    run = _run(renderer.library, file, mined.trajectory)
    if run is None:
        return renderer.page("pair.html", file=file, at=at, shown=None)
    shown = renderer.shown(run.name, mined.trajectory)
    if mined.turn >= len(shown.trajectory.turns):
        raise InputError(f"pair {at.number} of {file.path} names a turn that its trajectory has not; mine it again.")
    transcript = shown.transcript(renderer.library, verdicts=run.verdicts(mined.trajectory), pairs=[(at, file.report)])
    turn = transcript.turns[mined.turn]
    call = next((call for call in turn.calls if call.pairs), None)
    if call is None:
        raise InputError(f"pair {at.number} of {file.path} names a call that its trajectory has not; mine it again.")
    return renderer.page(
        "pair.html",
        file=file,
        at=at,
        shown=shown,
        transcript=transcript,
        turn=turn,
        call=call,
        titles={hit.hit.docid: hit for turn in transcript.turns for call in turn.calls for hit in call.hits},
        browse=_browse(at.pair, transcript),
    )


def _file(library: Library, name: str) -> PairsFile:
    if name not in library.pairs:
        raise InputError(f"there is no file of pairs {name!r} here; choose one of the list.")
    file = library.pairs[name]
    file.refresh()
    return file


def _run(library: Library, file: PairsFile, trajectory: str) -> RunFolder | None:
    """The run that holds a trajectory, among those that were mined."""
    mined = (run for run in library.runs.values() if run.folder.resolve() in file.runs)
    return next((run for run in mined if run.trajectory(trajectory) is not None), None)


def _browse(pair: Pair, transcript: Transcript) -> tuple[ShownTurn, ShownCall] | None:
    """The turn and call that opened the positive."""
    recorded, search = pair.provenance.browse_turn, pair.provenance.turn
    later = transcript.turns[search:] if recorded is None else transcript.turns[recorded : recorded + 1]
    calls = ((turn, call) for turn in later for call in turn.calls)
    return next(((turn, call) for turn, call in calls if call.call.docid == pair.positive), None)
