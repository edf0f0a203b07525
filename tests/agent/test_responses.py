"""Agents by OpenAI's Responses API, through both clients: what a server is sent on the next turn, item by item."""

import asyncio
import itertools
import json

import pytest
import shapes

from lrat_sim.agent.check import check_agent
from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, Limits, Sampling, load_agent
from lrat_sim.agent.tools import MOST_ANSWERED, TOOLS
from lrat_sim.errors import InputError
from lrat_sim.models import transport
from lrat_sim.models.cache import CallCache
from lrat_sim.models.call import Request, Retries
from lrat_sim.models.client import Client, attempt, close_connections, model_for
from lrat_sim.models.items import ITEMS, input_items
from lrat_sim.records import Task

CLIENTS = {"litellm": "hosted_vllm/m", "openai": "openai/m"}
TASK = Task(id="q1", question="Who designed Brindle Lighthouse?", answers=["Maren Oxley"])
QUESTION = {"role": "user", "content": TASK.question}
ASKED = {"query": "Brindle Lighthouse"}


def text(*written, **more):
    content = [{"type": "output_text", "text": each, "annotations": []} for each in written]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content, **more}


def thought(*shown, id="rs_1", **more):
    return {"type": "reasoning", "id": id, "summary": [], "content": [_part(each) for each in shown], **more}


def _part(shown):
    return {"type": "reasoning_text", "text": shown}


def call(arguments=ASKED, name="search", **more):
    arguments = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": arguments, **more}


FINAL = text(shapes.FINAL, phase="final_answer")
SECRET = thought(encrypted_content="gAAAA=", summary=[{"type": "summary_text", "text": "I look."}])


@pytest.fixture(params=CLIENTS)
def model(request):
    return CLIENTS[request.param]


@pytest.fixture
def play(scripted, model):
    """Runs the task against a server that answers with these, the last one for ever: items, or a whole reply."""

    def go(*replies, **settings):
        def answer(_, number):
            said = replies[min(number, len(replies) - 1)]
            return said if isinstance(said, scripted.Reply) else scripted.Reply(scripted.response(said))

        async def run():
            try:
                return await run_task(TASK, agent, scripted.Tiny())
            finally:
                await close_connections()

        with scripted.Server(answer) as server:
            usual = {"model": model, "api": "responses", "prompt": "Find it.\n", "base_url": server.url}
            usual |= {"limits": Limits(k=2, turns=6), "retries": Retries(attempts=2), "timeout": 20.0}
            agent = AgentSettings(**{**usual, **settings})
            return asyncio.run(run()), server.requests

    return go


def test_a_turn_goes_back_item_by_item_as_it_came(play):
    said = [
        {**SECRET, "status": "completed"},
        text("Let me look.", phase="commentary"),
        call(status="completed"),
        {**thought("Once more.", id="rs_2"), "encrypted_content": None, "status": None},
        call({"query": "salt"}, call_id="call_2", id="fc_2"),
    ]
    run, (first, second) = play(said, [FINAL])
    one, two = run.turns[0].calls
    assert (
        second["input"]
        == [
            QUESTION,
            SECRET,  # without its status, which OpenAI refuses
            *said[1:3],
            thought("Once more.", id="rs_2"),
            said[4],
            {"type": "function_call_output", "call_id": "call_1", "output": one.output},
            {"type": "function_call_output", "call_id": "call_2", "output": two.output},
        ]
    )
    assert first["input"] == [QUESTION]
    assert (one.hits[0].docid, two.hits[0].docid) == ("1", "3")
    assert (run.status, run.end_reason, run.answer) == ("answered", "answer", shapes.EXACT)


def test_a_request_has_the_parameters_of_this_api(play):
    sampling = {"max_tokens": 900, "seed": 3, "presence_penalty": 0.5, "temperature": None, "top_p": 0.9}
    provider = {"reasoning_effort": "low", "reasoning": {"summary": "auto"}, "extra_body": {"top_k": 4}}
    settings = {"sampling": Sampling(**sampling), "provider": provider, "limits": Limits(turns=1)}
    _, requests = play([SECRET, call()], [FINAL], **settings)
    more = {"top_p": 0.9, "presence_penalty": 0.5, "seed": 3, "top_k": 4, "max_output_tokens": 900}
    sent = {"instructions": "Find it.\n", "reasoning": {"effort": "low", "summary": "auto"}, "store": False, **more}
    sent |= {"include": ["reasoning.encrypted_content"], "model": "m"}
    for request in requests:
        assert request.pop("tools") == [{"type": "function", **tool["function"], "strict": False} for tool in TOOLS]
        request.pop("input")
    assert requests == [sent, {**sent, "tool_choice": "none"}]


