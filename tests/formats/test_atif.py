from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.values import SourceRecord
from lrat_sim.formats import About, Notes, convert, format_named, read_any, recognise
from lrat_sim.formats.atif import FORMAT, entries_of, entry_of, record_of
from lrat_sim.records import Turn

HERE = SourceRecord(None, Path("here.json"))
LEFT = '<|channel|>commentary to=functions.search <|constrain|>json<|message|>{"query": "x"}<|call|>'
"""A call that a server left in the text, where a reader of messages takes it for one."""


def agent(message, *calls, results=(), **more):
    asked = [{"tool_call_id": i, "function_name": n, "arguments": a} for i, n, a in calls]
    shown = [{"source_call_id": i, "content": c} for i, c in results]
    step = {"source": "agent", "message": message, **more}
    return {
        **step,
        **({"tool_calls": asked} if calls else {}),
        **({"observation": {"results": shown}} if shown else {}),
    }


def foreign(*steps, **more):
    """A file as another tool writes it."""
    opening = [{"source": "system", "message": "Be brief."}, {"source": "user", "message": "Who?"}]
    numbered = [{"step_id": number, **step} for number, step in enumerate([*opening, *steps], start=1)]
    named = {"name": "terminus-2", "version": "2.0", "model_name": "x/y", "extra": {"parser": "json"}}
    return {"schema_version": "ATIF-v1.6", "session_id": "s-1", "agent": named, "steps": numbered, **more}


LISTED = json.dumps([{"docid": "d9", "score": 2.5}, {"docid": "d8", "score": 1}])
FOREIGN = foreign(
    agent(
        "Looking.",
        ("c1", "search", {"query": "a"}),
        ("c2", "visit", {"id": "d9"}),
        results=[("c2", "Document d9:\ntext"), ("c1", LISTED)],
        timestamp="2026-01-02T03:04:05Z",
        reasoning_content="Hmm.",
        metrics={"prompt_tokens": 11, "cached_tokens": 8, "completion_tokens": 7, "cost_usd": 0.5, "logprobs": [-0.5]},
    ),
    {"source": "user", "message": "go on"},
    {"source": "system", "message": "a reminder", "observation": {"results": [{"content": "seen by itself"}]}},
    agent([{"type": "text", "text": "Exact Answer: "}, {"type": "text", "text": "Ann"}], extra={"seen": "by chance"}),
    notes="a note of theirs",
    final_metrics={"total_prompt_tokens": 20, "total_completion_tokens": 9, "total_cost_usd": 0.75, "total_steps": 6},
    extra={"job": "theirs"},
)


def test_own_trajectories_come_back_as_they_were(entries, tmp_path):
    assert FORMAT.write(iter(entries), tmp_path / "out", About()) == len(entries)
    assert recognise(tmp_path / "out").name == "atif"
    back = {entry.trajectory.id: entry for entry in read_any(tmp_path / "out")}
    assert len(back) == len(entries)
    for entry in entries:
        assert back[entry.trajectory.id] == entry


@pytest.mark.parametrize(
    "changes",
    [
        {"end_reason": "turn_limit"},
        {"question": ""},
        {"turns": []},
        {"agent": {"name": "a", "prompt": "", "answer_prompt": "now", "fingerprint": "f"}, "end_reason": "token_limit"},
        {"agent": {"prompt": None, "atif": "odd", "name": 5}},
        {"turns": [Turn(reasoning=None, reasoning_tokens=0, text="<think>not a thought</think> x", raw={"a": 1})]},
        {"turns": [Turn(reasoning=None, reasoning_tokens=0, text=LEFT)]},
        {"turns": [Turn(reasoning="", reasoning_tokens=3), Turn(reasoning=None, reasoning_tokens=0, text="")]},
    ],
)
def test_odd_trajectories_come_back_too(make, changes):
    entry = make("t", **changes)
    assert entry_of(record_of(entry), HERE) == entry


