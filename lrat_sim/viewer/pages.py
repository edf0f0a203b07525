"""The pages of comparisons' answers, runs and trajectories: each a function of the renderer and the address."""

from __future__ import annotations

from msgspec import Struct
from starlette.responses import Response

from lrat_sim.errors import InputError
from lrat_sim.records import encode
from lrat_sim.viewer.arms import arms
from lrat_sim.viewer.listing import FILTER_COLUMNS, Query, choices, select
from lrat_sim.viewer.plot import success_plot
from lrat_sim.viewer.renderer import Renderer
from lrat_sim.viewer.titles import found_in


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """An address without parameters."""


class TrajectoryAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """Names one trajectory."""

    run: str
    id: str


class DocumentAddress(TrajectoryAddress, frozen=True, forbid_unknown_fields=True):
    """Names a document that a trajectory met."""

    docid: str


def home(renderer: Renderer, asked: Query) -> Response:
    """The answers of comparisons where there are any, else the list."""
    if asked == Query() and any(card.answer for card in renderer.library.comparisons):
        return runs(renderer, Nothing())
    return trajectories(renderer, asked)


def trajectories(renderer: Renderer, query: Query) -> Response:
    """The list."""
    library = renderer.library
    library.refresh(evidence=bool(query.evidence) or query.sort.lstrip("-") == "evidence")
    table = library.table
    return renderer.page(
        "trajectories.html",
        query=query,
        page=select(table, query),
        choices={name: choices(table, column) for name, column in FILTER_COLUMNS.items() if name != "task"},
        all=table.num_rows,
    )


def runs(renderer: Renderer, _: Nothing) -> Response:
    """What comparisons found, and the runs with their figures."""
    library = renderer.library
    cards = [(card, success_plot(card, number)) for number, card in enumerate(library.comparisons) if card.answer]
    return renderer.page("runs.html", arms=arms(library), comparisons=cards)


def trajectory(renderer: Renderer, asked: TrajectoryAddress) -> Response:
    """One trajectory."""
    library, shown = renderer.library, renderer.shown(asked.run, asked.id)
    pairs = [(pair, file.report) for file in library.mined_from(shown.run) for pair in file.of(asked.id)]
    same_task = select(library.table, Query(task=shown.trajectory.task_id, sort="arm", size=100)).rows
    return renderer.page(
        "trajectory.html",
        shown=shown,
        transcript=shown.transcript(library, verdicts=shown.run.verdicts(asked.id), pairs=pairs),
        pairs=[pair for pair, _ in pairs],
        others=[row for row in same_task if (row["run"], row["id"]) != (asked.run, asked.id)],
    )


def record(renderer: Renderer, asked: TrajectoryAddress) -> Response:
    """One trajectory as it is recorded, in JSON."""
    return Response(encode(renderer.shown(asked.run, asked.id).trajectory), media_type="application/json")


def document(renderer: Renderer, asked: DocumentAddress) -> Response:
    """One document of the corpus that a trajectory searched; without it what the run was shown of it."""
    library, shown = renderer.library, renderer.shown(asked.run, asked.id)
    found = found_in(library.corpora.of(shown.trajectory.retriever), asked.docid)
    transcript = shown.transcript(library, verdicts=shown.run.verdicts(asked.id))
    calls = [(turn, call) for turn in transcript.turns for call in turn.calls]
    listed = [(turn, hit) for turn, call in calls for hit in call.hits if hit.hit.docid == asked.docid]
    opened = [(turn, call) for turn, call in calls if call.call.docid == asked.docid]
    if found is None and not listed and not opened:
        raise InputError(f"this run was shown no document {asked.docid!r}, and its corpus is not here.")
    return renderer.page(
        "document.html",
        docid=asked.docid,
        document=found,
        title=transcript.title(asked.docid),
        listed=listed,
        opened=opened,
        shown=shown,
        evidence=shown.task is not None and asked.docid in shown.task.evidence,
    )
