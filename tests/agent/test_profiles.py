"""The profiles in agents/, each against the shapes that its backbone's server returns."""

import asyncio
import json

import msgspec
import pytest
import shapes

from lrat_sim import catalog
from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.agent.tools import TOOLS
from lrat_sim.errors import InputError
from lrat_sim.models.litellm_model import import_litellm, require_key
from lrat_sim.records import Task

PAPER = {"agentcpm-explore", "glm-4", "gpt-oss", "minimax-m2", "tongyi-deepresearch", "webexplorer"}
WANTED = {
    *PAPER,
    "openai-tools",
    "react-text",
    "simulated",
    "qwen3.5-4b",
    "qwen3.5-9b",
    "qwen3.5-27b",
    "qwen3.5-35b-a3b",
}
WANTED |= {"qwen3.6-27b", "gpt-oss-20b", "deepseek-v4-flash", "deepseek-v4-pro", "kimi-k2.6", "kimi-k3", "minimax-m3"}
WANTED |= {"glm-5", "gemma-4", "openresearcher-30b-a3b", "mirothinker-1.7", "openseeker-v2", "qwen2.5-coder-1.5b"}
NAMES = catalog.names("agents")
REAL = [name for name in NAMES if not name.startswith("simulated")]
CHAT = list(shapes.SHAPES)  # what the Responses API makes of the others is in test_responses.py
SMALL = "qwen2.5-coder-1.5b"
TASK = Task(id="q1", question="Who designed Brindle Lighthouse?", answers=["Maren Oxley"], canary="one canary")


def test_every_backbone_has_a_profile():
    assert set(NAMES) >= WANTED
    assert set(shapes.SHAPES) | set(shapes.RESPONSES) == set(REAL)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_resolves_with_what_its_protocol_needs(name):
    agent = load_agent(name)
    resolved = agent.resolved()
    for tool in TOOLS:
        assert tool["function"]["name"] in resolved.prompt or agent.protocol == "tools"
    assert "{tools}" not in resolved.prompt
    assert "{tools}" in catalog.read_text("prompts", agent.prompt)
    form = {"tools": "", "tagged": "<answer>", "react": "Final Answer:"}[agent.protocol]
    for text in (resolved.prompt, resolved.answer_prompt):
        assert form in text
        assert text.index("Explanation:") < text.index("Exact Answer:") < text.index("Confidence:")
    assert agent.limits.turns >= 30
    assert msgspec.convert(
        {field: value for field, value in agent.describe().items() if field not in ("fingerprint", "tokenizer")},
        AgentSettings,
    )


@pytest.mark.parametrize("name", REAL)
def test_a_real_agent_has_the_limits_of_the_paper_and_a_known_window(name):
    agent = load_agent(name)
    limits = agent.limits
    if name != SMALL:
        assert (limits.k, limits.snippet_tokens, limits.document_tokens, limits.turns) == (10, 64, 512, 50)
    if name in PAPER:
        assert (agent.sampling.temperature, agent.sampling.top_p) == (0.85, 0.95)
    assert agent.window or agent.model.startswith("openai/gpt")
    assert agent.name == name


@pytest.mark.parametrize("name", REAL)
def test_litellm_knows_where_the_model_is(name):
    agent = load_agent(name)
    model, provider, _, _ = import_litellm().get_llm_provider(agent.model, api_base=agent.base_url)
    assert agent.model == f"{provider}/{model}"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("minimax-m2", "MINIMAX_API_KEY"),
        ("glm-4", "ZAI_API_KEY"),
        ("deepseek-v4-pro", "DEEPSEEK_API_KEY"),
        ("kimi-k3", "MOONSHOT_API_KEY"),
    ],
)
def test_a_hosted_profile_names_the_key_that_it_lacks(name, key, monkeypatch):
    monkeypatch.delenv(key, raising=False)
    agent = load_agent(name)
    with pytest.raises(InputError, match=key):
        require_key(agent.model, base_url=agent.base_url, key_env=agent.key_env)


OTHER = {
    "harness": "rag",
    "tools": ("deduplicated_search", "get_document", "find_in_document"),
    "name": "other",
    "api": "responses",
    "protocol": "react",
    "prompt": "search-agent-react",
    "answer_prompt": "answer-now-react",
    "base_url": "http://localhost:9/v1",
    "key_env": "OTHER_KEY",
    "window": 1234,
    "timeout": 7.0,
    "pass_reasoning": "no",
    "finished_reasoning": "drop",
    "empty_content": "none",
    "list_queries": "each",
    "session_header": "X-Other",
    "provider": {"top_k": 3},
    "sampling.temperature": 0.1,
    "sampling.top_p": 0.2,
    "sampling.presence_penalty": 0.3,
    "sampling.max_tokens": 77,
    "sampling.seed": 5,
    "sampling.stop": ["###"],
    "limits.k": 3,
    "limits.snippet_tokens": 9,
    "limits.document_tokens": 8,
    "limits.turns": 6,
    "limits.tokens": 99,
    "limits.seconds": 1.5,
    "limits.cost": 0.5,
    "retries.attempts": 2,
    "retries.seconds": 3.0,
}


