"""inspect_ai and verifiers themselves read what we write, and we read what they write.

They want other versions of some libraries than ours, so that they lie in a folder of their own, which
``LRAT_SIM_LOG_TOOLS`` names; without it the tests are skipped::

    pip install --target build/log-tools inspect-ai==0.3.285 verifiers==0.4.0
    LRAT_SIM_LOG_TOOLS=build/log-tools pytest tests/formats/test_real_tools.py
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import msgspec
import pytest

from lrat_sim.formats import About, format_named, read_any
from lrat_sim.records import Failure

sys.path += filter(None, [os.environ.get("LRAT_SIM_LOG_TOOLS")])  # last, so that what is ours comes first


def write(format, path, entries):
    write = format_named(format).write
    assert write is not None
    write(iter(entries), path, About(name="world"))
    return path


@pytest.fixture
def written(make):
    """An answered run, one that a limit ended, and one that broke."""
    broken = make("t3", status="error", end_reason="error", answer=None, turns=[])
    broken = broken.changed(error=Failure(boundary="model", message="gone"))
    limited = make("t2", status="unanswered", end_reason="turn_limit", answer=None)
    limited = limited.changed(turns=limited.trajectory.turns[:2])
    return [make("t1"), limited, msgspec.structs.replace(broken, grades=[])]


@pytest.mark.parametrize("name", ["log.eval", "log.json"])
def test_inspect_ai_reads_our_logs(name, written, tmp_path):
    log_of = pytest.importorskip("inspect_ai.log")
    path = write("inspect", tmp_path / name, written)
    log = log_of.read_eval_log(str(path), resolve_attachments="full")
    assert (log.status, log.eval.model, log.results.completed_samples) == ("success", "x/y", 2)
    assert [score.name for score in log.results.scores] == ["j2", "j1"]
    assert log.results.scores[0].metrics["accuracy"].value == 1.0
    samples = {sample.id: sample for sample in log.samples}
    run, first = written[0].trajectory, samples["t1"]
    assert (first.scores["j2"].value, first.scores["j1"].value) == ("C", "I")
    assert first.output.completion == run.answer
    assert [message.role for message in first.messages][:3] == ["system", "user", "assistant"]
    assert first.messages[2].content[0].reasoning == "First I look."
    assert first.messages[-2].error.message == "not JSON"
    models = [event for event in first.events if event.event == "model"]
    assert [len(event.input) for event in models] == [2, 5, 7, 9]  # from the pool of messages
    assert models[1].input[3].content == next(run.calls()).output  # from the attachments
    assert models[0].output.usage.total_tokens == 15
    tools = [event for event in first.events if event.event == "tool"]
    assert [event.result for event in tools] == [call.output for call in run.calls()]
    assert (samples["t2"].limit.type, samples["t3"].error.message) == ("turn", "gone")
    assert log_of.read_eval_log(str(path), header_only=True).eval.dataset.sample_ids == ["t1", "t2", "t3"]
    assert [short.id for short in log_of.read_eval_log_sample_summaries(str(path))] == ["t1", "t2", "t3"]


@pytest.mark.parametrize("format", ["eval", "json"])
def test_we_read_what_react_of_inspect_ai_logs(format, tmp_path):
    """The submitted answer, which ``react`` appends to the last message and whose call it takes out of the messages."""
    inspect_ai = pytest.importorskip("inspect_ai")
    from inspect_ai.agent import react
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import includes, match
    from inspect_ai.tool import tool

    @tool
    def search():
        async def execute(query: str) -> str:
            """Search the corpus.

            Args:
                query: what to look for.
            """
            return json.dumps([{"docid": "d7", "score": 3.5, "snippet": "The Elbe rises there. " * 20}])

        return execute

    asked = ModelOutput.for_tool_call("mockllm/model", "search", {"query": "Elbe"}, content="Let me look.")
    handed_in = ModelOutput.for_tool_call("mockllm/model", "submit", {"answer": "Giant Mountains"}, content="Found it.")
    for output in (asked, handed_in):  # otherwise they are counted by a tokenizer from the network
        output.usage = ModelUsage(input_tokens=11, output_tokens=7, total_tokens=18)
    (log,) = inspect_ai.eval(
        inspect_ai.Task(
            dataset=[Sample(id="elbe", input="Where does the Elbe rise?", target="Giant Mountains")],
            solver=react(tools=[search()]),
            scorer=[includes(), match(location="begin")],
        ),
        model=get_model("mockllm/model", custom_outputs=[asked, handed_in] * 2),
        epochs=2, max_samples=1, log_dir=str(tmp_path), log_format=format, display="none",
    )  # fmt: skip
    entries = list(read_any(log.location.removeprefix("file://")))
    assert [entry.trajectory.sample for entry in entries] == [0, 1]
    for entry in entries:
        run = entry.trajectory
        assert (run.status, run.answer) == ("answered", "Giant Mountains")
        assert [[hit.docid for hit in call.hits or ()] for call in run.calls()] == [["d7"]]
        assert run.extra["scores"] == {"includes": 1.0, "match": 0.0}
        assert (entry.grade.state, entry.grade.judge) == ("correct", "inspect_ai/includes")


def test_verifiers_reads_our_traces(written, tmp_path):
    store = pytest.importorskip("verifiers.v1.utils.trace_store")
    from verifiers.v1.trace import WireTrace

    write("verifiers", tmp_path / "traces.jsonl", written)
    first, limited, broken = store.read_episodes(tmp_path, WireTrace)
    (trace,) = first.traces
    assert (trace.version, trace.num_turns, trace.num_branches, trace.reward) == (1, 4, 1, 1.0)
    assert (trace.last_reply, trace.stop_condition) == (written[0].trajectory.answer, "agent_completed")
    assert (trace.task.data.prompt, trace.task.data.answers) == (written[0].trajectory.question, ["blue", "azure"])
    outputs = [call.output for call in written[0].trajectory.calls()]
    assert [message.content for message in trace.tool_messages] == outputs
    assert (trace.usage.total_tokens, trace.metrics) == (15, {"j1": 0.0, "j2": 1.0})
    assert limited.traces[0].is_truncated
    assert (broken.ok, broken.traces[0].last_error.message) == (False, "gone")


def test_we_read_what_verifiers_saves(written, tmp_path):
    """A trace of two branches: the agent's history was rewritten, and its root reply is the answer."""
    store = pytest.importorskip("verifiers.v1.utils.trace_store")
    from verifiers.v1.graph import MessageNode
    from verifiers.v1.trace import WireTrace
    from verifiers.v1.types import AssistantMessage, UserMessage

    write("verifiers", tmp_path / "traces.jsonl", written[:1])
    (episode,) = store.read_episodes(tmp_path, WireTrace)
    (trace,) = episode.traces
    trace.info.clear()  # so that it is any other's
    trace.nodes.append(MessageNode(parent=1, message=UserMessage(content="A summary."), timestamp=time.time()))
    parent = len(trace.nodes) - 1
    trace.nodes.append(MessageNode(parent=parent, message=AssistantMessage(content="It is red."), sampled=True))
    trace.root_reply = "Exact Answer: red"
    trace.record_reward("correct_answer", 0.0)
    trace.record_metric("f1", 0.25)
    assert trace.num_branches == 2
    (tmp_path / "again").mkdir()
    asyncio.run(store.append_episode(tmp_path / "again", episode, asyncio.Lock()))
    (entry,) = read_any(tmp_path / "again")
    run = entry.trajectory
    assert [turn.text for turn in run.turns][-2:] == [written[0].trajectory.answer, "It is red."]
    assert (run.answer, entry.grade.state) == ("red", "incorrect")
    assert run.extra["scores"] == {"correct_answer": 0.0, "f1": 0.25, "j1": 0.0, "j2": 1.0}
