"""The pages: each a function of the library and the parameters of its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Meta, Struct
from pyarrow import compute
from starlette.responses import Response

from lrat_sim.colours import Looks
from lrat_sim.comparison.plot import success_plot
from lrat_sim.decoding import convert
from lrat_sim.errors import InputError, said_plainly
from lrat_sim.records import Trajectory, encode
from lrat_sim.tables import dollars, number, percent
from lrat_sim.viewer.arms import RESULTS, Match, arms, choice_texts, chosen, matches
from lrat_sim.viewer.files import MinedPair, PairsFile
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.listing import EVIDENCE, Page, Query, address, choices, matching, select
from lrat_sim.viewer.transcript import Transcript, divergence

P = TypeVar("P", bound=Struct)


class BadAddress(InputError):
    """The parameters of an address cannot be read."""

    def __init__(self, problem: str):
        super().__init__(f"the address cannot be read: {problem}; correct it, or begin at the list.")


class Address(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address without parameters; the pages that have some extend it."""


def read_address(parameters: Mapping[str, str], kind: type[P]) -> P:
    """The parameters of an address as a record; blank ones are left out."""
    try:
        return convert({key: value for key, value in parameters.items() if value != ""}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadAddress(said_plainly(error)) from error


def page(library: Library, template: str, status: int = 200, /, **values: Any) -> Response:
    """A page from a template."""
    text = _TEMPLATES.get_template(template).render(library=library, **values)
    # half of a surrogate pair, as a broken reply may hold, is no character of UTF-8
    return Response(text.encode("utf-8", "replace"), status, media_type="text/html; charset=utf-8")


def home(library: Library, query: Query) -> Response:
    """The answers of comparisons where there are any, else the list."""
    if query == Query() and any(placed.comparison.answer for placed in library.comparisons):
        return runs(library, Address())
    return trajectories(library, query)


def trajectories(library: Library, query: Query) -> Response:
    """The list."""
    library.refresh(evidence=bool(query.evidence) or query.sort.lstrip("-") == "evidence")
    table = library.table
    shown = select(table, query)
    return page(library, "trajectories.html", query=query, page=shown, choices=choices(table), all=table.num_rows)


def runs(library: Library, _: Address) -> Response:
    """What comparisons found, and the runs with their figures."""
    answered = [placed for placed in library.comparisons if placed.comparison.answer]
    plots = [
        success_plot(placed.comparison, f"success-{number}", Looks(placed.comparison.arms))
        for number, placed in enumerate(answered)
    ]
    return page(library, "runs.html", arms=arms(library), comparisons=list(zip(answered, plots, strict=True)))


class TrajectoryAddress(Address, frozen=True, kw_only=True):
    """Names one trajectory."""

    run: str
    id: str


class DocumentAddress(TrajectoryAddress, frozen=True, kw_only=True):
    """Names a document that a trajectory met."""

    docid: str


def trajectory(library: Library, asked: TrajectoryAddress) -> Response:
    """One trajectory."""
    files = library.mined_from(library.run(asked.run))
    pairs = [mined for file in files for mined in file.pairs(file.numbers(asked.id))]
    shown = _transcript(library, asked.run, asked.id, pairs=pairs)
    same_task = select(library.table, Query(task=shown.trajectory.task_id, sort="arm", size=100)).rows
    others = [row for row in same_task if (row["run"], row["id"]) != (asked.run, asked.id)]
    return page(library, "trajectory.html", shown=shown, pairs=pairs, others=others)


def record(library: Library, asked: TrajectoryAddress) -> Response:
    """One trajectory as it is recorded, in JSON."""
    return Response(encode(library.run(asked.run).trajectory(asked.id)), media_type="application/json")


def document(library: Library, asked: DocumentAddress) -> Response:
    """One document of the corpus that a trajectory searched; without it what the run was shown of it."""
    shown, docid = _transcript(library, asked.run, asked.id), asked.docid
    if not shown.is_readable(docid):
        raise InputError(f"this run was shown no document {docid!r}, and its corpus is not here.")
    calls = [(turn, call) for turn in shown.turns for call in turn.calls]
    listed = [(turn, call, hit) for turn, call in calls for hit in call.call.hits or () if hit.docid == docid]
    opened = [(turn, call) for turn, call in calls if call.call.docid == docid]
    return page(library, "document.html", docid=docid, shown=shown, listed=listed, opened=opened)


def _transcript(
    library: Library, run: str, name: str, pairs: Sequence[MinedPair] = (), other: Trajectory | None = None
) -> Transcript:
    folder, table = library.run(run), library.table
    trajectory, grades = folder.trajectory(name), folder.grades.of(name)
    rows = table.filter(compute.and_(compute.equal(table["run"], run), compute.equal(table["id"], name)))
    return Transcript(
        trajectory,
        folder.tasks.get(trajectory.task_id),
        library.corpora.of(trajectory.retriever),
        verdicts=folder.verdicts.of(name),
        pairs=pairs,
        other=other,
        grade=grades[-1] if grades else None,
        row=rows.to_pylist()[0],
    )


class CompareAddress(Address, frozen=True, kw_only=True):
    """Two arms, and which of their tasks are listed."""

    a: str = ""
    b: str = ""
    result: Literal["", "won", "lost", "tied", "unknown"] = ""
    q: Annotated[str, Meta(max_length=1000)] = ""
    page: Annotated[int, Meta(ge=1)] = 1


class VersusAddress(CompareAddress, frozen=True, kw_only=True):
    """Two arms and a task, in the list it was chosen from."""

    task: str
    sample: Annotated[int, Meta(ge=0)] = 0


def compare(library: Library, asked: CompareAddress) -> Response:
    """Two arms by task."""
    known = [arm.name for arm in arms(library)]
    bases = [placed.arm(placed.comparison.base) for placed in library.comparisons]
    a, b = chosen(known, bases, asked.a, asked.b)
    every = _matches(library, a, b, asked.q) if b else []
    return page(
        library,
        "compare.html",
        asked=asked,
        a=a,
        b=b,
        known=choice_texts(known),
        counts={result: sum(match.result == result for match in every) for result in RESULTS},
        page=Page.cut([match for match in every if asked.result in ("", match.result)], asked.page),
        every=len(every),
    )


def versus(library: Library, asked: VersusAddress) -> Response:
    """Two arms on one task, side by side."""
    every = _matches(library, asked.a, asked.b, asked.q)
    wanted = [match for match in every if asked.result in ("", match.result) or match.task == asked.task]
    position = next((index for index, match in enumerate(wanted) if match.task == asked.task), None)
    if position is None:
        raise InputError(f"neither {asked.a!r} nor {asked.b!r} was run on the task {asked.task!r}.")
    match = wanted[position]
    names = [side.runs[min(asked.sample, len(side.runs) - 1)] if side.runs else None for side in (match.a, match.b)]
    a, b = (library.run(name[0]).trajectory(name[1]) if name else None for name in names)
    return page(
        library,
        "versus.html",
        asked=asked,
        match=match,
        sides=[
            _transcript(library, *name, other=other) if name else None
            for name, other in zip(names, (b, a), strict=True)
        ],
        divergence=divergence(a, b) if a is not None and b is not None else None,
        samples=max(len(match.a.runs), len(match.b.runs)),
        before=wanted[position - 1] if position else None,
        after=wanted[position + 1] if position + 1 < len(wanted) else None,
        number=position + 1,
        total=len(wanted),
    )


def _matches(library: Library, a: str, b: str, words: str) -> list[Match]:
    every = matches(library.table, a, b)
    if not words:
        return every
    # a word of one side's answer brings the other side with it
    tasks = set(matching(library.table, Query(q=words))["task_id"].to_pylist())
    return [match for match in every if match.task in tasks]


class PairsAddress(Address, frozen=True, kw_only=True):
    """A file of pairs."""

    file: str = ""
    page: Annotated[int, Meta(ge=1)] = 1


class PairAddress(Address, frozen=True, kw_only=True):
    """One pair of a file."""

    file: str
    number: int


def pairs(library: Library, asked: PairsAddress) -> Response:
    """The pairs of a file."""
    names = sorted(library.pairs)
    if not names and not asked.file:
        return page(library, "pairs.html", file=None)
    file = _pairs_file(library, asked.file or names[0])
    shown = Page.cut(range(1, len(file) + 1), asked.page)
    return page(library, "pairs.html", file=file, names=names, page=shown, rows=file.pairs(shown.rows))


def pair(library: Library, asked: PairAddress) -> Response:
    """One pair: where it came from, and what each document is to it."""
    file = _pairs_file(library, asked.file)
    if not 1 <= asked.number <= len(file):
        raise InputError(f"{file.path} has no pair {asked.number}; its pairs count from 1 to {len(file)}.")
    mined = file.pairs([asked.number])[0]
    source, table = mined.pair.provenance, library.table
    of_it = table.filter(compute.equal(table["id"], source.trajectory))["run"].to_pylist()
    run = next((run for run in of_it if library.runs[run].folder.resolve() in file.runs), None)
    if run is None:
        return page(library, "pair.html", file=file, mined=mined, shown=None)
    shown = _transcript(library, run, source.trajectory, pairs=[mined])
    turn = shown.turns[source.turn] if source.turn < len(shown.turns) else None
    call = next((call for call in turn.calls if call.pairs), None) if turn is not None else None
    if call is None:
        raise InputError(f"pair {mined.number} of {file.path} names a call that its trajectory has not; mine it again.")
    # the turn and call that opened the positive
    later = shown.turns[source.turn :]
    if source.browse_turn is not None:
        later = shown.turns[source.browse_turn : source.browse_turn + 1]
    calls = ((turn, call) for turn in later for call in turn.calls)
    browse = next(((turn, call) for turn, call in calls if call.call.docid == mined.pair.positive), None)
    return page(library, "pair.html", file=file, mined=call.pairs[0], shown=shown, turn=turn, call=call, browse=browse)


def _pairs_file(library: Library, name: str) -> PairsFile:
    if name not in library.pairs:
        raise InputError(f"there is no file of pairs {name!r} here; choose one of the list.")
    library.pairs[name].refresh()
    return library.pairs[name]


def _seconds(value: float) -> str:
    """A time, as long as it needs."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def _many(count: int, word: str, plural: str = "") -> str:
    """A count with its word: 1 turn, 2 turns."""
    return f"{count:,} {word if count == 1 else plural or word + 's'}"


_TEMPLATES = Environment(
    loader=PackageLoader("lrat_sim.viewer"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(address=address, EVIDENCE=EVIDENCE, RESULTS=RESULTS)
_TEMPLATES.filters.update(
    number=lambda value, digits=0: number(value, digits),
    percent=percent,
    seconds=_seconds,
    dollars=dollars,
    many=_many,
    last=lambda path: path.rpartition("/")[2],
    before_last=lambda path: "".join(path.rpartition("/")[:2]),
)
