"""Trajectories of many shapes, made by hand: whatever a record can hold should survive the formats."""

from __future__ import annotations

import pytest

from lrat_sim.formats import About, Entry, format_named
from lrat_sim.records import Attempt, Call, Failure, Grade, Hit, Task, Trajectory, Turn, Usage, Verdict

AGENT = {"name": "scripted", "model": "x/y", "prompt": "Search.\n", "answer_prompt": "Answer now.\n"}
AGENT["fingerprint"] = "aa"
RETRIEVER = {"kind": "bm25", "fingerprint": "bb"}


def search(name, query, ran, *docids):
    hits = [Hit(docid=docid, score=9.5 - rank, rank=rank) for rank, docid in enumerate(docids, 1)]
    listed = "\n\n".join(f"DocID:{docid}\n[title {docid}]\nsnippet of {docid}" for docid in docids)
    output = f"A search for '{ran}' found {len(docids)} results:\n\n## Web Results\n{listed}"
    return Call(
        id=name,
        tool="search",
        arguments={"query": query},
        executed={"query": ran},
        output=output,
        hits=hits,
        seconds=0.5,
    )


def browse(name, docid):
    output = f"Document {docid}:\ntitle {docid}\nthe text of {docid}"
    return Call(
        id=name, tool="get_document", arguments={"docid": docid}, executed={"docid": docid}, output=output, docid=docid
    )


def entry(task, sample=0, **changes):
    """A run of four turns: parallel searches, a browse, a call that failed, an answer."""
    name = f"{task}.{sample}.cafe"
    turns = [
        Turn(
            reasoning="First I look.",
            reasoning_tokens=4,
            calls=[search("a", ["q one", "q two"], "q one", "d1", "d2"), search("b", "q three", "q three")],
            usage=Usage(prompt_tokens=10, completion_tokens=5, cost=0.25),
            attempts=[Attempt(seconds=1.5, status=429, error="slow"), Attempt(seconds=0.5, status=200)],
        ),
        Turn(
            reasoning="", reasoning_tokens=0, calls=[browse("c", "d2")], raw={"thinking_blocks": [{"signature": "s"}]}
        ),
        Turn(
            reasoning=None,
            reasoning_tokens=0,
            text="Let me see.",
            calls=[Call(id="e", tool="search", arguments="{'query", output="Error: not JSON.", error="not JSON")],
        ),
        Turn(reasoning="So it is 中文.", reasoning_tokens=5, text=f"The answer of {task} is blue."),
    ]
    values = {
        "id": name,
        "task_id": task,
        "question": f"Which colour has {task}?",
        "sample": sample,
        "agent": AGENT,
        "retriever": RETRIEVER,
        "seed": 7,
        "status": "answered",
        "end_reason": "answer",
        "answer": f"The answer of {task} is blue.",
        "turns": turns,
        "usage": Usage(prompt_tokens=10, completion_tokens=5, cost=0.25),
        "seconds": 3.25,
        "extra": {"sampling": {"temperature": 0.5}},
    }
    trajectory = Trajectory(**{**values, **changes})
    return Entry(
        trajectory=trajectory,
        task=Task(id=task, question=trajectory.question, answers=["blue", "azure"], evidence=["d2"]),
        grades=[
            Grade(trajectory_id=name, state="incorrect", judge="j1"),
            Grade(trajectory_id=name, state="correct", judge="j2"),
        ],
        verdicts=[Verdict(trajectory_id=name, turn=1, call=0, state="relevant", judge="rules", votes=["relevant"])],
    )


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
