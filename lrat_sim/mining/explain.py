"""Where a pair came from: the search, its list with a label for each document, the browse, the verdict, the weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lrat_sim.artifact import read_records
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.grading.relevance import Browse
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.mining.parts import NEGATIVES
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.report import UNLABELLED, MiningReport
from lrat_sim.mining.run import PAIRS, REPORT
from lrat_sim.mining.runs import run_of
from lrat_sim.mining.uptake import where_used
from lrat_sim.mining.walks import WALKS, Candidates
from lrat_sim.records import Grade, Pair, Trajectory, Verdict, VerdictState
from lrat_sim.rollout.index import read_trajectories

_R = TypeVar("_R", Verdict, Grade)

LabelState = Literal["positive", "rejected", "negative", "neither"]

_STYLES: dict[LabelState, str] = {"positive": "green", "rejected": "red", "negative": "red", "neither": "dim"}


class Label(Struct, frozen=True, kw_only=True):
    """What a document is to a pair, and why.

    ``rank`` is that in the list of the pair's search, None where it is not there; ``weight`` is a negative's.
    """

    docid: str
    rank: int | None
    state: LabelState
    why: str
    weight: float | None = None


def explain(
    pairs: Path, place: int, runs: Iterable[Path] | None = None, *, corpus: Corpus | None = None
) -> RenderableType:
    """The account of one pair of a file, for a rich console.

    Args:
        pairs: pairs.jsonl, or the folder that holds it.
        place: which pair, from 1.
        runs: the run folders that were mined; by default those that mining.json names.
        corpus: gives the documents' titles.

    Raises:
        InputError: there is no such pair, or its trajectory is in none of the folders.
    """
    path = pairs / PAIRS if pairs.is_dir() else pairs
    if not path.is_file():
        raise InputError(f"{path} does not exist; mine the run first (lrat-sim mine).")
    pair = next(islice(read_records(path, Pair), place - 1, None), None) if place > 0 else None
    if pair is None:
        raise InputError(f"{path} has no pair {place}; pairs count from 1 to the number of its lines.")
    report = _report(path.with_name(REPORT))
    folders = [path.parent / name for name in report.runs] if report is not None else [path.parent]
    folders = list(runs) if runs is not None else folders
    trajectory = _trajectory(pair.provenance.trajectory, folders)
    of_it = pair.provenance.trajectory
    return explain_pair(
        pair,
        trajectory,
        verdicts=[each for each in _beside(folders, VERDICTS, Verdict) if each.trajectory_id == of_it],
        grades=[each for each in _beside(folders, GRADES, Grade) if each.trajectory_id == of_it],
        report=report,
        corpus=corpus,
    )


def explain_pair(
    pair: Pair,
    trajectory: Trajectory,
    *,
    verdicts: Iterable[Verdict] = (),
    grades: Iterable[Grade] = (),
    report: MiningReport | None = None,
    corpus: Corpus | None = None,
) -> RenderableType:
    """The account of a pair whose trajectory is at hand; see :func:`explain`.

    Args:
        pair: the pair.
        trajectory: the run that it was mined from.
        verdicts: on the run's browses, the latest last.
        grades: of its answer, likewise.
        report: of the mining; its recipe says why a document is neither positive nor negative.
        corpus: gives the documents' titles.
    """
    verdicts = list(verdicts)
    grade = next(reversed(list(grades)), None)
    return Group(
        _run(pair, trajectory, grade),
        _search(pair, trajectory),
        _list(labels(pair, trajectory, verdicts, report), corpus),
        _browse(pair, trajectory, _latest(verdicts, report)),
        _weight(pair, report),
    )


def _report(path: Path) -> MiningReport | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=MiningReport)
    except (OSError, *NOT_JSON):  # pairs made or moved by hand have none beside them
        return None


def _trajectory(name: str, folders: list[Path]) -> Trajectory:
    for folder in folders:
        for trajectory in read_trajectories(folder):
            if trajectory.id == name:
                return trajectory
    given = ", ".join(map(str, folders))
    raise InputError(f"the trajectory {name!r} of this pair is not in {given}; give the run folders that were mined.")


def _beside(folders: list[Path], name: str, kind: type[_R]) -> Iterable[_R]:
    for folder in folders:
        if (folder / name).is_file():
            yield from read_records(folder / name, kind)


def _candidates(
    pair: Pair, trajectory: Trajectory, verdicts: dict[tuple[int, int], Verdict], recipe: MiningRecipe
) -> Candidates | None:
    where = pair.provenance

    def said(browse: Browse) -> VerdictState | None:
        found = verdicts.get((browse.turn, browse.call))
        return None if found is None else found.state

    run = run_of(trajectory)
    verdict = where_used(run, said) if recipe.useful == "used" else said
    for each in WALKS[recipe.walk].candidates(run, verdict, recipe.parallel, Counter()):
        browses = [browse for opened in each.opened for browse in opened]
        here = each.search.turn == where.turn and where.call in (None, each.search.call)
        if here and any(where.browse_turn in (None, browse.turn) for browse in browses):
            return each
    return None


def _run(pair: Pair, trajectory: Trajectory, grade: Grade | None) -> RenderableType:
    table = _facts()
    table.add_row("question", Text(trajectory.question))
    table.add_row("trajectory", Text(f"{trajectory.id}, agent {pair.provenance.agent or 'unknown'}"))
    said = f" ({grade.state}, says {grade.judge})" if grade is not None else " (not graded)"
    table.add_row("answer", Text(f"{trajectory.answer or trajectory.status}{said}"))
    return table


def _search(pair: Pair, trajectory: Trajectory) -> RenderableType:
    where = pair.provenance
    turn = trajectory.turns[where.turn]
    table = _facts()
    table.add_row("reasoning before", Text(_short(turn.reasoning)))
    searches = [call for call in turn.calls if call.hits is not None]
    if where.call is not None:
        searches = [turn.calls[where.call]]
    for call in searches:
        table.add_row("asked for", Text(str(call.arguments)))
        table.add_row("ran", Text(str(call.executed)))
    table.add_row("query of the pair", Text(pair.query))
    return Panel(table, title=f"search, turn {where.turn}", title_align="left")


def labels(
    pair: Pair,
    trajectory: Trajectory,
    verdicts: Iterable[Verdict] = (),
    report: MiningReport | None = None,
) -> list[Label]:
    """What every document that a pair could have used is to it: those of its search's list first, by rank.

    Args:
        pair: the pair.
        trajectory: the run that it was mined from.
        verdicts: on the run's browses, the latest last.
        report: of the mining; its recipe says why a document is neither positive nor negative.
    """
    recipe = report.recipe if report is not None else MiningRecipe()
    found = _candidates(pair, trajectory, _latest(verdicts, report), recipe)
    tiers = {negative.docid: negative for negative in pair.negatives}
    ranks = {hit.docid: hit.rank for hit in found.search.hits} if found is not None else {}
    standing = dict(found.listed) if found is not None else {}
    made: list[Label] = []
    for docid in dict.fromkeys([*ranks, pair.positive, *standing, *tiers]):
        rank, stands = ranks.get(docid), UNLABELLED.get(standing.get(docid, ""), "")
        if docid == pair.positive:
            state: LabelState = "positive" if pair.satisfied else "rejected"
            made.append(Label(docid=docid, rank=rank, state=state, why=f"rule {pair.provenance.rule}"))
        elif docid in tiers:
            why = f"rule {tiers[docid].tier}: {stands}"
            made.append(Label(docid=docid, rank=rank, state="negative", weight=tiers[docid].weight, why=why))
        else:
            why = _neither(docid, standing.get(docid), found, recipe)
            made.append(Label(docid=docid, rank=rank, state="neither", why=why))
    return made


def _latest(verdicts: Iterable[Verdict], report: MiningReport | None) -> dict[tuple[int, int], Verdict]:
    judge = report.judge if report is not None else None
    return {(each.turn, each.call): each for each in verdicts if judge in (None, each.judge)}


def _list(of_documents: Iterable[Label], corpus: Corpus | None) -> RenderableType:
    table = Table(title="the documents, and what they are to this pair", title_justify="left", expand=True)
    for name, ratio in (("rank", 2), ("document", 6), ("label", 5), ("why", 13)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for each in of_documents:
        title = ""
        if corpus is not None and each.docid in corpus:
            title = f" {corpus.document(each.docid).title}"
        said = each.state if each.weight is None else f"{each.state} {each.weight:g}"
        rank = "-" if each.rank is None else str(each.rank)
        table.add_row(rank, Text(each.docid + title), Text(said, style=_STYLES[each.state]), Text(each.why))
    return table


def _neither(docid: str, standing: str | None, found: Candidates | None, recipe: MiningRecipe) -> str:
    if standing is None or found is None:
        return "opened from these lists" if found is not None else ""
    picked = any(standing in NEGATIVES[source.rule] for source in recipe.negatives)
    if not picked:
        return UNLABELLED.get(standing, standing)
    if recipe.guards.look_ahead and docid in found.later:
        return UNLABELLED["opened_later"]
    return f"{UNLABELLED.get(standing, standing)}; left out by a guard or a limit"


def _browse(pair: Pair, trajectory: Trajectory, verdicts: dict[tuple[int, int], Verdict]) -> RenderableType:
    where = pair.provenance
    places = [
        (number, index)
        for number, turn in enumerate(trajectory.turns)
        for index, call in enumerate(turn.calls)
        if (where.browse_turn is None and call.docid == pair.positive and number >= where.turn)
        or (number, index) == (where.browse_turn, where.browse_call)
    ]
    table = _facts()
    for number, index in places[:1]:
        after = trajectory.turns[number + 1].reasoning if number + 1 < len(trajectory.turns) else None
        table.add_row("reasoning after", Text(_short(after)))
        verdict = verdicts.get((number, index))
        if verdict is None:
            table.add_row("verdict", "none")
        else:
            votes = f", votes {Counter(verdict.votes).most_common()}" if verdict.votes else ""
            table.add_row("verdict", Text(f"{verdict.state}, says {verdict.judge}{votes}: {verdict.reason or ''}"))
    turn = f", turn {places[0][0]}" if places else ""
    return Panel(table, title=Text(f"browse of {pair.positive}{turn}"), title_align="left")


def _weight(pair: Pair, report: MiningReport | None) -> RenderableType:
    table = _facts()
    unit = report.recipe.length if report is not None else "tokens"
    table.add_row("length", f"{pair.length} {unit} of reasoning right after the browse")
    if report is not None and report.beta:
        table.add_row("raw weight", f"{pair.raw_weight:.4f}, with beta {report.beta:g}")
    else:
        table.add_row("raw weight", f"{pair.raw_weight:.4f}")
    over = f" = {pair.raw_weight:.4f} / {report.mean_raw:.4f}" if report is not None and report.mean_raw else ""
    table.add_row("weight", f"{pair.weight:.4f}{over}")
    return table


def _facts() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def _short(text: str | None) -> str:
    if text is None:
        return "none"
    return text if len(text) <= 1500 else f"{text[:1500]} ..."
