import asyncio
import json

import msgspec
import pytest
from litellm.llms.custom_llm import CustomLLMError

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, Limits
from lrat_sim.agent.tools import TOOLS
from lrat_sim.models.call import Retries
from lrat_sim.records import Hop, Plan, Task, canonical
from lrat_sim.text import TOKENIZER, count_tokens

TASK = Task(id="q1", question="Where was the designer of Brindle Lighthouse born?", answers=["Thornmouth"])
FINAL = "Explanation: [2] says so.\nExact Answer: Thornmouth\nConfidence: 90%"


@pytest.fixture
def run(scripted):
    """Runs the task against a script; returns the trajectory and the conversations that the model was sent."""

    def go(*messages, task=TASK, retriever=None, **settings):
        seen = []
        script = scripted.in_turn(*messages)

        def answer(conversation, parameters):
            seen.append((json.loads(json.dumps(conversation)), parameters))
            return script(conversation, parameters)

        scripted.provide(answer)
        limits = Limits(**{"k": 2, "turns": 6, **settings.pop("limits", {})})
        agent = AgentSettings(**{"model": "scripted/x", "retries": Retries(attempts=1), "limits": limits, **settings})
        trajectory = asyncio.run(run_task(task, agent, retriever or scripted.Tiny(), sample=0, seed=0))
        return trajectory, seen

    return go


def test_a_run_searches_opens_and_answers(run, scripted):
    trajectory, seen = run(
        scripted.calls(("search", {"query": "Brindle Lighthouse"}), reasoning="First the lighthouse."),
        scripted.calls(("get_document", {"docid": "1"}), reasoning="That looks right."),
        scripted.says(FINAL, "Now I know."),
    )
    assert (trajectory.status, trajectory.end_reason, trajectory.answer) == ("answered", "answer", "Thornmouth")
    assert [turn.reasoning for turn in trajectory.turns] == [
        "First the lighthouse.",
        "That looks right.",
        "Now I know.",
    ]
    assert [turn.reasoning_tokens for turn in trajectory.turns] == [
        count_tokens(turn.reasoning) for turn in trajectory.turns
    ]
    assert [hit.docid for hit in trajectory.turns[0].calls[0].hits] == ["1", "4"]
    assert trajectory.turns[1].calls[0].docid == "1"
    assert trajectory.turns[2].text == FINAL
    assert trajectory.usage.prompt_tokens == 30
    assert trajectory.usage.cost is None
    last = seen[-1][0]
    assert [message["role"] for message in last] == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert last[1]["content"] == TASK.question
    assert last[2]["reasoning_content"] == "First the lighthouse."
    assert last[3]["content"] == trajectory.turns[0].calls[0].output


def test_what_is_recorded_is_what_was_sent(run, scripted):
    trajectory, seen = run(scripted.says(FINAL), provider={"top_k": 20})
    parameters = seen[0][1]
    for name, value in trajectory.extra["sampling"].items():
        assert parameters[name] == value
    assert parameters["top_k"] == trajectory.agent["provider"]["top_k"] == 20
    assert trajectory.agent["prompt"] == seen[0][0][0]["content"]
    assert trajectory.agent["tokenizer"] == TOKENIZER
    assert trajectory.retriever == {"kind": "tiny", "documents": 4, "fingerprint": scripted.Tiny().fingerprint}


def test_every_call_of_a_turn_keeps_its_own_output(run, scripted):
    trajectory, seen = run(
        scripted.calls(("search", {"query": "salt"}), ("search", {"query": "engineer"}), ("fly", {})),
        scripted.says(FINAL),
    )
    salt, engineer, fly = trajectory.turns[0].calls
    assert (salt.hits[0].docid, engineer.hits[0].docid) == ("3", "2")
    assert fly.error
    outputs = {message["tool_call_id"]: message["content"] for message in seen[-1][0] if message["role"] == "tool"}
    assert outputs == {"c0": salt.output, "c1": engineer.output, "c2": fly.output}


