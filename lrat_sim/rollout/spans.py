"""Runs as OpenTelemetry spans, by the semantic conventions for generative AI (in development, as of October 2026).

A run is a span ``invoke_agent``.  In it each turn is a span ``chat`` and each call a span ``execute_tool``, which has a
span ``retrieval`` where it searched.  What was said, searched for and found is in them only where the environment
variable of the convention asks for it.  Begin and end are laid out from the durations that a run records: waiting
between them stands at its end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

from msgspec import Struct

from lrat_sim import __version__
from lrat_sim.artifact import cleaned
from lrat_sim.errors import InputError
from lrat_sim.progress import console
from lrat_sim.records import Call, Trajectory, Turn, Usage

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CAPTURED = ("true", "1", "span_only", "span_and_event")
_SAMPLING = ("temperature", "top_p", "max_tokens", "presence_penalty", "frequency_penalty", "seed")
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc", "http/json": "otlp_json_http"}
_PATIENCE = 10_000  # milliseconds that the end of a rollout waits for a collector

Attributes = dict[str, Any]


class Span(Struct, frozen=True, kw_only=True):
    """One span; ``parent`` is the position of the span around it, None for a run's; times in seconds since 1970."""

    name: str
    start: float
    end: float
    attributes: Attributes
    parent: int | None = None
    client: bool = False  # whether it is a call of another service
    error: str | None = None  # what failed; the kind of failure is an attribute


def nanoseconds(seconds: float) -> int:
    """A time since 1970 as spans state it, in 64 bits; records of others may hold any number of seconds."""
    return round(min(max(seconds, 0.0), 9e9) * 1e9)


def content_is_wanted() -> bool:
    """Whether the environment asks for what was said in spans."""
    return os.environ.get(CAPTURE, "").strip().lower() in _CAPTURED


def spans_of(trajectory: Trajectory, *, content: bool) -> list[Span]:
    """The spans of a run, each after the one around it; ``content`` puts what was said into them."""
    start = trajectory.started or 0.0
    end = start + trajectory.seconds
    spans = [_run(trajectory, start, end, content)]
    for turn in trajectory.turns:
        answered = min(end, start + sum(attempt.seconds for attempt in turn.attempts))
        spans.append(_chat(trajectory, turn, start, answered, content))
        for call in turn.calls:  # those of a turn run at once
            spans += _tool(trajectory, call, answered, min(end, answered + call.seconds), len(spans), content)
        start = min(end, answered + max((call.seconds for call in turn.calls), default=0.0))
    return spans


def _run(trajectory: Trajectory, start: float, end: float, content: bool) -> Span:
    agent, failure = trajectory.agent, trajectory.error
    name = str(agent.get("name") or agent.get("model") or "unknown")
    told: Attributes = {
        **_model(trajectory, "invoke_agent"),
        "gen_ai.agent.name": name,
        "gen_ai.agent.id": agent.get("fingerprint"),
        "gen_ai.data_source.id": trajectory.retriever.get("kind"),
        **_usage(trajectory.usage),
        "error.type": failure and failure.boundary,
        "lrat_sim.task.id": trajectory.task_id,
        "lrat_sim.sample": trajectory.sample,
        "lrat_sim.status": trajectory.status,
        "lrat_sim.end_reason": trajectory.end_reason,
    }
    if content:
        prompt, answer = agent.get("prompt"), trajectory.answer
        told["gen_ai.system_instructions"] = [_text(prompt)] if isinstance(prompt, str) and prompt else None
        told["gen_ai.input.messages"] = [{"role": "user", "parts": [_text(trajectory.question)]}]
        told["gen_ai.output.messages"] = answer and [{"role": "assistant", "parts": [_text(answer)]}]
    error = None if failure is None else failure.message
    return Span(name=f"invoke_agent {name}", start=start, end=end, attributes=_known(told), error=error)


def _chat(trajectory: Trajectory, turn: Turn, start: float, end: float, content: bool) -> Span:
    told = {
        **_model(trajectory, "chat"),
        "gen_ai.response.finish_reasons": [turn.finish_reason] if turn.finish_reason else None,
        **_usage(turn.usage),
    }
    if content:
        said = (("reasoning", turn.reasoning), ("text", turn.text))
        parts: list[Attributes] = [{"type": kind, "content": words} for kind, words in said if words]
        for call in turn.calls:
            parts.append({"type": "tool_call", "id": call.id, "name": call.tool, "arguments": call.arguments})
        told["gen_ai.output.messages"] = [
            {"role": "assistant", "parts": parts, "finish_reason": turn.finish_reason or "unknown"}
        ]
    name = f"chat {trajectory.agent.get('model') or 'unknown'}"
    return Span(name=name, start=start, end=end, attributes=_known(told), parent=0, client=True)


