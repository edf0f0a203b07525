"""Both model judges through the real client, against an endpoint on this machine."""

from __future__ import annotations

import pytest

from lrat_sim.artifact import Store
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import MatchJudge, ModelAnswerJudge, answer_judge, grade_answers
from lrat_sim.grading.judging import JudgeModel, named_model
from lrat_sim.grading.relevance import ModelJudge, RuleJudge, judge_browses, relevance_judge
from lrat_sim.models.budget import Budget, LimitReached
from lrat_sim.models.cache import CallCache
from lrat_sim.models.client import Client
from lrat_sim.records import Grade, Task

TASK = Task(id="q1", question="Where?", answers=["Paris"])


def model(server, **more):
    return JudgeModel(model="openai/judge", base_url=server.url, **more)


def opened(make, number=0, reasoning="Unrelated."):
    walk = [make.turn(make.search("a")), make.turn(make.browse("a")), make.turn(reasoning=reasoning)]
    return make.run(walk, id=f"t{number}")


def test_refusal_of_one_call_leaves_its_answer_ungraded_and_the_others_graded(make, scripted):
    def answer(request, _):
        if "Rome?" in request["messages"][0]["content"]:
            return scripted.Reply({"error": {"message": "no key"}}, status=401)
        return scripted.Reply(scripted.body(scripted.says("Extracted: Paris\nCorrect: yes")))

    rome = Task(id="q2", question="Rome?", answers=["yes"])
    with scripted.Server(answer) as server:
        runs = [make.run(), make.run(id="t2", task_id="q2")]
        grades = {g.trajectory_id: g for g in grade_answers(runs, [TASK, rome], ModelAnswerJudge(model(server)))}
    assert (grades["t1"].state, grades["t1"].usage.prompt_tokens) == ("correct", 10)
    assert (grades["t2"].state, grades["t2"].error.boundary) == ("ungraded", "judge")
    assert len(server.requests) == 2


def test_a_busy_endpoint_is_tried_again_until_every_browse_is_judged(make, scripted):
    def answer(_, number):
        if number % 3 == 0:
            return scripted.Reply({"error": {"message": "slow down"}}, status=429, retry_after="0")
        return scripted.Reply(scripted.body(scripted.says("Verdict: **irrelevant**")))

    with scripted.Server(answer) as server:
        judge = ModelJudge(model(server), votes=3)
        verdicts = list(judge_browses([opened(make, number) for number in range(8)], judge, concurrency=8))
        [again] = judge_browses([opened(make, 9)], judge)  # in another event loop, as for the next run folder
    assert {v.state for v in [*verdicts, again]} == {"irrelevant"}
    assert all(v.votes == ["irrelevant"] * 3 and v.usage.prompt_tokens == 30 for v in verdicts)
    assert len(server.requests) > 9 * 3


def test_thinking_that_never_closes_ends_in_a_verdict_unless_it_was_cut(make, scripted):
    thought = "<think>The agent rejects it.\n\nVerdict: irrelevant"

    def answer(request, _):
        body = scripted.body(scripted.says(thought))
        body["choices"][0]["finish_reason"] = "length" if "Cut" in request["messages"][0]["content"] else "stop"
        return scripted.Reply(body)

    with scripted.Server(answer) as server:
        runs = [opened(make, 1), opened(make, 2, reasoning="Cut.")]
        verdicts = {v.trajectory_id: v for v in judge_browses(runs, ModelJudge(model(server)))}
    assert (verdicts["t1"].state, verdicts["t2"].state) == ("irrelevant", "unjudged")
    assert verdicts["t2"].reason == "unclear reply"


def test_votes_are_samples_of_their_own_in_the_cache(make, scripted, tmp_path):
    def answer(_, number):
        return scripted.Reply(scripted.body(scripted.says("Correct: no" if number == 1 else "Correct: yes")))

    with scripted.Server(answer) as server, CallCache(tmp_path / "calls.sqlite") as cache:
        judge = ModelAnswerJudge(model(server), votes=3, client=Client(cache=cache))
        first, second = (list(grade_answers([make.run()], [TASK], judge)) for _ in range(2))
    assert len(server.requests) == 3
    assert first == second
    assert sorted(first[0].votes) == ["correct", "correct", "incorrect"]


def test_a_seed_grows_with_the_vote(make, scripted):
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("Correct: yes")))) as server:
        list(grade_answers([make.run()], [TASK], ModelAnswerJudge(model(server, sampling={"seed": 7}), votes=3)))
    assert sorted(request["seed"] for request in server.requests) == [7, 8, 9]


def test_a_spent_budget_ends_the_grading_and_records_nothing(make, scripted, tmp_path):
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("Correct: yes")))) as server:
        judge = ModelAnswerJudge(model(server), votes=2, client=Client(budget=Budget(seconds=1e-9)))
        with Store(tmp_path / "grades.jsonl", Grade) as store:
            with pytest.raises(LimitReached):
                list(grade_answers([make.run()], [TASK], judge, store=store))
            assert list(store) == []


def test_judges_are_made_by_name_with_fields_of_the_model(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    options = {"sampling.temperature": "0.5", "timeout": "9", "retries.attempts": "2"}
    found = named_model("openai/judge", options=options)
    assert (found.sampling, found.timeout, found.retries.attempts) == ({"temperature": 0.5}, 9.0, 2)
    assert isinstance(answer_judge("rule"), MatchJudge)
    assert isinstance(relevance_judge("rule"), RuleJudge)
    assert relevance_judge("openai/judge", votes=3, options=options).name.startswith("openai/judge:")
    assert answer_judge("openai/judge").name != answer_judge("openai/judge", votes=3).name


@pytest.mark.parametrize(
    ("name", "options", "votes", "said"),
    [
        ("openai/judge", {"temprature": "1"}, 1, "temprature"),
        ("openai/judge", {"timeout": "soon"}, 1, r"timeout"),
        ("openai/judge", {"model": "other"}, 1, "given by its name"),
        ("openai/judge", {}, 0, "votes is 0"),
        ("openai/judge", {"key_env": "NO_SUCH_KEY"}, 1, "NO_SUCH_KEY"),
        ("rule", {"timeout": "9"}, 1, "neither votes nor options"),
        ("rule", {}, 3, "neither votes nor options"),
    ],
)
def test_what_a_judge_cannot_be_made_of_is_said(monkeypatch, name, options, votes, said):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    for make_judge in (answer_judge, relevance_judge):
        with pytest.raises(InputError, match=said):
            make_judge(name, votes=votes, options=options)


def test_a_judges_connections_are_closed_with_its_loop(make, scripted, monkeypatch):
    from lrat_sim.models import openai_model

    clients = []
    plain = openai_model.openai_client
    monkeypatch.setattr(openai_model, "openai_client", lambda *given: clients.append(plain(*given)) or clients[-1])
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("Correct: yes")))) as server:
        assert [g.state for g in grade_answers([make.run()], [TASK], ModelAnswerJudge(model(server)))] == ["correct"]
    assert [client.is_closed() for client in clients] == [True]
