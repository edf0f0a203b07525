"""Session traces, which the Hugging Face hub shows: a JSONL file a run, its header first, then a message a line.

The shape is the hub's Session Trace Simple Format.  The header may hold more, so that ours has ``metadata``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lrat_sim.artifact import ensure_folder, fingerprint
from lrat_sim.foreign.files import begins_as_records, records
from lrat_sim.foreign.values import SourceRecord, items, mapping, text
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.messages import ChatMessage, Conversation, chat_messages
from lrat_sim.formats.metadata import conversation_entry, is_named, metadata_of
from lrat_sim.formats.output import file_name, write_lines
from lrat_sim.formats.registry import About, Format, Notes, record_reader

_HARNESS = "lrat-sim"
_TITLE = 120  # characters of the question that name a session
_NAMES = {"reasoningContent": "reasoning_content", "toolCalls": "tool_calls", "toolCallId": "tool_call_id"}


# --- reading


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The sessions of a file, or of the files below a folder that hold some."""
    return record_reader("session-traces", _is_session, entry_of, is_sampled=is_named, records_in=sessions_in)(
        path, notes
    )


def sessions_in(file: Path) -> Iterator[SourceRecord]:
    """A record a session: its header, with its messages, and with lines of other kinds by their position."""
    session: SourceRecord | None = None
    for line in records(file) if begins_as_records(file) else ():
        value = line.value()
        if _is_session(value):
            if session is not None:
                yield session
            session = line.holding({**value, "messages": [], "lines": {}})
        elif session is None:
            yield line
        elif mapping(value).get("type") == "message":
            session.data["messages"].append(value.get("message"))
        else:
            session.data["lines"][str(len(session.data["messages"]) + len(session.data["lines"]))] = value
    if session is not None:
        yield session


def entry_of(record: Any, source: SourceRecord) -> Entry:
    """One session from its header and messages; a RecordError names line, message and field."""
    if not _is_session(record):
        raise source.fault("a session begins with a line of the type `session` that names its `harness`")
    messages = items(record.get("messages"))
    if not messages:
        raise source.fault("the session has no line of the type `message`")
    own = is_named(record)
    talk = Conversation([_chat(message, own) for message in messages], source.fault)
    known: dict[str, Any] = {}
    if not own:
        models = (text(mapping(message).get("model")) for message in messages)
        known["agent"] = {"name": record["harness"], "model": next(filter(None, models), None)}
    record = {key: value for key, value in record.items() if key != "lines" or value}
    made = ("messages", "type", *(("harness", "id", "name") if own else ()))
    # an id is the session's: runs that ask the same question are runs of one task
    known["task"] = fingerprint(talk.question) if talk.question else None
    return conversation_entry(record, talk, *made, **known)


def _chat(message: Any, own: bool) -> ChatMessage:
    """A message in OpenAI's shape; of ours, time and model stand elsewhere."""
    if not isinstance(message, dict):
        return ChatMessage(message=message)
    if own:
        message = {key: value for key, value in message.items() if key not in ("timestamp", "model")}
    made = {_NAMES.get(key, key): value for key, value in message.items()}
    return ChatMessage(message=made, source=None if _message(made) == message else message)


# --- writing


def write(entries: Iterable[Entry], folder: Path, about: About) -> int:
    """Writes a folder with a file a run."""
    ensure_folder(folder)
    taken: set[str] = set()
    for entry in entries:
        write_lines(folder / f"{file_name(entry.trajectory.id, taken)}.jsonl", lines_of(entry))
    return len(taken)


def lines_of(entry: Entry) -> list[dict[str, Any]]:
    """One run as header and messages."""
    trajectory, rest = entry.trajectory, mapping(entry.trajectory.extra.get("record"))
    head = {"type": "session", "harness": _HARNESS, "id": trajectory.id, "name": trajectory.question[:_TITLE]}
    others = mapping(rest.get("lines"))
    head |= {key: value for key, value in rest.items() if key != "lines"}
    made: list[dict[str, Any]] = []
    for message, turn in chat_messages(trajectory):
        said = _message(message)
        if turn is not None and (model := text(trajectory.agent.get("model"))):
            said = {**said, "model": model}
        while (other := others.get(str(len(made)))) is not None:
            made.append(other)
        made.append({"type": "message", "message": said})
    return [{**head, "metadata": metadata_of(entry, rest.get("metadata"))}, *made]


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """A chat message in the shape of a session."""
    names = {name: key for key, name in _NAMES.items()}
    made = {names.get(key, key): value for key, value in message.items()}
    if "toolCalls" in made:
        calls = [
            {key: value for key, value in mapping(call).items() if key != "type"} for call in items(made["toolCalls"])
        ]
        made["toolCalls"] = calls
    return made


def _is_session(record: Any) -> bool:
    return mapping(record).get("type") == "session" and isinstance(record.get("harness"), str)


FORMAT = Format(
    name="session-traces",
    title="session traces, which the Hugging Face hub shows, one JSONL file a run",
    recognise=lambda path, record: _is_session(record),
    read=read,
    write=write,
)
