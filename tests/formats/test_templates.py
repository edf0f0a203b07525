"""What is exported for fine-tuning, rendered with the chat templates that trainers use."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.formats import convert
from lrat_sim.formats.openai import record_of
from lrat_sim.records import Hop, Plan, Task
from lrat_sim.rollout.run import rollout

if (_found := find_spec("trl")) is None:
    pytest.skip("needs the chat templates of trl, which make test installs", allow_module_level=True)
TEMPLATES = Path(_found.submodule_search_locations[0]) / "chat_templates"
QWEN, LLAMA, GPT_OSS = ("qwen2_5", "qwen3", "qwen3_5_think", "qwen3_6"), ("llama3_1", "llama3_2"), ("gptoss",)
HOP = Hop(subject="Brindle Lighthouse", relation="designer", object="Maren Oxley", phrasings=["{subject} designer"])
TASK = Task(id="t", question="Who designed Brindle Lighthouse?", answers=["Maren Oxley"], plan=Plan(hops=[HOP]))


def render(name, line):
    """A line as ``apply_chat_template`` renders it."""
    from transformers.utils.chat_template_utils import render_jinja_template

    template = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    (text,), _ = render_jinja_template([line["messages"]], tools=line["tools"], chat_template=template)
    return text


@pytest.fixture(scope="module")
def lines(scripted, tmp_path_factory):
    """A run of the simulated agent as it is exported, with arguments as objects and as texts."""
    folder = tmp_path_factory.mktemp("sft")
    rollout([TASK], AgentSettings(model="sim/default"), scripted.Tiny(), folder / "run", table=False)
    made = {}
    for arguments in ("object", "text"):
        convert(folder / "run", folder / f"{arguments}.jsonl", to="openai", arguments=arguments)
        made[arguments] = json.loads((folder / f"{arguments}.jsonl").read_text())
    return made


def adapted(name, line):
    """The line as gpt-oss's template wants it: reasoning as ``thinking``, and no empty content beside it."""
    if name not in GPT_OSS:
        return line
    messages = [dict(message) for message in line["messages"]]
    for message in messages:
        if "reasoning_content" in message:
            message["thinking"] = message.pop("reasoning_content")
        if message.get("tool_calls"):
            message.pop("content", None)
    return {**line, "messages": messages}


@pytest.mark.parametrize("name", [*QWEN, *LLAMA, *GPT_OSS])
def test_a_run_is_rendered_whole_with_arguments_as_objects(name, lines):
    line = adapted(name, lines["object"])
    text = render(name, line)
    calls = [call for message in line["messages"] for call in message.get("tool_calls", ())]
    assert calls
    for call in calls:
        for value in call["function"]["arguments"].values():
            assert value in text
    # not JSON within JSON, which a model would learn to write
    assert '\\"query\\"' not in text
    assert '"arguments": "{' not in text
    assert TASK.question in text
    assert "Maren Oxley" in text
    for tool in line["tools"]:
        assert tool["function"]["name"] in text
    outputs = [message["content"] for message in line["messages"] if message["role"] == "tool"]
    assert all(output.split("\n")[0] in text or json.dumps(output)[1:40] in text for output in outputs)


@pytest.mark.parametrize("name", ["qwen3_5_think", "qwen3_6", "qwen2_5", "llama3_1", "gptoss"])
def test_arguments_as_text_are_what_these_templates_cannot_render_well(name, lines):
    line = adapted(name, lines["text"])
    assert isinstance(line["messages"][2]["tool_calls"][0]["function"]["arguments"], str)
    try:
        text = render(name, line)
    except Exception:  # whatever a template raises: it wants an object
        return
    assert '\\"query\\"' in text


def test_qwen3_renders_both_alike(lines):
    assert render("qwen3", lines["object"]) == render("qwen3", lines["text"])


@pytest.mark.parametrize("name", LLAMA)
def test_llamas_template_refuses_several_calls_in_a_turn(name, make):
    with pytest.raises(Exception, match="single tool-calls"):
        render(name, record_of(make("t")))


def test_a_call_that_could_not_be_parsed_stays_the_text_that_the_model_wrote(make):
    assert "{'query" in render("qwen3", record_of(make("t")))