def test_each_request_is_an_extension_of_the_one_before(play):
    turns = [[thought("So.", id=f"rs_{turn}"), call(call_id=f"call_{turn}")] for turn in range(3)]
    _, requests = play(*turns, [FINAL])
    for before, after in itertools.pairwise(requests):
        assert after["input"][: len(before["input"])] == before["input"]
        assert after["instructions"] == before["instructions"]
    assert [len(request["input"]) for request in requests] == [1, 4, 7, 10]


def test_the_record_keeps_the_items_as_they_came(play):
    said = [{**SECRET, "status": "completed"}, {"type": "odd", "part": [1]}, call()]
    run, _ = play(said, [thought(encrypted_content="gBBBB="), FINAL])
    assert run.turns[0].raw == {"role": "assistant", ITEMS: said}
    assert [turn.reasoning for turn in run.turns] == ["I look.", ""]  # the second is there, but cannot be read
    assert run.turns[1].raw[ITEMS][0]["encrypted_content"] == "gBBBB="


def test_reasoning_is_its_content_rather_than_a_summary_of_it(play):
    run, _ = play([{**SECRET, "content": [_part("I look, since"), _part("I must.")]}, call()], [FINAL])
    assert [turn.reasoning for turn in run.turns] == ["I look, since\nI must.", None]


