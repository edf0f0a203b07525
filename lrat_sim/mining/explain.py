"""Where a pair came from: the search, its list with a label for each document, the browse, the verdict, the weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

from msgspec import Struct
from rich.console import Group, RenderableType

from lrat_sim.artifact import read_records
from lrat_sim.corpus.documents import Corpus
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.mining.pairs import candidates_of, takers, why_no_negative
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.report import UNLABELLED, MiningReport
from lrat_sim.mining.rules import Candidates, Counts
from lrat_sim.mining.run import PAIRS, REPORT
from lrat_sim.records import Grade, Pair, PlacedCall, Task, Trajectory, Verdict
from lrat_sim.rollout.index import TASKS, asked_tasks, read_trajectories
from lrat_sim.tables import Group as Rows
from lrat_sim.tables import Row, Table, number

_R = TypeVar("_R", Verdict, Grade)

LabelState = Literal["positive", "rejected", "negative", "neither"]

_LONGEST = 1500
"""Characters of reasoning that are shown."""


class Label(Struct, frozen=True, kw_only=True):
    """What a document is to a pair, and why."""

    docid: str
    rank: int | None  # in the list of the pair's search, None where it is not there
    state: LabelState
    why: str
    weight: float | None = None  # of a negative


def explain(
    pairs: Path, index: int, runs: Iterable[Path] | None = None, *, corpus: Corpus | None = None
) -> RenderableType:
    """The account of one pair of a file, for a rich console.

    Args:
        pairs: pairs.jsonl, or the folder that holds it.
        index: which pair, from 1.
        runs: the run folders that were mined; by default those that mining.json names.
        corpus: gives the documents' titles.

    Raises:
        InputError: there is no such pair, or its trajectory is in none of the folders.
    """
    path = pairs / PAIRS if pairs.is_dir() else pairs
    if not path.is_file():
        raise InputError(f"{path} does not exist; mine the run first (lrat-sim mine).")
    pair = next(islice(read_records(path, Pair), index - 1, None), None) if index > 0 else None
    if pair is None:
        raise InputError(f"{path} has no pair {index}; pairs count from 1 to the number of its lines.")
    report = _report(path.with_name(REPORT))
    folders = [path.parent / name for name in report.runs] if report is not None else [path.parent]
    folders = list(runs) if runs is not None else folders
    run = _trajectory(pair.provenance.trajectory, folders)
    verdicts = _records_of(run, folders, VERDICTS, Verdict)
    grades = _records_of(run, folders, GRADES, Grade)
    facts = _facts(pair, run, grades[-1] if grades else None, _latest(verdicts, report), report)
    groups = [Rows([Row([*fact]) for fact in part.items()], title) for title, part in facts.items()]
    origin = Table(title="where the pair came from", columns=["", ""], groups=groups, text_columns=(0, 1))
    rows = []
    tasks = (task for folder in folders if (folder / TASKS).is_file() for task in asked_tasks(folder))
    task = next((task for task in tasks if task.id == run.task_id), None)
    for label in labels(pair, run, verdicts, report, task):
        title = corpus.document(label.docid).title if corpus is not None and label.docid in corpus else ""
        state = label.state if label.weight is None else f"{label.state} {label.weight:g}"
        rows.append([number(label.rank, 0), f"{label.docid} {title}".strip(), state, label.why])
    columns = ("rank", "document", "label", "why")
    documents = Table.of("the documents, and what they are to this pair", columns, rows, text_columns=(1, 2, 3))
    return Group(origin.to_terminal(), "", documents.to_terminal())


def _report(path: Path) -> MiningReport | None:
    try:
        return from_json(path.read_bytes(), MiningReport)
    except (OSError, *NOT_JSON):  # pairs made or moved by hand have none beside them
        return None


def _trajectory(name: str, folders: list[Path]) -> Trajectory:
    for folder in folders:
        for run in read_trajectories(folder):
            if run.id == name:
                return run
    given = ", ".join(map(str, folders))
    raise InputError(f"the trajectory {name!r} of this pair is not in {given}; give the run folders that were mined.")


def _records_of(run: Trajectory, folders: list[Path], name: str, kind: type[_R]) -> list[_R]:
    files = (folder / name for folder in folders if (folder / name).is_file())
    return [record for file in files for record in read_records(file, kind) if record.trajectory_id == run.id]


def _latest(verdicts: Iterable[Verdict], report: MiningReport | None) -> dict[tuple[int, int], Verdict]:
    judge = report.judge if report is not None else None
    return {(verdict.turn, verdict.call): verdict for verdict in verdicts if judge in (None, verdict.judge)}


def labels(
    pair: Pair,
    run: Trajectory,
    verdicts: Iterable[Verdict] = (),
    report: MiningReport | None = None,
    task: Task | None = None,
) -> list[Label]:
    """What every document that a pair could have used is to it: those of its search's list first, by rank.

    Of several verdicts on a browse the last counts; the report's recipe says why a document is neither, for some
    recipes by the task's answers.
    """
    recipe = report.recipe if report is not None else MiningRecipe()
    candidates = _candidates(pair, run, _latest(verdicts, report), recipe, task.answers if task is not None else ())
    ranks = {hit.docid: hit.rank for hit in candidates.search.hits} if candidates is not None else {}
    listed = {document.docid: document for document in candidates.listed} if candidates is not None else {}
    negatives = {negative.docid: negative for negative in pair.negatives}
    made: list[Label] = []
    for docid in dict.fromkeys([*ranks, pair.positive, *listed, *negatives]):
        document, weight = listed.get(docid), None
        meaning = UNLABELLED.get(document.state, document.state) if document is not None else ""
        state: LabelState = "neither"
        if docid == pair.positive:
            state, why = "positive" if pair.satisfied else "rejected", f"rule {pair.provenance.rule}"
        elif docid in negatives:
            state, weight, why = "negative", negatives[docid].weight, f"rule {negatives[docid].tier}: {meaning}"
        elif document is None:
            why = "opened from these lists" if candidates is not None else ""
        elif (reason := why_no_negative(document, takers(document, recipe), recipe)) is not None:
            why = UNLABELLED.get(reason, reason)
        else:
            why = f"{meaning}; left out by a guard or a limit"
        made.append(Label(docid=docid, rank=ranks.get(docid), state=state, why=why, weight=weight))
    return made


def _candidates(
    pair: Pair,
    run: Trajectory,
    verdicts: dict[tuple[int, int], Verdict],
    recipe: MiningRecipe,
    answers: Sequence[str],
) -> Candidates | None:
    """What the pair's search and browse could have made of it; None where they are not in the run."""
    where = pair.provenance
    for candidates, _ in candidates_of(run, verdicts, recipe, Counts(), answers):
        search = candidates.search
        turns = [browse.turn for browses in candidates.opened for browse in browses]
        here = search.turn == where.turn and where.call in (None, search.call)
        if here and (where.browse_turn is None or where.browse_turn in turns):
            return candidates
    return None