def test_what_is_written_has_the_fields_of_the_format_and_no_others(make):
    record = record_of(make("t", end_reason="turn_limit"))
    assert record["schema_version"] == "ATIF-v1.8"
    fields = {"schema_version", "session_id", "trajectory_id", "agent", "steps", "final_metrics", "extra"}
    assert record.keys() == fields
    assert record["agent"].keys() == {"name", "version", "model_name"}
    assert all(isinstance(value, str) for value in record["agent"].values())
    assert [step["step_id"] for step in record["steps"]] == list(range(1, 8))
    assert [step["source"] for step in record["steps"]] == ["system", "user", *["agent"] * 3, "user", "agent"]
    allowed = {"step_id", "source", "message", "reasoning_content", "tool_calls", "observation", "metrics", "extra"}
    for step in record["steps"]:
        assert isinstance(step["message"], str)
        assert step.keys() <= (allowed if step["source"] == "agent" else {"step_id", "source", "message"})
        calls = {call["tool_call_id"] for call in step.get("tool_calls", ())}
        assert all(isinstance(call["arguments"], dict) for call in step.get("tool_calls", ()))
        assert {result["source_call_id"] for result in step.get("observation", {}).get("results", ())} == calls
    assert record["steps"][2]["metrics"] == {"prompt_tokens": 10, "completion_tokens": 5, "cost_usd": 0.25}
    assert record["final_metrics"]["total_steps"] == len(record["steps"])
    first, second = record["steps"][2]["observation"]["results"]
    listed = [{"document_id": "d1", "score": 8.5}, {"document_id": "d2", "score": 7.5}]
    assert [first["extra"], second["extra"]] == [{"documents": listed}, {"documents": []}]
    assert record["steps"][3]["observation"]["results"][0]["extra"] == {"document_id": "d2"}
    assert record["steps"][4]["tool_calls"][0]["extra"] == {"error": "not JSON"}
    assert "reasoning_content" not in record["steps"][4]  # none is not the same as an empty one


def test_a_file_of_another_tool_is_read_by_its_steps():
    found = entry_of(FOREIGN, HERE).trajectory
    assert (found.question, found.agent["prompt"], found.agent["model"]) == ("Who?", "Be brief.", "x/y")
    first, last = found.turns
    assert (first.reasoning, first.text) == ("Hmm.", "Looking.")
    assert [(hit.docid, hit.score) for hit in first.calls[0].hits or ()] == [("d9", 2.5), ("d8", 1.0)]
    assert first.calls[1].docid == "d9"
    assert (first.usage.prompt_tokens, first.usage.cached_tokens, first.usage.cost) == (11, 8, 0.5)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.cost) == (20, 9, 0.75)
    assert (found.status, found.answer) == ("answered", "Ann")
    assert "scores" not in found.retriever
    assert last.calls == []


def test_a_file_of_another_tool_is_written_as_it_was_beside_what_is_ours(make):
    graded = msgspec.structs.replace(entry_of(FOREIGN, HERE), grades=make("t").grades)
    assert entry_of(record_of(graded), HERE) == graded
    written = record_of(entry_of(FOREIGN, HERE))
    assert written["extra"].pop("lrat_sim")["trajectory"]["status"] == "answered"
    for step in written["steps"]:
        if step["source"] == "agent":
            step.get("extra", {}).pop("lrat_sim", None)
            if not step.get("extra", {"none": True}):
                del step["extra"]
    assert written == FOREIGN


def test_a_file_of_ours_that_another_hand_changed_keeps_both():
    record = record_of(entry_of(FOREIGN, HERE))
    record["steps"][2]["message"] = "Redacted."
    record["steps"][2].setdefault("extra", {}).setdefault("lrat_sim", {})["later"] = "of a newer version"
    record["extra"]["lrat_sim"]["trajectory"]["later"] = "also of a newer version"
    record["result"] = "a field of the name that LRAT gives its steps"
    found = entry_of(record, HERE)
    held = msgspec.json.encode(found).decode()
    assert found.trajectory.turns[0].text == "Redacted."
    assert found.trajectory.turns[0].calls[0].hits
    for text in ("of a newer version", "also of a newer version", "a field of the name"):
        assert text in held
    assert record_of(found)["result"] == record["result"]