def test_usage_has_its_reasoning_and_its_price(scripted, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with scripted.Server(lambda *_: scripted.Reply(scripted.response([FINAL], model="gpt-5-mini"))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        for base_url in (None, server.url):  # by litellm, and by openai's client
            request = Request(model="openai/gpt-5-mini", messages=[QUESTION], base_url=base_url, api="responses")
            usage = _attempt(request).usage
            assert (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens) == (10, 5, 3)
            assert usage.cost == pytest.approx(6 * 2.5e-7 + 4 * 2.5e-8 + 5 * 2e-6)  # 4 of the prompt's were cached


def _attempt(request):
    async def ask():
        try:
            return await attempt(model_for(request), request)
        finally:
            await close_connections()

    return asyncio.run(ask())


# --- faults -----------------------------------------------------------------------------------------------------------


def test_an_mcp_call_that_nobody_runs_is_a_call_of_ours(play):
    astray = {"type": "mcp_call", "id": "mcp_1", "server_label": "functions", "name": "search"}
    run, (_, second) = play([thought("So."), {**astray, "arguments": json.dumps(ASKED)}], [FINAL])
    assert run.turns[0].calls[0].executed == ASKED
    called = {"type": "function_call", "call_id": "mcp_1", "name": "search", "arguments": json.dumps(ASKED)}
    assert second["input"][1:3] == [thought("So."), called]
    assert second["input"][3]["call_id"] == "mcp_1"


def test_an_mcp_call_that_the_provider_ran_is_none(play):
    ran = {
        "type": "mcp_call",
        "id": "mcp_1",
        "server_label": "wiki",
        "name": "search",
        "arguments": "{}",
        "output": "x",
    }
    run, requests = play([ran, FINAL])
    assert (run.turns[0].calls, run.answer, len(requests)) == ([], shapes.EXACT, 1)


@pytest.mark.parametrize("name", ["search<|channel|>commentary", "functions.search", "search json"])
def test_marks_in_a_name_are_not_sent_back(play, name):
    run, (_, second) = play([call(name=name)], [FINAL])
    assert run.turns[0].calls[0].executed == ASKED
    assert run.turns[0].calls[0].tool == name
    assert second["input"][1] == call()


def test_a_call_in_the_text_runs_and_goes_back_as_an_item(play):
    written = f'I look.\n<tool_call>{{"name": "search", "arguments": {json.dumps(ASKED)}}}</tool_call>'
    run, (_, second) = play([thought("So."), text(written, phase="commentary")], [FINAL])
    assert run.turns[0].calls[0].executed == ASKED
    asked = {"type": "function_call", "call_id": "call_0_0", "name": "search", "arguments": json.dumps(ASKED)}
    assert second["input"][1:4] == [thought("So."), text("I look.", phase="commentary"), asked]
    assert run.turns[0].raw[ITEMS][1]["content"][0]["text"] == written


@pytest.mark.parametrize(
    ("written", "executed"), [("{'query': 'Brindle Lighthouse'}", ASKED), ('{"query": "Brindle Lighthouse', None)]
)
def test_arguments_that_are_not_json_go_back_as_json_and_stay_in_the_record(play, written, executed):
    run, (_, second) = play([call(written)], [FINAL])
    assert run.turns[0].calls[0].executed == executed
    assert second["input"][1] == call(executed or {})
    assert run.turns[0].raw[ITEMS][0]["arguments"] == written


def cut(scripted, items, reason="max_output_tokens"):
    return scripted.Reply(scripted.response(items, status="incomplete", incomplete_details={"reason": reason}))


def test_a_call_that_was_cut_off_does_not_run(play, scripted):
    run, (_, second) = play(cut(scripted, [thought("So."), call('{"query": "Brin', status="incomplete")]), [FINAL])
    assert (run.turns[0].finish_reason, run.turns[0].calls[0].executed) == ("max_output_tokens", None)
    assert "cut off" in second["input"][-1]["output"]
    assert run.answer == shapes.EXACT


def test_reasoning_of_which_nothing_followed_is_not_sent(play, scripted):
    said = [text("It was", status="incomplete"), thought("What", status="incomplete")]
    _, (_, second, third) = play(cut(scripted, said), cut(scripted, said[1:]), [FINAL])
    assert second["input"][1] == said[0]
    assert "cut off" in second["input"][2]["content"]
    assert not [item for item in third["input"] if item.get("type") == "reasoning"]


def test_what_a_filter_withheld_is_no_answer(play, scripted):
    run, requests = play(cut(scripted, [FINAL], "content_filter"))
    assert (run.status, run.end_reason, len(requests)) == ("unanswered", "content_filter", 1)


@pytest.mark.parametrize(
    ("code", "status", "requests"),
    [("server_error", 500, 2), ("rate_limit_exceeded", 429, 2), ("invalid_prompt", 400, 1)],
)
def test_a_failed_response_is_tried_again_by_its_code(play, scripted, code, status, requests):
    error = {"code": code, "message": "Something is wrong."}
    run, seen = play(scripted.Reply(scripted.response([], status="failed", error=error)), [FINAL])
    assert len(seen) == requests
    assert (run.status == "answered") == (requests == 2)
    tried = [each for turn in run.turns for each in turn.attempts] if requests == 2 else run.extra["attempts"]
    first = tried[0] if isinstance(tried[0], dict) else {"status": tried[0].status, "error": tried[0].error}
    assert first["status"] == status
    assert f"Something is wrong. ({code})" in first["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"output": []},
        {"output": None},
        {"output": ["odd", 7]},
        {"output": [FINAL], "status": "in_progress"},
        {"status": "failed", "output": [], "error": None},
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # as import_litellm does
def test_a_response_without_an_answer_may_bring_one_the_next_time(play, scripted, body):
    run, requests = play(scripted.Reply(scripted.response(**{"output": [], **body})), [FINAL])
    assert (run.answer, len(requests)) == (shapes.EXACT, 2)


def test_a_429_wants_fewer_calls_after_the_time_it_names(scripted, model):
    refusal = {"error": {"message": "Rate limit reached.", "type": "requests"}}
    with scripted.Server(lambda *_: scripted.Reply(refusal, status=429, retry_after="7")) as server:
        outcome = _attempt(Request(model=model, messages=[QUESTION], base_url=server.url, api="responses"))
        assert len(server.requests) == 1
    assert (outcome.cause, outcome.status, outcome.retry_after) == ("limited", 429, 7.0)


def test_odd_items_are_kept_and_sent_again(play):
    odd = [{"type": "compaction", "id": "cmp_1", "encrypted_content": "gCC="}, {"type": "novel", "of": {"a": [None]}}]
    silent = {**text(None), "content": [{"type": "output_text", "text": None, "annotations": []}]}
    run, (_, second) = play([*odd, silent, call()], [FINAL])
    assert second["input"][1:5] == [*odd, silent, call()]
    assert run.turns[0].text is None


def test_commentary_alone_is_no_answer(play):
    run, (_, second) = play([text("I shall look for it.", phase="commentary")], [FINAL])
    assert second["input"][1] == text("I shall look for it.", phase="commentary")
    assert "That was commentary" in second["input"][2]["content"]
    assert (run.end_reason, run.answer) == ("answer", shapes.EXACT)


def test_the_answer_is_that_of_the_final_message(play):
    run, _ = play([text("I know it.", phase="commentary"), text("Maren Oxley", phase="final_answer")])
    assert (run.answer, run.turns[0].text) == ("Maren Oxley", "Maren Oxley")


def test_without_reasoning_no_item_says_that_it_had_some(play):
    said = [SECRET, text("I look.", phase="commentary"), call()]
    _, (_, second) = play(said, [FINAL], pass_reasoning="no")
    wanted = [{field: value for field, value in item.items() if field != "id"} for item in said[1:]]
    assert second["input"][1:3] == wanted


@pytest.mark.parametrize("protocol", ["tagged", "react"])
def test_other_protocols_go_by_it_too(play, protocol):
    wordings = {
        "tagged": (
            '<tool_call>{"name": "search", "arguments": {"query": "lamp"}}</tool_call>',
            f"<answer>{shapes.FINAL}</answer>",
        ),
        "react": ("Thought: So.\nAction: search[lamp]", f"Final Answer: {shapes.FINAL}"),
    }
    asked, final = wordings[protocol]
    run, (first, second) = play([SECRET, text(asked)], [text(final)], protocol=protocol, prompt="Find.\n{tools}\n")
    assert run.turns[0].calls[0].executed == {"query": "lamp"}
    assert second["input"][1:3] == [SECRET, text(asked)]
    assert second["input"][3]["role"] == "user"
    assert "tools" not in first
    assert run.answer == shapes.EXACT


# --- resume, cache, bounds --------------------------------------------------------------------------------------------


def test_a_run_that_is_resumed_sends_the_sealed_reasoning_of_its_cached_calls(scripted, model, tmp_path):
    seen, healed = [], []

    def answer(request, _):
        seen.append(request)
        turn = sum(item.get("type") == "function_call" for item in request["input"])
        if turn == 2 and not healed:
            return scripted.Reply({"error": {"message": "Wrong."}}, status=400)
        said = [FINAL] if turn == 2 else [{**SECRET, "id": f"rs_{turn}"}, call(call_id=f"call_{turn}")]
        return scripted.Reply(scripted.response(said))

    async def run(agent):
        with CallCache(tmp_path / "calls.db") as cache:
            try:
                return await run_task(TASK, agent, scripted.Tiny(), client=Client(cache=cache))
            finally:
                await close_connections()

    with scripted.Server(answer) as server:
        agent = AgentSettings(model=model, api="responses", base_url=server.url, prompt="Find it.\n")
        broken = asyncio.run(run(agent))
        healed.append(True)
        whole = asyncio.run(run(agent))
    assert (broken.status, len(broken.turns), whole.answer) == ("error", 2, shapes.EXACT)
    assert len(seen) == 4  # two cached turns were not asked for again
    assert seen[3] == seen[2]
    assert [item for item in seen[3]["input"] if item.get("type") == "reasoning"] == [
        {**SECRET, "id": "rs_0"},
        {**SECRET, "id": "rs_1"},
    ]


def test_no_more_calls_go_back_than_are_answered(play):
    asked = [call(call_id=f"c{number}", id=f"fc_{number}") for number in range(MOST_ANSWERED + 40)]
    run, (_, second) = play([SECRET, *asked], [FINAL])
    kinds = [item.get("type") for item in second["input"]]
    assert kinds.count("function_call") == kinds.count("function_call_output") == MOST_ANSWERED
    assert "40 calls after it were dropped" in run.turns[0].calls[-1].error


def test_calls_of_one_id_go_back_under_several(play):
    _, (_, second) = play([call(), call({"docid": "1"}, "get_document"), call(call_id=None, id=None)], [FINAL])
    called = [item["call_id"] for item in second["input"] if item.get("type") == "function_call"]
    assert len(set(called)) == 3
    assert called == [item["call_id"] for item in second["input"] if item.get("type") == "function_call_output"]


def test_one_call_that_became_two_goes_back_as_two_in_its_place():
    later = call({"docid": "1"}, "get_document", call_id="call_2", id="fc_2")
    ran = [
        ("call_1", "search", '{"query": "a"}'),
        ("call_0_1", "search", '{"query": "b"}'),
        ("call_2", "get_document", '{"docid": "1"}'),
    ]
    calls = [{"id": id, "function": {"name": name, "arguments": given}} for id, name, given in ran]
    own = {"role": "assistant", "content": None, "tool_calls": calls, ITEMS: [SECRET, call(), SECRET, later]}
    assert input_items([own]) == [
        SECRET,
        call({"query": "a"}),
        {"type": "function_call", "call_id": "call_0_1", "name": "search", "arguments": '{"query": "b"}'},
        SECRET,
        later,
    ]


def test_a_reply_beyond_the_bound_is_read_no_further(scripted, monkeypatch):
    monkeypatch.setattr(transport, "MOST_BYTES", 100_000)
    with scripted.Server(lambda *_: scripted.Reply(scripted.response([text("a" * 200_000)]))) as server:
        outcome = _attempt(Request(model="openai/m", messages=[QUESTION], base_url=server.url, api="responses"))
    assert "larger than 100,000 bytes" in outcome.message


def test_a_response_of_very_many_items_is_read_and_sent_again_once_each(scripted):
    items = [text("a", id=f"msg_{number}") for number in range(20_000)]
    own = {"role": "assistant", "content": "b", ITEMS: items}
    assert input_items([own]) == [{**items[0], "content": text("b")["content"]}]


def test_an_agent_that_goes_by_it_is_another():
    chat, responses = (AgentSettings(model="openai/m", api=api).describe() for api in ("chat", "responses"))
    assert (chat["api"], responses["api"]) == ("chat", "responses")
    assert chat["fingerprint"] != responses["fingerprint"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"model": "sim/x"}, "remove `api`"), ({"model": "openai/m", "pass_reasoning": "inline"}, "set `pass_reasoning`")],
)
def test_an_agent_that_cannot_go_by_it_is_refused(settings, problem):
    with pytest.raises(InputError, match=problem):
        AgentSettings(api="responses", **settings)