def test_calls_with_one_id_are_told_apart(run, scripted):
    twice = scripted.calls(("search", {"query": "salt"}), ("search", {"query": "engineer"}))
    for call in twice["tool_calls"]:
        call["id"] = "same"
    trajectory, seen = run(twice, scripted.says(FINAL))
    ids = [call["id"] for call in seen[-1][0][2]["tool_calls"]]
    assert len(set(ids)) == 2
    assert ids == [call.id for call in trajectory.turns[0].calls]


def test_a_malformed_call_is_answered_so_that_the_model_can_recover(run, scripted):
    trajectory, seen = run(
        scripted.calls(("search", "query broken")),
        scripted.calls(("search", {"query": "salt"})),
        scripted.says(FINAL),
    )
    assert trajectory.status == "answered"
    assert trajectory.turns[0].calls[0].arguments == "query broken"
    assert "not JSON" in seen[1][0][-1]["content"]
    assert json.loads(seen[1][0][2]["tool_calls"][0]["function"]["arguments"]) == {}


def test_at_the_turn_limit_the_agent_answers_without_tools(run, scripted):
    search = scripted.calls(("search", {"query": "salt"}))
    trajectory, seen = run(search, search, scripted.says(FINAL), limits={"turns": 2})
    assert (trajectory.status, trajectory.end_reason) == ("answered", "turn_limit")
    assert len(trajectory.turns) == 3
    assert all(parameters["tools"] == TOOLS for _, parameters in seen)
    assert [parameters.get("tool_choice") for _, parameters in seen] == [None, None, "none"]
    assert seen[-1][0][-1]["role"] == "user"
    assert "Answer the question now" in seen[-1][0][-1]["content"]


def test_who_does_not_answer_at_the_limit_is_unanswered(run, scripted):
    trajectory, _ = run(scripted.calls(("search", {"query": "salt"})), limits={"turns": 2})
    assert (trajectory.status, trajectory.end_reason, trajectory.answer) == ("unanswered", "turn_limit", None)
    late = trajectory.turns[-1].calls[0]
    assert (late.executed, late.hits) == (None, None)
    assert late.error


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"tokens": 30}, "token_limit"), ({"seconds": 1e-9}, "time_limit")],
)
def test_every_budget_ends_a_run_by_its_name(run, scripted, limits, reason):
    trajectory, _ = run(scripted.calls(("search", {"query": "salt"})), scripted.says(FINAL), limits=limits)
    assert (trajectory.status, trajectory.end_reason) == ("answered", reason)


def test_the_cost_limit_counts_the_price_of_every_call(scripted):
    def answer(request, _):
        message = (
            scripted.says(FINAL)
            if request.get("tool_choice") == "none"
            else scripted.calls(("search", {"query": "salt"}))
        )
        return scripted.Reply(scripted.body(message, model="gpt-4o-mini"))

    with scripted.Server(answer) as server:
        agent = AgentSettings(model="openai/gpt-4o-mini", base_url=server.url, limits=Limits(cost=1e-5))
        trajectory = asyncio.run(run_task(TASK, agent, scripted.Tiny()))
    assert (trajectory.status, trajectory.end_reason) == ("answered", "cost_limit")
    assert trajectory.usage.cost == pytest.approx(4.5e-6 * len(trajectory.turns))
    assert len(trajectory.turns) == 4


def test_a_model_that_hangs_meets_the_time_limit(scripted):
    def answer(request, number):
        if request.get("tool_choice") != "none":
            return scripted.Reply(hang=1.5)
        return scripted.Reply(scripted.body(scripted.says(FINAL)))

    with scripted.Server(answer) as server:
        agent = AgentSettings(model="openai/m", base_url=server.url, limits=Limits(seconds=0.5))
        trajectory = asyncio.run(run_task(TASK, agent, scripted.Tiny()))
    assert (trajectory.status, trajectory.end_reason) == ("answered", "time_limit")
    assert len(trajectory.extra["attempts"]) == 1
    assert trajectory.seconds < 1.4


