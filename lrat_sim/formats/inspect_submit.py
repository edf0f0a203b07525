"""How inspect_ai's agents hand in their answer: by a tool, ``submit`` unless it was given another name.

The agent ``react`` puts what was submitted behind its last message, and then takes the tool's calls out of the
messages, unless it is told to keep them; the events of the sample still have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from lrat_sim.formats.fields import items, mapping, text, text_of
from lrat_sim.formats.inspect_messages import resolved
from lrat_sim.records import Turn


class Submitting(Struct, frozen=True):
    """How an evaluation's agent hands in: by which tool, and whether and behind what it appends the answer."""

    tool: str = "submit"
    appends: bool = False
    delimiter: str = "\n\n"


def submitting(header: dict[str, Any]) -> Submitting:
    """What the header of a log says of it."""
    evaluation = mapping(header.get("eval"))
    steps = [mapping(step) for step in items(mapping(header.get("plan")).get("steps"))]
    steps.append({"solver": evaluation.get("solver"), "params": evaluation.get("solver_args")})
    for step in steps:
        name = (text(step.get("solver")) or "").rsplit("/", 1)[-1]
        params = mapping(step.get("params"))
        given = params.get("submit")
        options = mapping(given)
        if name == "react":
            return Submitting(
                tool=text(options.get("name")) or "submit",
                appends=given is not False,
                delimiter=text(options.get("answer_delimiter")) or "\n\n",
            )
        if named := text(params.get("submit_name")):
            return Submitting(tool=named)
    return Submitting()


def submitted(turns: list[Turn], sample: dict[str, Any], tool: str) -> str | None:
    """The last answer that was handed in, of the messages or, where it was taken out of them, of the events."""
    for turn in reversed(turns):
        for call in reversed(turn.calls):
            if call.tool == tool and (call.executed is not None or not call.output):  # a failure has an output
                return call.output or _stated(call.arguments)
    return next(_of_events(sample, tool), None)


def _of_events(sample: dict[str, Any], tool: str) -> Iterator[str]:
    attached = mapping(sample.get("attachments"))
    for event in reversed(events_of(sample, "tool")):
        if event.get("function") == tool and event.get("error") is None:
            answer = text_of(resolved(event.get("result"), attached))
            answer = answer or _stated(resolved(event.get("arguments"), attached))
            if answer:
                yield answer


def _stated(arguments: Any) -> str:
    values = mapping(arguments)
    return text(values.get("answer")) or next(filter(None, map(text, values.values())), "")


def appended(words: str, sample: dict[str, Any], delimiter: str) -> str:
    """What stands behind an agent's own words in its last message, in a log without events.

    The output's completion is the answer alone where the agent was told so; else it holds both with ``delimiter``
    between them, which the answer is taken not to hold.
    """
    output = mapping(sample.get("output"))
    completion = text(resolved(output.get("completion"), mapping(sample.get("attachments"))))
    if completion and words != completion and words.endswith(completion):
        return completion
    return (completion or words).rsplit(delimiter, 1)[-1]


def events_of(sample: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The events of a sample that are of a kind."""
    return [event for event in items(sample.get("events")) if mapping(event).get("event") == kind]
