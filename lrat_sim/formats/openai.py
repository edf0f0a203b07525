"""OpenAI messages, one conversation a line: for supervised fine-tuning, and what other tools record.

Our lines are ``{messages, tools, metadata}``; a record of another tool needs ``messages`` alone.  The arguments of
calls are objects unless texts are asked for: most chat templates of today want objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lrat_sim.foreign.values import SourceRecord, mapping
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.messages import ChatMessage, Conversation, chat_messages, tools_of
from lrat_sim.formats.metadata import conversation_entry, is_named, metadata_of
from lrat_sim.formats.output import write_lines
from lrat_sim.formats.registry import About, Format, record_reader


def entry_of(record: Any, source: SourceRecord) -> Entry:
    """One conversation from its JSON object; a RecordError names line, message and field."""
    if not isinstance(record, dict):
        raise source.fault(f"a conversation is a JSON object, not {type(record).__name__}")
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise source.fault("the field `messages` should be a list with a message in it")
    talk = Conversation([ChatMessage(message=message) for message in messages], source.fault)
    return conversation_entry(record, talk, "messages")


def record_of(entry: Entry, *, objects: bool = True) -> dict[str, Any]:
    """One trajectory as a conversation; ``objects`` writes the arguments of calls as objects, not as texts of JSON."""
    trajectory, rest = entry.trajectory, mapping(entry.trajectory.extra.get("record"))
    tools = tools_of(trajectory)
    return {
        "messages": [message for message, _ in chat_messages(trajectory, objects=objects)],
        **({"tools": tools} if tools else {}),
        **rest,
        "metadata": metadata_of(entry, rest.get("metadata")),
    }


def _write(entries: Iterable[Entry], path: Any, about: About) -> int:
    return write_lines(path, (record_of(entry, objects=about.arguments == "object") for entry in entries))


def _is_talk(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("messages"), list)


FORMAT = Format(
    name="openai",
    title="OpenAI messages, one conversation a line, for fine-tuning",
    recognise=lambda path, record: _is_talk(record),
    read=record_reader("openai", _is_talk, entry_of, is_sampled=is_named),
    write=_write,
)
