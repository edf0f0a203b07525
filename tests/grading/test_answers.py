from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lrat_sim.errors import InputError
from lrat_sim.grading.answers import MatchJudge, ModelAnswerJudge, grade_answers, stated_confidence
from lrat_sim.grading.relevance import ModelJudge, judge_browses
from lrat_sim.grading.replies import JudgeModel, Reply, plain
from lrat_sim.records import Failure, Grade, Task, Usage
from lrat_sim.store import Store

TASK = Task(id="q1", question="Where is {it}?", answers=["Paris", "Lutetia"])
MODEL = JudgeModel(model="openai/judge")


def graded(trajectories, judge, tasks=(TASK,), **more):
    return list(grade_answers(trajectories, tasks, judge, **more))


def replying(text):
    async def ask(prompt):
        ask.prompts.append(prompt)
        usage = Usage(prompt_tokens=7, completion_tokens=2, cost=None)
        return Reply(text=plain(text), usage=usage)

    ask.prompts = []
    return ask


def test_match_judge_grades_the_exact_answer_and_reads_the_confidence(make):
    said = "Explanation: it is.\nExact Answer: Paris, France\nConfidence: 80%"
    right = make.run([make.turn(text=said)], answer="Paris, France")
    wrong = make.run(id="t2", answer="London")
    grades = {grade.trajectory_id: grade for grade in graded([right, wrong], MatchJudge())}
    assert (grades["t1"].state, grades["t1"].extracted, grades["t1"].confidence) == ("correct", "Paris, France", 80)
    assert (grades["t2"].state, grades["t2"].confidence) == ("incorrect", None)


def test_only_runs_that_answered_are_graded(make):
    runs = [make.run(status="unanswered", answer=None), make.run(id="t2", status="error", answer=None)]
    assert graded(runs, MatchJudge()) == []


def test_task_without_accepted_answers_leaves_its_run_ungraded(make):
    [grade] = graded([make.run()], MatchJudge(), [Task(id="q1", question="?", answers=[" "])])
    assert (grade.state, grade.rationale) == ("ungraded", "the task has no accepted answer")


def test_trajectory_of_an_unknown_task_is_refused_by_name(make):
    with pytest.raises(InputError, match="trajectory t1 is of task q9"):
        graded([make.run(task_id="q9")], MatchJudge())


def test_answers_in_the_store_are_not_graded_again(make, tmp_path):
    runs = [make.run(), make.run(id="t2")]
    with Store(tmp_path / "grades.jsonl", Grade) as store:
        assert len(graded(runs[:1], MatchJudge(), store=store)) == 1
        assert [grade.trajectory_id for grade in graded(runs, MatchJudge(), store=store)] == ["t2"]
        assert len(list(store)) == 2


@pytest.mark.parametrize(
    ("reply", "state", "extracted", "confidence"),
    [
        ("Extracted: Paris\nCorrect: yes\nConfidence: 80", "correct", "Paris", 80),
        ("**Extracted:** Rome\n**Correct:** **No**\n**Confidence:** none", "incorrect", "Rome", None),
        ("<think>Correct: no?</think>extracted: Paris\ncorrect: YES.", "correct", "Paris", None),
        ("Extracted: none\nCorrect: no\nConfidence: none", "incorrect", None, None),
        ("Correct: perhaps", "ungraded", None, None),
        ("It is Paris, yes.", "ungraded", None, None),
        ("", "ungraded", None, None),
    ],
)
def test_model_reply_is_read_or_leaves_the_answer_ungraded(make, reply, state, extracted, confidence):
    ask = replying(reply)
    [grade] = graded([make.run()], ModelAnswerJudge(MODEL, ask=ask))
    assert (grade.state, grade.extracted, grade.confidence) == (state, extracted, confidence)
    assert grade.usage.prompt_tokens == 7
    assert "Where is {it}?" in ask.prompts[0]
    assert "Paris\nLutetia" in ask.prompts[0]


def test_failed_judge_leaves_the_answer_ungraded_and_is_asked_again(make, tmp_path):
    async def down(prompt):
        return Reply(error=Failure(boundary="judge", message="503"))

    with Store(tmp_path / "grades.jsonl", Grade) as store:
        [grade] = graded([make.run()], ModelAnswerJudge(MODEL, ask=down), store=store)
        assert (grade.state, grade.error.message) == ("ungraded", "503")
        [again] = graded([make.run()], ModelAnswerJudge(MODEL, ask=replying("Correct: yes")), store=store)
        assert again.state == "correct"


@pytest.mark.parametrize(
    ("text", "confidence"),
    [("Confidence: 80%", 80), ("**Confidence:** 65.5 %", 65.5), ("confidence: 300%", None), ("sure", None)],
)
def test_confidence_is_a_share_of_a_hundred(text, confidence):
    assert stated_confidence(text) == confidence


@pytest.fixture
def endpoint():
    """An OpenAI-shaped endpoint on this machine: answers a judge's prompt, and refuses a question about Rome."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # the name that http.server calls
            prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
            status = 401 if "Rome" in prompt else 200
            said = "Verdict: **irrelevant**" if "<thoughts>" in prompt else "Extracted: Paris\nCorrect: yes"
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
            usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
            body = {"id": "1", "object": "chat.completion", "created": 0, "model": "judge", "choices": [choice]}
            payload = {**body, "usage": usage} if status == 200 else {"error": {"message": "no key"}}
            content = json.dumps(payload).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def test_both_model_judges_speak_to_an_endpoint_and_survive_its_refusal(make, endpoint):
    model = JudgeModel(model="openai/judge", base_url=endpoint)
    rome = Task(id="q2", question="Rome?", answers=["yes"])
    grades = graded([make.run(), make.run(id="t2", task_id="q2")], ModelAnswerJudge(model), [TASK, rome])
    found = {grade.trajectory_id: grade for grade in grades}
    assert (found["t1"].state, found["t1"].usage.prompt_tokens) == ("correct", 11)
    assert (found["t2"].state, found["t2"].error.boundary) == ("ungraded", "judge")

    run = make.run([make.turn(make.search("a")), make.turn(make.browse("a")), make.turn(reasoning="Unrelated.")])
    [verdict] = judge_browses([run], ModelJudge(model, votes=3))
    assert (verdict.state, verdict.votes, verdict.usage.prompt_tokens) == ("irrelevant", ["irrelevant"] * 3, 33)