def test_a_full_context_ends_by_its_limit_and_leaves_room_for_an_answer(run, scripted):
    overflow = CustomLLMError(400, "This model's maximum context length is 50 tokens")
    search = scripted.calls(("search", {"query": "salt"}))
    trajectory, seen = run(search, overflow, scripted.says(FINAL))
    assert (trajectory.status, trajectory.end_reason) == ("answered", "token_limit")
    assert "Harbour" in seen[1][0][-1]["content"]
    assert "Harbour" not in json.dumps(seen[2][0])
    assert "Harbour" in trajectory.turns[0].calls[0].output


def test_a_context_that_stays_full_is_unanswered_not_an_error(run):
    trajectory, _ = run(CustomLLMError(400, "This model's maximum context length is 5 tokens"))
    assert (trajectory.status, trajectory.end_reason, trajectory.error) == ("unanswered", "token_limit", None)


def test_an_empty_message_is_asked_for_an_answer_once(run, scripted):
    trajectory, _ = run(scripted.says(None, "Hm."), scripted.says(FINAL))
    assert (trajectory.status, trajectory.end_reason, len(trajectory.turns)) == ("answered", "answer", 2)
    trajectory, _ = run(scripted.says("", "Hm."))
    assert (trajectory.status, trajectory.end_reason, len(trajectory.turns)) == ("unanswered", "gave_up", 2)


def test_giving_up_is_unanswered(run, scripted):
    trajectory, _ = run(scripted.says("Explanation: nothing.\nExact Answer:\nConfidence: 0%"))
    assert (trajectory.status, trajectory.end_reason, trajectory.answer) == ("unanswered", "gave_up", None)


def test_a_failed_model_is_an_error_of_its_boundary_and_keeps_the_turns(run, scripted):
    trajectory, _ = run(scripted.calls(("search", {"query": "salt"})), CustomLLMError(401, "who are you?"))
    assert (trajectory.status, trajectory.end_reason, trajectory.error.boundary) == ("error", "error", "model")
    assert "who are you?" in trajectory.error.message
    assert len(trajectory.turns) == 1
    assert [attempt["status"] for attempt in trajectory.extra["attempts"]] == [401]


def test_a_failed_retriever_is_an_error_of_its_boundary_and_keeps_the_turn(run, scripted):
    trajectory, _ = run(
        scripted.calls(("search", {"query": "salt"}), reasoning="Try."), retriever=scripted.Tiny(broken="gone")
    )
    assert (trajectory.status, trajectory.error.boundary) == ("error", "retriever")
    assert trajectory.turns[0].reasoning == "Try."
    assert "gone" in trajectory.turns[0].calls[0].error


def test_absent_reasoning_stays_absent(run, scripted):
    trajectory, seen = run(
        scripted.calls(("search", {"query": "salt"})),
        scripted.calls(("search", {"query": "salt"}), reasoning=""),
        scripted.says(FINAL),
    )
    assert [turn.reasoning for turn in trajectory.turns] == [None, "", None]
    assert [message.get("reasoning_content") for message in seen[-1][0] if message["role"] == "assistant"] == [None, ""]


def test_reasoning_is_not_passed_back_where_the_profile_says_no(run, scripted):
    search = scripted.calls(("search", {"query": "salt"}), reasoning="Try.")
    _, seen = run(search, scripted.says(FINAL), pass_reasoning="no")
    assert "Try." not in json.dumps(seen[-1][0])


def test_a_run_without_plan_is_an_error_of_its_task(scripted):
    trajectory = asyncio.run(run_task(TASK, AgentSettings(model="sim/default"), scripted.Tiny()))
    assert (trajectory.status, trajectory.error.boundary) == ("error", "task")