def _facts(
    pair: Pair,
    run: Trajectory,
    grade: Grade | None,
    verdicts: dict[tuple[int, int], Verdict],
    report: MiningReport | None,
) -> dict[str, dict[str, str]]:
    """What is known of a pair, by part and name."""
    where, turn = pair.provenance, run.turns[pair.provenance.turn]
    graded = f"{grade.state}, says {grade.judge}" if grade is not None else "not graded"
    # a pair that was not mined here may not say which search of the turn it was
    calls = [call for call in turn.calls if call.is_search] if where.call is None else [turn.calls[where.call]]
    facts = {
        "the run": {
            "question": run.question,
            "trajectory": f"{run.id}, agent {where.agent or 'unknown'}",
            "answer": f"{run.answer or run.status} ({graded})",
        },
        f"the search, in turn {where.turn + 1}": {
            "reasoning before": _short(turn.reasoning),
            "asked for": "; ".join(str(call.arguments) for call in calls),
            "ran": "; ".join(str(call.executed) for call in calls),
            "query of the pair": pair.query,
        },
    }
    browse = next((placed for placed in run.placed_calls() if _is_browse_of(pair, placed)), None)
    title = "the browse" if browse is None else f"the browse, in turn {browse.turn + 1}"
    facts[title] = {"document": pair.positive}
    if browse is not None:
        after, verdict, shown = run.turn_after(browse.turn), verdicts.get(browse[:2]), "none"
        if verdict is not None:
            votes = ", ".join(f"{count} {state}" for state, count in Counter(verdict.votes).most_common())
            shown = f"{verdict.state}, says {verdict.judge}{votes and f' (votes: {votes})'}: {verdict.reason or ''}"
        facts[title] |= {"reasoning after": _short(after.reasoning if after else None), "verdict": shown}
    unit = report.recipe.length if report is not None else "tokens"
    raw = number(pair.raw_weight, 4)
    beta = f", with beta {report.beta:g}" if report is not None and report.beta else ""
    ratio = f" = {raw} / {number(report.mean_raw, 4)}" if report is not None and report.mean_raw else ""
    facts["the weight"] = {
        "length": f"{pair.length} {unit} of reasoning right after the browse",
        "raw weight": raw + beta,
        "weight": number(pair.weight, 4) + ratio,
    }
    return facts


def _is_browse_of(pair: Pair, placed: PlacedCall) -> bool:
    where = pair.provenance
    if where.browse_turn is None:
        return placed.call.docid == pair.positive and placed.turn >= where.turn
    return placed[:2] == (where.browse_turn, where.browse_call)


def _short(text: str | None) -> str:
    if text is None:
        return "none"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
