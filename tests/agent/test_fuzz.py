"""Whatever a model writes, in any protocol: the run ends in a recorded state, and nothing that it wrote is lost."""

import asyncio
import json
import re
from itertools import chain

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, Limits
from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.foreign.values import recordable
from lrat_sim.models.call import Completion
from lrat_sim.models.client import Client
from lrat_sim.models.message import read_message
from lrat_sim.records import Task, Trajectory, Usage, decode, encode

TASK = Task(id="q", question="Where were the tolls paid?")
PIECES = [
    *("<think>", "</think>", "<thinking>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
    *("<answer>", "</answer>", "<tool_call", "< answer >", "<function=search>", "<parameter=query>", "<arg_key>"),
    *("\nThought: ", "\nAction: ", "\nAction Input: ", "\nObservation: ", "\nFinal Answer: ", "Exact Answer: "),
    *("search[salt]", "visit(3", "search", "get_document", '{"name": "search", "arguments": {"query": "salt"}}'),
    *('{"name": "visit", "arguments": {"docid": 3', '"query"', "{'query': 'salt',}", "{", "}", "[", "]", '"', "'", ":"),
    *("<|im_end|>", "<|channel|>analysis<|message|>", "<|end|>", "assistantfinal", "analysis ", "[THINK]", "```json\n"),
    *("salt", "Thornmouth", "DocID: 3", "3", "\x00", "\u2028", "ı", "<", ">", " ", "```", "\n", "//", "\\", "None"),
]
WRITTEN = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=40)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WRITTEN
ANY = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["query", "docid", "name", "x"]), inner)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(["search", "visit", "get_document", "fly", "", "functions.search"]) | WRITTEN
FUNCTIONS = st.fixed_dictionaries({"name": NAMES, "arguments": WRITTEN | ANY.map(json.dumps)})
CALL = {"id": st.sampled_from(["", "a", "b"]), "type": st.just("function"), "function": FUNCTIONS}
CALLS = st.lists(st.fixed_dictionaries(CALL), min_size=1, max_size=3)
MESSAGES = st.fixed_dictionaries(
    {"content": st.none() | WRITTEN},
    optional={
        "reasoning_content": st.none() | WRITTEN,
        "tool_calls": CALLS,
        "thinking_blocks": st.lists(st.fixed_dictionaries({"thinking": WRITTEN}), max_size=2),
        "reasoning_details": ANY,
    },
)


class Voice(Client):
    """Says what it is given, then nothing more."""

    def __init__(self, messages):
        super().__init__()
        self.messages, self.requests = messages, []

    async def complete(self, request, *, priority=0, deadline=None):
        said = self.messages[len(self.requests)] if len(self.requests) < len(self.messages) else {"content": None}
        self.requests.append(json.dumps(request.messages))
        usage = Usage(prompt_tokens=7, completion_tokens=3, cost=0.0)
        return Completion(message=read_message(said), usage=usage, finish_reason="stop", attempts=[])


def words(value):
    """The letters and digits of all texts in ``value``."""
    if isinstance(value, dict):
        return "".join(f"{words(key)}{words(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "".join(map(words, value))
    return "".join(filter(str.isalnum, value)) if isinstance(value, str) else ""


def texts(value):
    if isinstance(value, dict):
        return list(chain.from_iterable(texts(inner) for key, inner in value.items() if key != "type"))
    if isinstance(value, list):
        return list(chain.from_iterable(map(texts, value)))
    return [value] if isinstance(value, str) else []


# what may go once it was understood
MARKS = re.compile(r"</?think(?:ing)?>|\[/?THINK\]|<\|\w+\|>|analysis|assistantfinal|</?tool_call>", re.IGNORECASE)


def held(turn):
    """Everything that a turn keeps of what was written."""
    calls = [[call.tool, call.arguments, json.dumps(call.arguments), call.id] for call in turn.calls]
    return [turn.reasoning or "", turn.text or "", calls, msgspec.to_builtins(turn.raw) or ""]


def check(messages, protocol, window):
    limits = Limits(turns=3, k=2, snippet_tokens=8, document_tokens=8)
    prompt = "Find it.\n{tools}\n"
    agent = AgentSettings(model="voice/x", protocol=protocol, prompt=prompt, limits=limits, window=window)
    voice = Voice(messages)

    trajectory = RUNNER.run(run_task(TASK, agent, RETRIEVER, client=voice))

    assert trajectory.status in ("answered", "unanswered")
    assert (trajectory.status == "answered") == (trajectory.answer is not None)
    assert encode(decode(encode(trajectory), Trajectory)) == encode(trajectory)
    assert len(trajectory.turns) == len(voice.requests) <= limits.turns + 1
    for said, turn in zip(messages, trajectory.turns, strict=False):
        kept = held(turn)
        whole = words(kept)
        for text in texts(recordable(said)):
            # each stretch between marks is there, in one place or another
            for stretch in re.findall(r"\w+", MARKS.sub(" ", text)):
                assert words(stretch) in whole, (stretch, kept)
    for turn in trajectory.turns:
        for call in turn.calls:
            assert (call.executed is None) != (call.error is None)


def cases(examples):
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(autouse=True, scope="module")
def a_loop(scripted):
    """One event loop and one retriever for all cases."""
    global RUNNER, RETRIEVER
    RETRIEVER = scripted.Tiny()
    with asyncio.Runner() as RUNNER:
        yield


@pytest.mark.parametrize("protocol", PROTOCOLS)
@cases(500)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=3), window=st.sampled_from([None, None, 900]))
def test_any_message_ends_in_a_recorded_state_and_nothing_is_lost(protocol, messages, window):
    check(messages, protocol, window)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
@cases(34_000)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=3), window=st.sampled_from([None, None, 900]))
def test_any_of_very_many_messages_ends_in_a_recorded_state(protocol, messages, window):
    check(messages, protocol, window)