def test_a_message_that_asked_for_an_answer_may_be_gone(make):
    record = record_of(make("t", end_reason="turn_limit"))
    del record["steps"][-2]
    found = entry_of(record, HERE).trajectory
    assert len(found.turns) == 4
    assert found.answer == "The answer of t is blue."


SHOWN = json.dumps([{"docid": "d3", "score": 0.5}])


def called(*names):
    return [{"tool_call_id": name, "function_name": "search", "arguments": {"query": "a"}} for name in names]


def gave(*names, content=SHOWN):
    return {"results": [{"source_call_id": name, "content": content} for name in names]}


@pytest.mark.parametrize(
    ("calls", "observation"),
    [
        (called("x", "y"), gave("y", "x")),
        (called("x", "x"), gave("x", "x")),
        (called("x", "y"), gave(None, None)),
        (called(None, None), gave("x", "y")),
        (called(1, 2), gave(1, 2)),
        (called("x"), gave("of another writer's")),
        (called("x"), {"results": [{"content": [{"type": "text", "text": SHOWN}, {"type": "image", "source": {}}]}]}),
        (called("x"), {"results": {"source_call_id": "x", "content": SHOWN}}),
        (called("x"), SHOWN),
        ([{"function_name": "search", "arguments": '{"query": "a"}'}], gave("x")),
        ([{"function_name": "search", "arguments": {"query": "a"}, "extra": {"a": 1}}], gave(None)),
    ],
)
def test_results_come_to_their_calls_however_a_writer_names_them(calls, observation):
    step = {"source": "agent", "message": None, "tool_calls": calls, "observation": observation}
    found = entry_of(foreign(step, agent("Exact Answer: Ann")), HERE).trajectory
    shown = [[hit.docid for hit in call.hits or ()] for call in found.turns[0].calls]
    assert shown == [["d3"]] * len(calls)
    assert {str(call.executed) for call in found.turns[0].calls} == {"{'query': 'a'}"}


def test_steps_that_were_copied_from_another_run_are_no_turns_but_kept():
    copied = agent("Said before.", ("c", "search", {"query": "old"}), results=[("c", SHOWN)], is_copied_context=True)
    record = foreign(copied, agent("Exact Answer: Ann"), trajectory_id="t")
    record["steps"][1]["is_copied_context"] = True  # the question is the question
    found = entry_of(record, HERE).trajectory
    assert (found.question, [turn.text for turn in found.turns]) == ("Who?", ["Exact Answer: Ann"])
    written = record_of(entry_of(record, HERE))
    assert written["steps"][2] == record["steps"][2]


def with_subagents(answer, *subagents):
    """A run that handed a question to others; a part of its observation refers to one."""
    asked = agent("", ("c", "delegate", {"to": "s1"}), results=[("c", "it is Bob")])
    asked["observation"]["results"][0]["subagent_trajectory_ref"] = [{"trajectory_id": "s1"}]
    embedded = [foreign(agent(said)) | {"trajectory_id": f"s{n}"} for n, said in enumerate(subagents, start=1)]
    return foreign(asked, agent(answer), subagent_trajectories=embedded)