def test_these_are_all_fields():
    fields = {"model", "simulation", *OTHER}
    for field in msgspec.structs.fields(AgentSettings):
        if field.name in ("sampling", "limits", "retries"):
            kind = type(field.default)
            assert {f"{field.name}.{each}" for each in kind.__struct_fields__} <= fields
        else:
            assert field.name in fields


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("as_text", [False, True])
def test_every_field_can_be_overridden(name, as_text):
    given = {"model": "openai/other", **OTHER}
    agent = load_agent(name, {key: json.dumps(value) if as_text else value for key, value in given.items()})
    settings = msgspec.to_builtins(agent)
    for key, value in given.items():
        place = settings
        for part in key.split("."):
            place = place[part]
        assert place == value


@pytest.fixture
def played(scripted, monkeypatch):
    """Runs a profile against the messages of a backbone, over HTTP; the run and the requests that were made."""
    monkeypatch.setenv("SOME_KEY", "k")

    def play(name, given, **changed):
        said = shapes.messages(given, TASK.question, "1")
        replies = [scripted.Reply(scripted.body(message)) for message in said]
        with scripted.Server(lambda _, number: replies[min(number, len(replies) - 1)]) as server:
            agent = load_agent(
                name, {"api": "chat", "base_url": server.url, "key_env": "SOME_KEY", "retries.attempts": 1, **changed}
            )
            run = asyncio.run(run_task(TASK, agent, scripted.Tiny()))
        return run, server.requests

    return play


CASES = [
    *((name, shapes.SHAPES[name], {}) for name in CHAT),
    *((name, shapes.ALSO[name], {}) for name in ("gpt-oss", "tongyi-deepresearch")),
    ("minimax-m2", shapes.ALSO["minimax-m2"], {"pass_reasoning": "inline", "provider": {}}),
    ("glm-4", shapes.ALSO["glm-4"], {"pass_reasoning": "reasoning"}),
]


@pytest.mark.parametrize(("name", "given", "changed"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)])
def test_a_backbones_own_shapes_drive_a_run_to_its_answer_with_its_reasoning(played, name, given, changed):
    run, requests = played(name, given, **changed)
    assert (run.status, run.end_reason, run.answer) == ("answered", "answer", shapes.EXACT), run.error
    search, browse = (call for turn in run.turns for call in turn.calls)
    assert (search.executed, search.hits[0].docid) == ({"query": TASK.question}, "1")
    assert (browse.executed, browse.docid) == ({"docid": "1"}, "1")
    thoughts = [turn.reasoning and turn.reasoning.strip() for turn in run.turns]
    assert thoughts == ([None] * 3 if name in shapes.SILENT else shapes.THOUGHTS)
    assert [turn.text for turn in run.turns][-1].strip() == shapes.FINAL
    assert len(requests) == 3


@pytest.mark.parametrize(("name", "given", "changed"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)])
def test_the_reasoning_goes_back_in_the_shape_that_the_profile_says(played, name, given, changed):
    _, requests = played(name, given, **changed)
    agent = load_agent(name, changed)
    back = [message for message in requests[2]["messages"] if message["role"] == "assistant"]
    assert len(back) == 2
    for message, thought in zip(back, shapes.THOUGHTS, strict=False):
        where = {"inline": "content", "no": ""}.get(agent.pass_reasoning, agent.pass_reasoning)
        if agent.protocol != "tools":
            where = "content"
        if name in shapes.SILENT:
            assert not {"reasoning", "reasoning_content", "reasoning_details"} & message.keys()
        else:
            assert json.dumps(message[where]).count(json.dumps(thought)[1:-1]) == 1
            elsewhere = {key: value for key, value in message.items() if key != where}
            assert thought not in json.dumps(elsewhere)


def test_reasoning_details_go_back_as_they_came(played):
    said = shapes.messages(shapes.SHAPES["minimax-m2"], TASK.question, "1")
    _, requests = played("minimax-m2", shapes.SHAPES["minimax-m2"])
    back = [message for message in requests[2]["messages"] if message["role"] == "assistant"]
    assert [each["reasoning_details"] for each in back] == [each["reasoning_details"] for each in said[:2]]


@pytest.mark.parametrize("name", CHAT)
def test_a_request_holds_what_the_profile_says_and_no_more(played, name):
    run, requests = played(name, shapes.SHAPES[name])
    agent = load_agent(name)
    for request in requests:
        sent = {key: value for key, value in request.items() if key not in ("model", "messages", "tools")}
        extra = {**agent.provider, **agent.provider.get("extra_body", {})}
        extra.pop("extra_body", None)
        assert sent == {**run.extra["sampling"], **extra}
        assert ("tools" in request) == (agent.protocol == "tools")
    assert run.extra["canary"] == TASK.canary
