"""Trajectories of many shapes, made by hand: whatever a record can hold should survive the formats."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from lrat_sim.formats import About, Entry, format_named
from lrat_sim.records import Failure

FILES = Path(__file__).parent / "files"


def entry(task, sample=0, **changes):
    """A run of four turns: parallel searches, a browse, a call that failed, an answer."""
    text = (FILES / "entry.json").read_text().replace("TASK", json.dumps(task, ensure_ascii=False)[1:-1])
    made = msgspec.json.decode(text, type=Entry).changed(**{"id": f"{task}.{sample}.cafe", "sample": sample, **changes})
    asked = msgspec.structs.replace(made.task, question=made.trajectory.question)
    return msgspec.structs.replace(made, task=asked)


@pytest.fixture
def make():
    return entry


@pytest.fixture
def entries():
    """An answered run, a second sample of it that found nothing, one that broke, and one of another retriever."""
    broken = entry(
        "t2", status="error", end_reason="error", answer=None, turns=[], error=Failure(boundary="model", message="gone")
    )
    plain = [
        entry("t1"),
        entry(
            "t1", 1, status="unanswered", end_reason="turn_limit", answer=None, turns=entry("t1").trajectory.turns[:2]
        ),
        entry("t3", retriever={"kind": "dense", "fingerprint": "cc"}),
    ]
    return [*plain, Entry(trajectory=broken.trajectory, task=broken.task)]


@pytest.fixture
def run_folder(tmp_path):
    """Makes a run folder of entries, with tasks that were never run."""

    def made(name, entries, *unrun):
        assert format_named("run").write
        format_named("run").write(iter(entries), tmp_path / name, About(unrun=unrun))
        return tmp_path / name

    return made


@pytest.fixture
def check_rivers():
    """Checks the run on the Elbe, which several tools recorded: in whatever format, it says the same."""

    def check(entry, tool):
        run = entry.trajectory
        assert (run.question, run.agent["prompt"]) == ("Where does the Elbe rise?", "Search, then answer.")
        assert (run.status, run.end_reason, run.answer) == ("answered", "answer", "Giant Mountains")
        assert "Giant Mountains" in entry.task.answers
        assert (entry.grade.state, entry.grade.confidence) == ("correct", 90)
        thoughts = ["I should look for the river's source.", "d7 looks right, d0 too.", "Now I know it."]
        assert [turn.reasoning for turn in run.turns] == thoughts
        assert run.turns[0].reasoning_tokens > 5
        assert run.turns[1].text is None
        first, second, third, _ = calls = list(run.calls())
        assert [first.arguments, second.arguments] == [{"query": "Elbe source"}, {"query": "Elbe mouth"}]
        assert first.tool == tool
        assert [(hit.docid, hit.score, hit.rank) for hit in first.hits] == [("d7", 3.5, 1), ("d2", 1.25, 2)]
        assert third.docid == "d7"
        assert run.usage.completion_tokens == 21
        assert run.seconds > 0
        return calls

    return check


@pytest.fixture
def published(data):
    """The six trajectories that were published with the LRAT paper."""
    return data / "lrat-trajectories"