def test_subagents_become_runs_of_their_own_with_ids_kept_apart(tmp_path):
    records = [with_subagents(answer, "Bob", "Bob", "Eve") for answer in ("Exact Answer: Ann", "Exact Answer: Amy")]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    found = [entry.trajectory for entry in read_any(tmp_path / "a.jsonl")]
    assert [run.answer for run in found] == ["Ann", "Bob", "Bob", "Eve", "Amy", "Bob", "Bob", "Eve"]
    assert len({run.id for run in found}) == 8
    parents, others = [found[0], found[4]], [*found[1:4], *found[5:]]
    # all ask the same question, and yet those of subagents are no samples of the task
    assert {run.question for run in found} == {"Who?"}
    assert len({run.task_id for run in parents}) == len({run.task_id for run in others}) == 1
    assert parents[0].task_id != others[0].task_id
    assert [run.extra["subagent_of"] for run in others] == [parents[0].id] * 3 + [parents[1].id] * 3
    convert(tmp_path / "a.jsonl", tmp_path / "atif", to="atif")
    back = {entry.trajectory.id: entry.trajectory for entry in read_any(tmp_path / "atif")}
    assert back == {run.id: run for run in found}
    (tmp_path / "atif" / "conversion.json").unlink()
    named = [json.loads(file.read_text()).get("trajectory_id") for file in (tmp_path / "atif").iterdir()]
    assert sorted(filter(None, named)) == ["s1", "s1", "s2", "s2", "s3", "s3"]  # to which the parents refer


def test_what_is_wrong_with_a_subagent_is_said_with_its_number():
    record = with_subagents("Exact Answer: Ann", "Bob")
    record["subagent_trajectories"][0]["steps"][1]["source"] = "nobody"
    with pytest.raises(RecordError, match="subagent 1: step 2 has no `source`"):
        entries_of(record, HERE)


def test_documents_and_scores_come_from_the_fields_of_results(tmp_path):
    results = [
        {"source_call_id": "x", "content": f"passage {n}", "extra": {"source": {"id": f"p{n}"}, "relevance": 5 - n}}
        for n in range(2)
    ]
    results.append({"source_call_id": "y", "content": "all of it", "extra": {"source": {"id": "p1"}}})
    calls = [("x", "search", {"query": "a"}), ("y", "open_page", {"n": 2})]
    step = agent("", *calls) | {"observation": {"results": results}}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(foreign(step, agent("Exact Answer: Ann"))))
    (plain,) = read_any(path)
    assert [call.hits for call in plain.trajectory.calls()] == [None, None]  # no usual name
    notes = Notes(docid_field="extra.source.id", score_field="extra.relevance")
    (entry,) = read_any(path, "atif", notes)
    searched, opened = entry.trajectory.calls()
    assert searched.output == "passage 0\n\npassage 1"
    assert [(hit.docid, hit.score, hit.rank) for hit in searched.hits or ()] == [("p0", 5.0, 1), ("p1", 4.0, 2)]
    assert (opened.docid, opened.hits, opened.executed) == ("p1", None, {"n": 2})
    assert entry_of(record_of(entry), HERE) == entry  # also without the names
    with pytest.raises(InputError, match=r"no result in .* has the field 'extra\.docid'"):
        list(read_any(path, "atif", Notes(docid_field="extra.docid")))
    format_named("openai").write(iter([entry]), tmp_path / "a.jsonl", About())
    with pytest.raises(InputError, match="are of results in ATIF"):
        convert(tmp_path / "a.jsonl", tmp_path / "out", to="run", docid_field="extra.docid")


@pytest.mark.parametrize("extra", [{"document_id": "p0", "score": 2}, {"docid": "p0", "retrieval_score": 2.0}])
def test_usual_names_of_documents_need_no_option(extra):
    result = {"source_call_id": "x", "content": [{"type": "text", "text": "a passage"}], "extra": extra}
    step = agent("", ("x", "search", {"query": "a"})) | {"observation": {"results": [result]}}
    (call,) = entry_of(foreign(step), HERE).trajectory.calls()
    assert [(hit.docid, hit.score) for hit in call.hits or ()] == [("p0", 2.0)]