def _tool(trajectory: Trajectory, call: Call, start: float, end: float, position: int, content: bool) -> Iterator[Span]:
    """A call's span, at a position among the run's, and the one of its search."""
    told: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": call.tool,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": call.id,
        "error.type": None if call.error is None else "tool_error",
    }
    if content:
        told |= {"gen_ai.tool.call.arguments": call.arguments, "gen_ai.tool.call.result": call.output}
    failed = None if call.error is None else call.error if content else "the call failed"
    name, attributes = f"execute_tool {call.tool}", _known(told)
    yield Span(name=name, start=start, end=end, attributes=attributes, parent=0, error=failed)
    if call.hits is None:
        return
    source = trajectory.retriever.get("kind") or "unknown"
    limits = trajectory.agent.get("limits")
    told = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": source,
        "gen_ai.retrieval.top_k": limits.get("k") if isinstance(limits, dict) else None,
    }
    if content:
        told["gen_ai.retrieval.query.text"] = (call.executed or {}).get("query")
        told["gen_ai.retrieval.documents"] = [{"id": hit.docid, "score": hit.score} for hit in call.hits]
    name, attributes = f"retrieval {source}", _known(told)
    yield Span(name=name, start=start, end=end, attributes=attributes, parent=position, client=True)


def _model(trajectory: Trajectory, operation: str) -> Attributes:
    """What was asked of which model."""
    model, sampling = trajectory.agent.get("model"), trajectory.extra.get("sampling")
    sampling = sampling if isinstance(sampling, dict) else {}
    provider, slash, _ = str(model or "").partition("/")
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider if slash else "unknown",
        "gen_ai.request.model": model,
        "gen_ai.conversation.id": trajectory.id,
        **{f"gen_ai.request.{name}": sampling.get(name) for name in _SAMPLING},
    }


def _usage(used: Usage) -> Attributes:
    return {
        "gen_ai.usage.input_tokens": used.prompt_tokens,
        "gen_ai.usage.output_tokens": used.completion_tokens,
        "gen_ai.usage.reasoning.output_tokens": used.reasoning_tokens,
        "gen_ai.usage.cache_read.input_tokens": used.cached_tokens,
    }


def _text(words: str) -> dict[str, str]:
    return {"type": "text", "content": words}


def _known(attributes: Attributes) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None and value != []}


# --- through the SDK, while a rollout runs


@contextmanager
def exporting(wanted: bool) -> Iterator[Callable[[Trajectory], None]]:
    """Gives what sends the spans of a run that has ended; where it is not ``wanted`` that does nothing.

    The tracer provider of the program is used where it has set one, else one whose exporter the environment decides
    (``OTEL_TRACES_EXPORTER``, ``OTEL_EXPORTER_OTLP_ENDPOINT`` and so on).  What goes wrong is said once, and never ends
    a rollout.

    Raises:
        InputError: the SDK or the exporter is not installed.
    """
    if not wanted:
        yield lambda trajectory: None
        return
    provider, own = _provider()
    tracer, told = provider.get_tracer("lrat_sim", __version__), set[str]()

    def failed(error: Exception) -> None:
        if not told:
            text = f"spans could not be exported ({error}); the rollout goes on without them"
            console.print(text, markup=False, soft_wrap=True)
        told.add("failed")

    def send(trajectory: Trajectory) -> None:
        try:
            _emit(tracer, spans_of(cleaned(trajectory), content=content_is_wanted()))
        except Exception as error:  # whatever an exporter, a processor or a sampler of the user's raises
            failed(error)

    try:
        yield send
    finally:
        try:
            provider.force_flush(_PATIENCE)
            if own:
                provider.shutdown()
        except Exception as error:  # as above
            failed(error)


def _emit(tracer: Any, spans: list[Span]) -> None:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

    opened: list[Any] = []
    for span in spans:
        around = Context() if span.parent is None else set_span_in_context(opened[span.parent], Context())
        kind = SpanKind.CLIENT if span.client else SpanKind.INTERNAL
        start = nanoseconds(span.start)
        opened.append(tracer.start_span(span.name, around, kind, span.attributes, start_time=start))
        if span.error is not None:
            opened[-1].set_status(Status(StatusCode.ERROR, span.error))
    for made, span in reversed(list(zip(opened, spans, strict=True))):
        made.end(nanoseconds(span.end))


def _provider() -> tuple[Any, bool]:
    """The tracer provider, and whether it was made here."""
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InputError("otel needs the OpenTelemetry SDK, which is not installed; install lrat-sim[otel].") from error
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        return provider, False
    names = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")
    made = TracerProvider(shutdown_on_exit=False)
    for name in filter(None, map(str.strip, names)):
        if name != "none":
            made.add_span_processor(BatchSpanProcessor(_exporter(name)))
    return made, True


def _exporter(name: str) -> Any:
    """An exporter by its name among the installed ones."""
    if name == "otlp":
        stated = (os.environ.get(f"OTEL_EXPORTER_OTLP{of}_PROTOCOL") for of in ("_TRACES", ""))
        name = _PROTOCOLS.get(next(filter(None, stated), "http/protobuf"), name)
    found = entry_points(group="opentelemetry_traces_exporter")
    for entry in found:
        if entry.name == name:
            try:
                return entry.load()()
            except Exception as error:  # whatever an exporter says of its own settings
                problem = f"the OpenTelemetry exporter {name!r} cannot be used ({error}); correct the OTEL_ variables."
                raise InputError(problem) from error
    known = ", ".join(sorted(found.names))
    raise InputError(f"no OpenTelemetry exporter {name!r} is installed; set OTEL_TRACES_EXPORTER to one of {known}.")
