"""Runs as OpenTelemetry spans in OTLP JSON, a run a line, as a collector's ``otlpjsonfile`` receiver reads it.

The spans are those that ``rollout --otel`` sends (:mod:`lrat_sim.rollout.spans`).  Trace and span ids come from the
run's id, so that the same run has the same ids in every file.
"""

from __future__ import annotations

from typing import Any

from lrat_sim import __version__
from lrat_sim.artifact import fingerprint
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.output import write_lines
from lrat_sim.formats.registry import Format
from lrat_sim.rollout.spans import Span, content_is_wanted, nanoseconds, spans_of

_INTERNAL, _CLIENT = 1, 3  # kinds of span
_ERROR = {"code": 2}


def record_of(entry: Entry) -> dict[str, Any]:
    """One run as the spans of one trace."""
    spans = spans_of(entry.trajectory, content=content_is_wanted())
    canary = {} if entry.canary is None else {"lrat_sim.canary": entry.canary}
    resource = {"service.name": "lrat-sim", "service.version": __version__, **canary}
    made = [_span(entry.trajectory.id, spans, position) for position in range(len(spans))]
    scope = {"scope": {"name": "lrat_sim", "version": __version__}, "spans": made}
    return {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]}


def _span(run: str, spans: list[Span], position: int) -> dict[str, Any]:
    span = spans[position]
    made: dict[str, Any] = {
        "traceId": fingerprint([run, "trace"]) + fingerprint([run, "trace", 2]),
        "spanId": fingerprint([run, position]),
        "name": span.name,
        "kind": _CLIENT if span.client else _INTERNAL,
        "startTimeUnixNano": str(nanoseconds(span.start)),  # 64 bits, which JSON writes as text
        "endTimeUnixNano": str(nanoseconds(span.end)),
        "attributes": _attributes(span.attributes),
        "status": {} if span.error is None else {**_ERROR, "message": span.error},
    }
    if span.parent is not None:
        made["parentSpanId"] = fingerprint([run, span.parent])
    return made


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    """A value with its kind, as OTLP writes it."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": _attributes({str(key): item for key, item in value.items()})}}
        case None:
            return {}
    return {"stringValue": str(value)}


FORMAT = Format(
    name="otel",
    title="OpenTelemetry spans as OTLP JSON, one run a line (written only)",
    recognise=lambda path, record: False,
    write=lambda entries, path, about: write_lines(path, map(record_of, entries)),
)
