from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.values import SourceRecord
from lrat_sim.formats import convert, read_any, recognise
from lrat_sim.formats.inspect_ai import entry_of

FILES = Path(__file__).parent / "files"
ARCHIVE, LOG = FILES / "inspect-rivers.eval", FILES / "inspect-rivers.json"
"""Logs of inspect_ai 0.3.285, of two epochs of one sample, and of one that broke and one that met a limit."""
HEADER = {"version": 2, "eval": {"model": "openai/m", "eval_id": "e"}, "plan": {"steps": []}}
HERE = SourceRecord(None, Path("here.json"))


def sample(*messages, **more):
    asked = {"role": "user", "content": "Who?", "source": "input"}
    return {"id": 7, "epoch": 1, "input": "Who?", "target": "Ann", "messages": [asked, *messages], **more}


def said(content, *calls, **more):
    asked = [{"id": i, "function": f, "arguments": a, "type": "function"} for i, f, a in calls]
    return {"role": "assistant", "content": content, "source": "generate", "tool_calls": asked, **more}


def told(call, content, **more):
    return {"role": "tool", "tool_call_id": call, "content": content, **more}


def one(record, **header):
    return entry_of(record, {**HEADER, **header}, HERE)


def test_an_archive_of_two_epochs_is_two_samples_of_a_task(check_rivers):
    assert recognise(ARCHIVE).name == "inspect"
    entries = list(read_any(ARCHIVE))
    assert [(entry.trajectory.task_id, entry.trajectory.sample) for entry in entries] == [("elbe", 0), ("elbe", 1)]
    for entry in entries:
        run = entry.trajectory
        _, _, third, fourth = check_rivers(entry, "search")
        assert (entry.task.answers, entry.grade.judge) == (["Giant Mountains", "Krkonoše"], "inspect_ai/includes")
        assert third.output.startswith("Document d7:\nElbe\n")
        assert third.seconds > 0
        assert (fourth.executed, fourth.error, fourth.output) == (None, "no document d0", "no document d0")
        assert [turn.usage.prompt_tokens for turn in run.turns] == [13, 13, 13]  # what came from a cache is sent too
        assert [turn.usage.cached_tokens for turn in run.turns] == [2, 2, 2]
        assert run.usage.reasoning_tokens == 9
        kept = run.extra["inspect"]
        assert (kept["sample"]["metadata"], kept["log"]["task"]) == ({"level": "easy"}, "rivers")
        assert "sample_ids" not in kept["log"]["dataset"]
    assert entries[0].trajectory.id != entries[1].trajectory.id
    assert entries[0].trajectory.agent == entries[1].trajectory.agent


def test_a_sample_that_broke_is_an_error_and_one_at_a_limit_is_not():
    broken, limited = read_any(LOG)
    assert (broken.trajectory.status, broken.trajectory.turns) == ("error", [])
    assert broken.trajectory.error
    assert "search engine is gone" in broken.trajectory.error.message
    assert broken.grades == []
    run = limited.trajectory
    assert (run.status, run.end_reason, run.answer, run.error) == ("unanswered", "turn_limit", None, None)
    assert [call.output for call in run.turns[-1].calls] == ["", ""]
    assert all(call.executed is None and call.error for call in run.turns[-1].calls)
    assert limited.grade
    assert limited.grade.state == "incorrect"


def test_texts_that_a_log_keeps_once_are_put_in_their_places():
    shown, unread = "Document d1:\n" + "a long text " * 20, "only in the events"
    record = sample(
        said([{"type": "text", "text": "attachment://ab"}], ("c", "get_document", {"docid": "d1"})),
        told("c", "attachment://cd"),
        attachments={"ab": "I open it.", "cd": shown, "ef": unread},
    )
    run = one(record).trajectory
    assert run.turns[0].text == "I open it."
    assert (run.turns[0].calls[0].docid, run.turns[0].calls[0].output) == ("d1", shown)
    assert run.extra["inspect"]["sample"]["attachments"] == {"ef": unread}


def test_reasoning_in_encrypted_form_is_its_summary_and_absent_is_not_empty():
    def thought(**part):
        message = said([{"type": "reasoning", **part}, {"type": "text", "text": "Ann"}])
        turn = one(sample(message)).trajectory.turns[0]
        assert turn.raw == message
        return turn.reasoning

    assert thought(reasoning="hm", signature="s") == "hm"
    assert thought(reasoning="gAAAA", redacted=True, summary="in short") == "in short"
    assert thought(reasoning="gAAAA", redacted=True) == ""
    assert one(sample(said("Ann"))).trajectory.turns[0].reasoning is None