def test_the_plan_reaches_the_simulated_agent_as_a_parameter_never_in_a_message(scripted):
    hops = [
        Hop(subject="Brindle Lighthouse", relation="designer", object="Maren Oxley", phrasings=["{subject} designer"]),
        Hop(subject="#1", relation="place of birth", object="Thornmouth", phrasings=["{subject} birthplace"]),
    ]
    task = msgspec.structs.replace(TASK, plan=Plan(hops=hops))
    agent = AgentSettings(model="sim/default", simulation={"patience": 3.0})

    def once(sample=0, seed=0):
        return asyncio.run(run_task(task, agent, scripted.Tiny(), sample=sample, seed=seed))

    first = once()
    simulation = first.extra["simulation"]
    assert simulation["plan"] == msgspec.to_builtins(task.plan)
    assert simulation["persona"] == first.agent["simulation"]
    assert simulation["persona"]["patience"] == 3.0
    assert first.status in ("answered", "unanswered")
    assert first.usage.cost == 0.0
    assert canonical(once()) == canonical(first)
    others = [once(sample=1), once(seed=1)]
    assert len({run.extra["simulation"]["seed"] for run in [first, *others]}) == 3
    assert len({run.id for run in [first, *others]}) == 3


def test_ids_differ_by_all_that_decides_a_run(run, scripted):
    def name(**changed):
        return run(scripted.says(FINAL), **changed)[0].id

    names = {
        name(),
        name(limits={"k": 3}),
        name(retriever=scripted.Tiny(scripted.DOCUMENTS[:2])),
        name(task=msgspec.structs.replace(TASK, question="Another?")),
        name(task=msgspec.structs.replace(TASK, id="q2")),
    }
    assert len(names) == 5
    assert all(each.startswith(("q1.0.", "q2.0.")) for each in names)


@pytest.mark.parametrize(
    "message", ["Unknown parameter: 'tool_choice'.", "m does not support parameters: ['tool_choice'], for model=m"]
)
def test_where_the_choice_of_tools_is_refused_the_message_alone_asks_for_the_answer(scripted, message):
    def answer(request, number):
        if "tool_choice" in request:
            return scripted.Reply({"error": {"message": message, "type": "invalid_request_error"}}, status=400)
        forced = request["messages"][-1]["role"] == "user" and number
        said = scripted.says(FINAL) if forced else scripted.calls(("search", {"query": "Brindle Lighthouse"}))
        return scripted.Reply(scripted.body(said))

    with scripted.Server(answer) as server:
        agent = AgentSettings(model="openai/m", base_url=server.url, limits=Limits(k=2, turns=2))
        trajectory = asyncio.run(run_task(TASK, agent, scripted.Tiny()))
    assert (trajectory.status, trajectory.end_reason, trajectory.answer) == ("answered", "turn_limit", "Thornmouth")
    assert [each["status"] for each in trajectory.extra["attempts"]] == [400]
    refused, answered = server.requests[-2:]
    assert refused["tool_choice"] == "none"
    assert answered == {name: value for name, value in refused.items() if name != "tool_choice"}
    assert answered["tools"] == TOOLS, "a conversation with calls is refused by some without them"


def test_another_refusal_of_the_call_for_an_answer_is_an_error(scripted):
    def answer(request, _):
        if "tool_choice" in request:
            return scripted.Reply({"error": {"message": "Invalid value for 'temperature'."}}, status=400)
        return scripted.Reply(scripted.body(scripted.calls(("search", {"query": "Brindle Lighthouse"}))))

    with scripted.Server(answer) as server:
        agent = AgentSettings(model="openai/m", base_url=server.url, limits=Limits(k=2, turns=1))
        trajectory = asyncio.run(run_task(TASK, agent, scripted.Tiny()))
    assert (trajectory.status, trajectory.error.boundary) == ("error", "model")
    assert len(server.requests) == 2