# --- profiles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shapes.RESPONSES)
def test_a_profile_gets_back_what_its_model_said(scripted, name, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "k")
    said = [message["output"] for message in shapes.messages(shapes.RESPONSES[name], TASK.question, "1")]
    for turn, items in enumerate(said):
        for item in items:
            item.update({field: f"{item[field]}{turn}" for field in ("id", "call_id") if field in item})
    with scripted.Server(lambda _, number: scripted.Reply(scripted.response(said[number]))) as server:
        agent = load_agent(name, {"base_url": server.url, "key_env": "SOME_KEY"})
        run = asyncio.run(run_task(TASK, agent, scripted.Tiny()))
    assert (run.status, run.end_reason, run.answer) == ("answered", "answer", shapes.EXACT), run.error
    assert [turn.reasoning for turn in run.turns] == shapes.THOUGHTS
    outputs = ("function_call_output", None)
    back = [item for item in server.requests[2]["input"] if item.get("type") not in outputs]
    wanted = [
        {field: value for field, value in item.items() if value is not None} for items in said[:2] for item in items
    ]
    assert back == wanted
    for request in server.requests:
        sent = {key: value for key, value in request.items() if key not in ("model", "input", "instructions", "tools")}
        sampling = {"max_output_tokens" if key == "max_tokens" else key: v for key, v in run.extra["sampling"].items()}
        assert sent == {"store": False, "include": ["reasoning.encrypted_content"], **sampling, **agent.provider}


def test_check_says_that_the_reasoning_came_in_items(scripted, model):
    def answer(request, _):
        called = any(item.get("type") == "function_call" for item in request["input"])
        return scripted.Reply(scripted.response([FINAL] if called else [SECRET, call()]))

    with scripted.Server(answer) as server:
        agent = AgentSettings(model=model, api="responses", base_url=server.url)
        checks = {check.what: (check.state, check.detail) for check in check_agent(agent)}
    assert checks["reasoning"] == ("ok", f"3 tokens, in {ITEMS}")
    assert {checks[what][0] for what in ("endpoint", "protocol", "tool calls", "answer")} == {"ok"}