def test_searches_that_the_provider_ran_are_calls():
    ran = {
        "type": "tool_use",
        "tool_type": "web_search",
        "id": "w1",
        "name": "web_search",
        "arguments": '{"query": "Ann"}',
        "result": '[{"id": "u1"}]',
    }
    failed = {**ran, "id": "w2", "result": "", "error": "rate limit"}
    record = sample(said([ran, failed, {"type": "text", "text": "Ann"}], ("c", "other", {})), told("c", "out"))
    first, second, third = one(record).trajectory.turns[0].calls
    assert (first.tool, first.arguments, [hit.docid for hit in first.hits or ()]) == (
        "web_search",
        {"query": "Ann"},
        ["u1"],
    )
    assert (second.error, second.executed) == ("rate limit", None)
    assert (third.tool, third.output, third.hits, third.docid) == ("other", "out", None, None)


def test_examples_in_the_prompt_are_no_turns():
    example = [{"role": "user", "content": "Where?", "source": "input"}, said("There.", source="input")]
    record = sample(said("Ann"))
    record["messages"] = [*example, *record["messages"]]
    run = one(record).trajectory
    assert run.question == "Who?"
    assert [turn.text for turn in run.turns] == ["Ann"]
    assert run.extra["messages"]["0"]["content"] == "Where?"
    assert run.extra["messages"]["1"]["content"] == "There."


def test_an_answer_may_be_handed_in_by_a_tool_of_which_the_prompt_may_speak():
    record = sample(said("", ("c", "submit", {"answer": "Ann"})), told("c", "Ann"), output={"completion": "Ann"})
    assert (one(record).trajectory.status, one(record).trajectory.answer) == ("answered", "Ann")
    record = sample(said("I am sure.\n\nAnn"))
    record["messages"].insert(0, {"role": "system", "content": "When done, call the submit() tool."})
    assert one(record).trajectory.answer == "Ann"


def _react(**submit):
    return {"plan": {"steps": [{"solver": "inspect_ai/react", "params": {"submit": submit or None}}]}}


BOTH = {"output": {"completion": "I am sure.\n\nAnn"}}
NO_SUBMIT = {"plan": {"steps": [{"solver": "react", "params": {"submit": False}}]}}


def _tool(answer, name="submit", **more):
    return {"event": "tool", "id": "s", "function": name, "arguments": {"answer": answer}, "result": answer, **more}


@pytest.mark.parametrize(
    ("message", "more", "header", "answer"),
    [
        # what was submitted was taken out of the messages, and stands in the events
        (said("I am sure.\n\nAnn"), {"events": [_tool("Bob"), _tool("Ann")]}, _react(), "Ann"),
        (said("I am sure.\n\nAnn"), {"events": [_tool("Ann"), _tool("Bob", error={"message": "no"})]}, {}, "Ann"),
        (said("x\n\nAnn"), {"events": [_tool("attachment://ab")], "attachments": {"ab": "Ann"}}, _react(), "Ann"),
        (said("x\n\nAnn\n\nBlunt"), {"events": [_tool("Ann\n\nBlunt")]}, _react(), "Ann\n\nBlunt"),
        (said("x"), {"events": [_tool("Ann", "done")]}, _react(name="done"), "Ann"),
        # a log without events
        (said("I am sure.\n\nAnn"), BOTH, _react(), "Ann"),
        (said("I am sure.\n\nAnn"), {"output": {"completion": "Ann"}}, _react(answer_only=True), "Ann"),
        (said("I am sure. -> Ann"), {}, _react(answer_delimiter=" -> "), "Ann"),
        (
            said([{"text": "I am sure."}, {"text": "Ann"}]),
            {"output": {"completion": "I am sure.\n\nAnn"}},
            _react(),
            "Ann",
        ),
        (said("I am not sure."), {"limit": {"type": "message", "limit": 5}}, _react(), None),
        (said("First.\n\nAnn"), {}, {}, "First.\n\nAnn"),  # of no agent that submits
        (said("First.\n\nAnn"), {}, NO_SUBMIT, "First.\n\nAnn"),
        # kept in the messages
        (said("", ("s", "done", {"answer": "Ann"})), {}, _react(name="done"), "Ann"),
    ],
)
def test_the_answer_is_what_was_submitted(message, more, header, answer):
    assert one(sample(message, **more), **header).trajectory.answer == answer


def test_limits_are_the_reason_why_a_run_ended():
    for kind, reason in [*((kind, f"{kind}_limit") for kind in ("time", "cost", "turn")), ("context", "token_limit")]:
        assert ended_at(kind) == (("unanswered", reason), ("answered", reason))
    assert ended_at("operator") == (("unanswered", "gave_up"), ("answered", "answer"))


