"""What a collector sees of a rollout: through the SDK's own exporter in memory, and in a converted file."""

from __future__ import annotations

import json

import msgspec
import pytest

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.errors import InputError
from lrat_sim.formats import convert
from lrat_sim.records import Hop, Plan, Task
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.rollout.spans import CAPTURE, nanoseconds

trace = pytest.importorskip("opentelemetry.trace")
sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="needs lrat-sim[otel], which make test installs")

HOP = Hop(subject="Brindle Lighthouse", relation="designer", object="Maren Oxley", phrasings=["{subject} designer"])
TASKS = [
    Task(id=f"t{number}", question="Who designed Brindle Lighthouse?", answers=["Maren Oxley"], plan=Plan(hops=[HOP]))
    for number in range(2)
]
SIMULATED = AgentSettings(model="sim/agent", name="simulated")


class Processor(sdk.SpanProcessor):
    """A processor whose exporter can be made to fail."""

    def __init__(self, exporter):
        self.exporter, self.broken = exporter, False

    def on_end(self, span):
        if self.broken:
            raise ConnectionError("the collector is gone")
        self.exporter.export([span])

    def force_flush(self, timeout_millis=30_000):
        if self.broken:
            raise ConnectionError("the collector is gone")
        return True


@pytest.fixture(scope="module")
def provider():
    """The tracer provider that this program has set, as a user's own program may; it can be set once a process."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider = sdk.TracerProvider()
    provider.processor = Processor(InMemorySpanExporter())
    provider.add_span_processor(provider.processor)
    trace.set_tracer_provider(provider)
    return provider


@pytest.fixture
def spans(provider, monkeypatch):
    """The finished spans so far."""
    monkeypatch.delenv(CAPTURE, raising=False)
    provider.processor.exporter.clear()
    provider.processor.broken = False
    return provider.processor.exporter.get_finished_spans


def told(span):
    return msgspec.json.decode(msgspec.json.encode(dict(span.attributes)))


def test_a_collector_sees_runs_turns_calls_and_searches(rollout, spans, tmp_path):
    rollout(TASKS, SIMULATED, tmp_path, otel=True)
    runs = {run.id: run for run in read_trajectories(tmp_path)}
    assert len(runs) == len(TASKS)
    assert {run.status for run in runs.values()} == {"answered"}
    roots = [span for span in spans() if span.parent is None]
    assert {told(span)["gen_ai.conversation.id"] for span in roots} == runs.keys()
    for root in roots:
        run = runs[told(root)["gen_ai.conversation.id"]]
        inside = [
            span for span in spans() if span.parent is not None and span.context.trace_id == root.context.trace_id
        ]
        by_kind = {kind: [s for s in inside if told(s)["gen_ai.operation.name"] == kind] for kind in OPERATIONS}
        assert root.name == "invoke_agent simulated"
        assert told(root)["lrat_sim.task.id"] == run.task_id
        assert told(root)["gen_ai.usage.input_tokens"] == run.usage.prompt_tokens
        assert [span.name for span in by_kind["chat"]].count("chat sim/agent") == len(run.turns)
        assert len(by_kind["execute_tool"]) == sum(1 for _ in run.calls())
        assert len(by_kind["retrieval"]) == sum(1 for _ in run.searches()) > 0
        tools = {span.context.span_id: span for span in by_kind["execute_tool"]}
        for span in by_kind["retrieval"]:  # inside the call that searched
            assert span.name == "retrieval tiny"
            assert told(tools[span.parent.span_id])["gen_ai.tool.name"] == "search"
            assert told(span)["gen_ai.retrieval.top_k"] == SIMULATED.limits.k
        assert {span.parent.span_id for kind in ("chat", "execute_tool") for span in by_kind[kind]} == {
            root.context.span_id
        }
        assert all(root.start_time <= span.start_time <= span.end_time <= root.end_time for span in inside)
        assert root.start_time == round(run.started * 1e9)


OPERATIONS = ("chat", "execute_tool", "retrieval")
QUESTION, ANSWER = TASKS[0].question, "Maren Oxley"


@pytest.mark.parametrize(
    ("wanted", "there"), [(None, False), ("NO_CONTENT", False), ("true", True), ("SPAN_ONLY", True)]
)
def test_what_was_said_is_in_spans_only_where_the_environment_asks_for_it(
    wanted, there, rollout, spans, tmp_path, monkeypatch
):
    if wanted is not None:
        monkeypatch.setenv(CAPTURE, wanted)
    rollout(TASKS[:1], SIMULATED, tmp_path, otel=True)
    (run,) = read_trajectories(tmp_path)
    attributes = [told(span) for span in spans()]
    held = json.dumps(attributes)
    assert (QUESTION in held, ANSWER in held) == (there, there)
    queries = [each["gen_ai.retrieval.query.text"] for each in attributes if "gen_ai.retrieval.query.text" in each]
    assert queries == ([placed.call.executed["query"] for placed in run.searches()] if there else [])
    shown = [each["gen_ai.retrieval.documents"] for each in attributes if "gen_ai.retrieval.documents" in each]
    hits = [[{"id": hit.docid, "score": hit.score} for hit in placed.call.hits] for placed in run.searches()]
    assert shown == (hits if there else [])
    results = [each["gen_ai.tool.call.result"] for each in attributes if "gen_ai.tool.call.result" in each]
    assert results == ([call.output for call in run.calls()] if there else [])


def test_a_converted_run_has_the_spans_that_were_sent(rollout, spans, tmp_path, monkeypatch):
    proto = pytest.importorskip("opentelemetry.exporter.otlp.json.common.trace_encoder")
    monkeypatch.setenv(CAPTURE, "true")
    rollout(TASKS[:1], SIMULATED, tmp_path / "run", otel=True)
    convert(tmp_path / "run", tmp_path / "spans.jsonl", to="otel")
    (line,) = (tmp_path / "spans.jsonl").read_text().splitlines()

    def plain(request):
        (resource,) = request["resourceSpans"]
        (scope,) = resource["scopeSpans"]
        names = {span["spanId"]: span["name"] for span in scope["spans"]}
        kept = ("name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes", "status")
        return sorted(
            json.dumps([names.get(span.get("parentSpanId"))] + [span.get(key) for key in kept], sort_keys=True)
            for span in scope["spans"]
        )

    # as the SDK's own encoder writes the spans that its exporter got
    assert plain(json.loads(line)) == plain(json.loads(proto.encode_spans(spans()).to_json()))
    again = tmp_path / "again.jsonl"
    convert(tmp_path / "run", again, to="otel")
    assert again.read_text() == (tmp_path / "spans.jsonl").read_text()


def test_an_exporter_that_fails_ends_no_rollout(rollout, spans, provider, tmp_path, capsys):
    provider.processor.broken = True
    summary = rollout(TASKS, SIMULATED, tmp_path, otel=True)
    assert (summary.answered, summary.errors) == (2, 0)
    assert len(list(read_trajectories(tmp_path))) == 2
    assert spans() == ()
    told = "".join(capsys.readouterr())
    assert told.count("spans could not be exported (the collector is gone); the rollout goes on without them") == 1


def test_nothing_is_sent_unless_asked_for(rollout, spans, tmp_path):
    rollout(TASKS[:1], SIMULATED, tmp_path)
    assert spans() == ()


def test_an_exporter_that_is_not_installed_is_named(monkeypatch):
    from lrat_sim.rollout import spans

    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "nothing-of-the-kind")
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: None)
    with pytest.raises(InputError, match="no OpenTelemetry exporter 'nothing-of-the-kind' is installed; set"):
        spans._provider()


def test_a_run_that_broke_says_where(scripted, rollout, spans, tmp_path):
    rollout(TASKS[:1], SIMULATED, tmp_path, retriever=scripted.Tiny(broken="no index"), otel=True)
    (root,) = (span for span in spans() if span.parent is None)
    assert told(root)["error.type"] == "retriever"
    assert root.status.status_code == trace.StatusCode.ERROR
    assert "no index" in root.status.description


@pytest.mark.parametrize(
    ("seconds", "stated"), [(1.5, 1_500_000_000), (-1.0, 0), (1e308, 9 * 10**18), (float("inf"), 9 * 10**18)]
)
def test_any_number_of_seconds_is_a_time_of_64_bits(seconds, stated):
    assert nanoseconds(seconds) == stated < 1 << 63