def valid(path):
    """What Harbor's own validator says of a file."""
    command = [sys.executable, "-m", "harbor.utils.trajectory_validator", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode == 0, done.stdout + done.stderr


def test_harbors_validator_passes_what_is_written(entries, tmp_path):
    pytest.importorskip("harbor", reason="Harbor, whose validator this runs, is not installed (make test installs it)")
    from harbor.utils.trajectory_validator import TrajectoryValidator

    # ours, another's that was read before, one with subagents, and one with parts of content
    subagents = entries_of(with_subagents("Exact Answer: Ann", "Bob", "Eve"), HERE)
    parts = foreign(agent([{"type": "text", "text": "Exact Answer: Ann"}]))
    every = [*entries, entry_of(FOREIGN, HERE), *subagents, entry_of(parts, HERE)]
    assert FORMAT.write(iter(every), tmp_path / "out", About()) == len(every)
    for file in sorted((tmp_path / "out").iterdir()):
        validator = TrajectoryValidator()
        assert validator.validate(file), validator.errors
    assert valid(file) == (True, f"✓ Trajectory is valid: {file}\n")
    broken = json.loads(file.read_text())
    broken["steps"][0]["step_id"] = 7  # so that it can fail
    file.write_text(json.dumps(broken))
    assert "sequential from 1" in valid(file)[1]


@pytest.mark.parametrize("version", [f"1.{minor}" for minor in range(9)])
def test_every_version_is_read_and_stays_what_it_was(version):
    record = foreign(agent("Exact Answer: Ann")) | {"schema_version": f"ATIF-v{version}"}
    record["steps"] = [{**step, "step_id": 3 * place} for place, step in enumerate(record["steps"])]  # with gaps
    found = entry_of(record, HERE)
    assert found.trajectory.answer == "Ann"
    written = record_of(found)
    assert written["schema_version"] == f"ATIF-v{version}"
    assert [step["step_id"] for step in written["steps"]] == [0, 3, 6]


def test_runs_of_one_question_are_samples_of_one_task(tmp_path):
    other = foreign(agent("Bob"))
    lines = [json.dumps(each) for each in (FOREIGN, other, FOREIGN | {"agent": {"name": "b"}})]
    (tmp_path / "runs.jsonl").write_text("\n".join(lines))
    found = [entry.trajectory for entry in read_any(tmp_path / "runs.jsonl", "atif")]
    assert [trajectory.sample for trajectory in found] == [0, 1, 0]
    assert len({trajectory.task_id for trajectory in found}) == 1
    assert len({trajectory.id for trajectory in found}) == 3


def test_runs_are_found_below_a_folder(tmp_path):
    (tmp_path / "job" / "trial").mkdir(parents=True)
    (tmp_path / "job" / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"no file of trajectories in the format atif; it has config\.json"):
        list(read_any(tmp_path / "job", "atif"))
    (tmp_path / "job" / "trial" / "trajectory.json").write_text(json.dumps(FOREIGN))
    assert [entry.trajectory.answer for entry in read_any(tmp_path / "job", "atif")] == ["Ann"]


def test_a_canary_stands_where_it_can_be_seen(make):
    record = record_of(make("t", extra={"canary": "c4n4ry"}))
    assert record["extra"]["canary"] == "c4n4ry"
    del record["extra"]["lrat_sim"]
    assert entry_of(record, HERE).canary == "c4n4ry"


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ([], "`schema_version`"),
        ({"schema_version": "2", "steps": []}, "`schema_version`"),
        (foreign() | {"schema_version": "ATIF-v2.0"}, "a version 1 of ATIF"),
        (foreign() | {"steps": {}}, "the field `steps` should be a list"),
        (foreign({"source": "tool", "message": ""}), "step 3 has no `source`"),
        (foreign({"source": "agent", "message": 5}), "step 3: the field `message`"),
        (foreign(agent("", results=[]) | {"tool_calls": [{}]}), "step 3: a call of `tool_calls` names no function"),
        (foreign(agent("") | {"tool_calls": "x"}), "step 3: a call of `tool_calls`"),
        (foreign(agent("") | {"tool_calls": 5}), "step 3: a call of `tool_calls`"),
    ],
)
def test_what_is_no_run_is_refused_with_step_and_field(record, problem):
    with pytest.raises(RecordError, match=problem):
        entry_of(record, HERE)