def ended_at(limit):
    """How a run ended at a limit without an answer, and with one."""
    messages = said("", ("c", "f", {})), said("Ann")
    runs = [one(sample(message, limit={"type": limit, "limit": 5.0})).trajectory for message in messages]
    return tuple((run.status, run.end_reason) for run in runs)


def test_only_a_scorer_that_says_right_or_wrong_is_a_grade():
    scores = {
        "main": {"value": "C", "answer": "Ann"},
        "other": {"value": "I", "explanation": "no"},
        "length": {"value": 1.0},
        "parts": {"value": {"C": 1}},
        "part": {"value": "P"},
    }
    entry = one(sample(said("Ann"), scores=scores), results={"scores": [{"name": "main"}, {"name": "other"}]})
    assert [(grade.judge, grade.state) for grade in entry.grades] == [
        ("inspect_ai/other", "incorrect"),
        ("inspect_ai/main", "correct"),
    ]
    assert entry.trajectory.extra["inspect"]["sample"]["scores"] == scores


def test_tokens_of_scorers_do_not_count_for_the_agent():
    used = {"openai/m": {"input_tokens": 5, "output_tokens": 2}, "judge": {"input_tokens": 900, "output_tokens": 90}}
    usage = one(sample(said("Ann"), model_usage=used)).trajectory.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost) == (5, 2, None)


def _archive(path, compression, **entries):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in entries.items():
            archive.writestr(name.replace("__", "/") + ".json", json.dumps(value))
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_older_archives_and_interrupted_ones_can_be_read(tmp_path, compression):
    path = _archive(
        tmp_path / "a.eval", compression, _journal__start=HEADER, samples__7_epoch_1=sample(said("Ann"), epoch=3)
    )
    (entry,) = read_any(path)
    assert (entry.trajectory.answer, entry.trajectory.sample) == ("Ann", 2)


def test_a_folder_of_logs_is_read_whole(tmp_path):
    _archive(tmp_path / "b.eval", zipfile.ZIP_DEFLATED, header=HEADER, samples__7_epoch_1=sample(said("Ann")))
    (tmp_path / "a.json").write_text(LOG.read_text())
    (tmp_path / "logs.json").write_text('{"a.json": {"status": "success"}}')
    assert recognise(tmp_path).name == "inspect"
    assert [entry.trajectory.task_id for entry in read_any(tmp_path)] == ["broken", "limited", "7"]


def test_a_damaged_archive_is_refused(tmp_path):
    whole = ARCHIVE.read_bytes()
    place = whole.index(b"samples/elbe_epoch_1.json") + 200
    path = tmp_path / "a.eval"
    path.write_bytes(whole[:place] + bytes(100) + whole[place + 100 :])
    with pytest.raises(InputError, match=r"samples/elbe_epoch_1\.json cannot be read"):
        list(read_any(path))
    done = convert(path, tmp_path / "out", to="run", skip_unreadable=True)
    assert (done.written, len(done.notes.unread)) == (1, 1)  # the next sample is read
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as an archive"):
        list(read_any(path, "inspect"))
    with pytest.raises(RecordError, match="holds no header"):
        list(read_any(_archive(tmp_path / "b.eval", 0, other=[]), "inspect"))


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ([], "a sample has no `id`"),
        (sample() | {"messages": {}}, "sample 7, epoch 1: the field `messages` should be a list"),
        (sample({"content": ""}), "sample 7, epoch 1: message 2 is not an object with a `role`"),
        (sample(said("", ("c", 5, {}))), "message 2: a call of `tool_calls` names no function"),
    ],
)
def test_what_is_no_sample_is_refused_with_its_name_and_field(record, problem):
    with pytest.raises(RecordError, match=problem):
        one(record)


def test_a_log_without_samples_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(HEADER))
    with pytest.raises(InputError, match="holds no trajectory that can be converted"):
        convert(tmp_path / "a.json", tmp_path / "out", to="run")
    (tmp_path / "b.json").write_text('{"a": 1}')
    with pytest.raises(RecordError, match="no log of inspect_ai"):
        list(read_any(tmp_path / "b.json", "inspect"))


def test_every_score_that_is_a_number_is_kept_by_its_scorer():
    scores = {"a": "C", "b": "N", "c": "P", "d": 0.25, "e": True, "f": {"x": 1, "y": "no"}, "g": "eleven", "h": None}
    entry = one(sample(said("Ann"), scores={name: {"value": value} for name, value in scores.items()}))
    assert entry.trajectory.extra["scores"] == {"a": 1.0, "b": 0.0, "c": 0.5, "d": 0.25, "e": 1.0, "f/x": 1.0}
    assert {grade.judge: grade.state for grade in entry.grades} == {
        "inspect_ai/a": "correct", "inspect_ai/b": "incorrect",
    }  # fmt: skip
