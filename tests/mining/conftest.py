from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import pytest

from lrat_sim.mining.pairs import BrowseVerdict, PairAssembler, label
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.records import Call, Hit, Trajectory, Turn

PAPER = MiningRecipe()


def _mine(runs, verdicts, recipe=PAPER, *, grades=None, corpus=None, encoder=None):
    by_run = defaultdict(dict)
    for (name, number, position), verdict in verdicts.items():
        by_run[name][number, position] = verdict if isinstance(verdict, BrowseVerdict) else BrowseVerdict(verdict)
    assembler = PairAssembler(recipe, corpus=corpus, encoder=encoder)
    for run in runs:
        assembler.add(*label(run, by_run[run.id], (grades or {}).get(run.id), recipe, corpus))
    return list(assembler.pairs()), assembler.report()


def search(query: str, docids: Sequence[str]) -> Call:
    hits = [Hit(docid=docid, score=1.0 / rank, rank=rank) for rank, docid in enumerate(docids, 1)]
    return Call(id="s", tool="search", arguments={"query": query}, executed={"query": query}, hits=hits)


def browse(docid: str) -> Call:
    return Call(id="b", tool="get_document", arguments={"docid": docid}, executed={"docid": docid}, docid=docid)


def failed(docid: str) -> Call:
    return Call(id="f", tool="get_document", arguments={"docid": docid}, error="no such document")


def turn(*calls: Call, reasoning: str | None = None, tokens: int | None = None) -> Turn:
    length = len(reasoning.split()) if reasoning else 0
    return Turn(reasoning=reasoning, reasoning_tokens=length if tokens is None else tokens, calls=list(calls))


def run(*turns: Turn, id: str = "t1", task: str = "q1", status: str = "answered") -> Trajectory:
    return Trajectory(
        id=id,
        task_id=task,
        question="?",
        sample=0,
        agent={},
        retriever={},
        seed=0,
        status=status,
        end_reason="answer" if status == "answered" else "gave_up" if status == "unanswered" else "error",
        answer="x" if status == "answered" else None,
        turns=list(turns),
    )


def opening(listed: Sequence[str], opened: str, *, query: str = "q", tokens: int = 1, **fields: str) -> Trajectory:
    """A run that opens one document of one list and finds it good."""
    return run(turn(search(query, listed)), turn(browse(opened)), turn(reasoning="fine", tokens=tokens), **fields)


class Make:
    search, browse, failed, turn, run, opening = map(staticmethod, (search, browse, failed, turn, run, opening))


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make


@pytest.fixture(scope="session")
def mine():
    """The pairs of some runs and the report; ``verdicts`` by trajectory id, turn and position."""
    return _mine


Verdicts = dict[tuple[str, int, int], str]


@pytest.fixture(scope="session")
def judged() -> Callable[..., Verdicts]:
    """Verdicts of some runs, all relevant but those given."""

    def judge(*runs: Trajectory, **other: str) -> Verdicts:
        table = {(each.id, number, index): "relevant" for each in runs for number, index, _ in each.browses()}
        for place, state in other.items():
            number, index = place.strip("_").split("_")
            table[(runs[0].id, int(number), int(index))] = state
        return table

    return judge
