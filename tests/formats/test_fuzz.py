"""Whatever stands in a file: an importer reads it and loses no text, or refuses it in one sentence."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrat_sim.errors import LratSimError
from lrat_sim.foreign.values import json_value
from lrat_sim.formats import (
    FORMATS,
    About,
    Entry,
    atif,
    format_named,
    inspect_ai,
    lrat,
    openai,
    read_any,
    recognise,
    verifiers,
)
from lrat_sim.formats.fields import texts_in

FILES = Path(__file__).parent / "files"
HERE = Path("here.json")
LIST = "A search for 'who' found 2 results:\n\n## Web Results\nDocID:d1\n[one]\nsnippet\n\nDocID:d2\n[two]\nsnippet"
DOCUMENT = "Document d1:\none\nthe text of the first document"
LISTED = json.dumps([{"docid": "d1", "score": 2.5, "snippet": "a snippet of d1"}])


def _messages() -> list[dict[str, Any]]:
    calls = [("c1", "search", '{"query": "who is it then"}'), ("c2", "visit", '{"id": "d1"}')]
    asked = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
    return [
        {"role": "system", "content": "Search before you answer."},
        {"role": "user", "content": "Who is it that was meant?"},
        {
            "role": "assistant",
            "content": "Let me have a look.",
            "reasoning_content": "A long thought.",
            "tool_calls": asked,
        },
        {"role": "tool", "tool_call_id": "c2", "content": DOCUMENT},
        {"role": "tool", "tool_call_id": "c1", "content": LISTED},
        {"role": "user", "content": "A reminder to be brief."},
        {"role": "assistant", "content": "<think>inline thoughts</think>Exact Answer: Ann of the North"},
    ]


def _steps() -> list[dict[str, Any]]:
    said = [("reasoning", None, None, "A long thought of the model.")]
    said += [("tool_call", "search", '{"query": "who is it then"}', LIST)]
    said += [
        ("tool_call", "visit", '{"docid": "d1"}', DOCUMENT),
        ("output_text", None, None, "Exact Answer: Ann of it"),
    ]
    return [{"type": t, "tool_name": n, "arguments": a, "output": o} for t, n, a, o in said]


LRAT = {
    "metadata": {"model": "a-model-of-theirs", "k": 5, "searcher_type": "a-searcher"},
    **{"query_id": "the-query-7", "query": "Who is it that was meant?", "answer": "Ann of the North"},
    **{"tool_call_counts": {"search": 1}, "status": "completed", "retrieved_docids": ["d1", "d2"], "result": _steps()},
}
ATIF_STEP = {
    "step_id": 3,
    "timestamp": "2026-01-02T03:04:05Z",
    "source": "agent",
    "message": "Let me have a look.",
    "reasoning_content": "A long thought of the model.",
    "tool_calls": [{"tool_call_id": "c1", "function_name": "search", "arguments": {"query": "who is it then"}}],
    "observation": {"results": [{"source_call_id": "c1", "content": LISTED}]},
    "metrics": {"prompt_tokens": 5, "completion_tokens": 2, "cost_usd": 0.5},
}
ATIF = {
    "schema_version": "ATIF-v1.4",
    "session_id": "the session's name",
    "agent": {"name": "an agent's name", "version": "1.0", "model_name": "a-model-of-theirs"},
    "steps": [
        {"step_id": 1, "source": "system", "message": "Search before you answer."},
        {"step_id": 2, "source": "user", "message": "Who is it that was meant?"},
        ATIF_STEP,
        {"step_id": 4, "source": "agent", "message": "Exact Answer: Ann of the North"},
    ],
    "final_metrics": {"total_prompt_tokens": 5, "total_completion_tokens": 2},
    "notes": "a note at the end",
}


def _inspect() -> dict[str, Any]:
    return json.loads((FILES / "inspect-rivers.json").read_text())


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FILES / name).read_text().splitlines()]


def _own() -> dict[str, Any]:
    """A file that we wrote, so that what is ours in it is changed too."""
    return atif.record_of(atif.entry_of(ATIF, HERE))


SOURCES: dict[str, tuple[Callable[[], Any], Callable[[Any], list[Entry]]]] = {
    "lrat": (lambda: LRAT, lambda record: [lrat.entry_of(record, HERE)]),
    "browsecomp-plus": (lambda: LRAT, lambda record: [lrat.entry_of(record, HERE, asked=False)]),
    "openai": (lambda: {"messages": _messages()}, lambda record: [openai.entry_of(_object(record), HERE, 1)]),
    "openai of ours": (
        lambda: openai.record_of(lrat.entry_of(LRAT, HERE)),
        lambda record: [openai.entry_of(_object(record), HERE, 1)],
    ),
    "atif": (lambda: ATIF, lambda record: [atif.entry_of(record, HERE)]),
    "atif of ours": (_own, lambda record: [atif.entry_of(record, HERE)]),
    "inspect": (
        lambda: _inspect()["samples"][1],
        lambda record: [inspect_ai.entry_of(record, {"eval": {"model": "m"}, "plan": {}}, HERE)],
    ),
    "inspect's header": (
        lambda: {key: value for key, value in _inspect().items() if key != "samples"},
        lambda record: [inspect_ai.entry_of({"id": 1, "epoch": 1}, _header(record), HERE)],
    ),
    "verifiers' results": (
        lambda: _lines("verifiers-results.jsonl")[0],
        lambda record: verifiers.entries_of(_object(record), HERE, 1),
    ),
    "verifiers' traces": (
        lambda: _lines("verifiers-traces.jsonl")[0],
        lambda record: verifiers.entries_of(_object(record), HERE, 1),
    ),
}
WHOLE = {"inspect's header"}
"""Of these not all is kept, by intention."""


ROLES = {"system", "user", "assistant", "tool"}


def _object(record: Any) -> dict[str, Any]:
    """What the reading of lines makes sure of."""
    if not isinstance(record, dict):
        raise LratSimError("no object")
    return record


def _header(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict) or not isinstance(record.get("eval"), dict):
        raise LratSimError("no log")
    return record


JUNK_TEXTS = st.text(max_size=30) | st.sampled_from([
    "", "\x00 a text with a NUL in it", "\ud800 a lone surrogate before this", "‮ right to left, and wide 中文字 too",
    "</think> a tag that closes nothing", "<think> a thought that is never closed", '{"query": "JSON within a text"}',
    "attachment://8ca8840e0f4691d8f61df3ac4880d33d", "ATIF-v9 of a later version", "tool_call_of_another_kind",
    "Error: a failure that a tool reported", "Document d9:\nof another document the text",
    "A search for 'x' found 99999999999999999999 results:\n\n## Web Results\nDocID:d5",
])  # fmt: skip
JUNK_NUMBERS = [0, -1, 1 << 63, -(1 << 70), 10**40, 1e308, -0.0, 1e-320, float("nan"), float("inf")]
JUNK_FIELDS = st.sampled_from(["type", "text", "role", "content", "id", "message", "value", "function"])
JUNK = (
    JUNK_TEXTS
    | st.sampled_from([None, True, False, *JUNK_NUMBERS])
    | st.just([])
    | st.just({})
    | st.lists(JUNK_TEXTS, min_size=1, max_size=3)
    | st.dictionaries(JUNK_FIELDS, JUNK_TEXTS, max_size=3)
    | st.integers(1, 40).map(lambda depth: json.loads("[" * depth + '"a text at the bottom"' + "]" * depth))
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value, as its container and key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


@st.composite
def changed(draw: st.DrawFn, source: Any) -> Any:
    """A valid record of which a few fields are dropped, replaced, repeated, renamed or wrapped."""
    record = copy.deepcopy(source)
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(record))
        if not places:
            return draw(JUNK)
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["drop", "replace", "replace", "wrap", "add", "move"])):
            case "drop":
                del holder[key]
            case "replace":
                holder[key] = draw(JUNK)
            case "wrap":
                holder[key] = draw(st.sampled_from([[holder[key]], {"value": holder[key]}, str(holder[key])]))
            case "add" if isinstance(holder, list):
                holder.insert(key, draw(JUNK | st.just(copy.deepcopy(holder[key]))))
            case "add":
                holder[draw(st.sampled_from(["extra", "raw", "result", "lrat_sim", "name", "a new field"]))] = draw(
                    JUNK
                )
            case _:
                other, name = places[draw(st.integers(0, len(places) - 1))]
                other[name] = copy.deepcopy(holder[key])
    return record


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def check_held(record: Any, entries: list[Entry], shortest: int = 12) -> None:
    """Every text of some length stands in what was imported; one of JSON may have been read, and stand in its parts."""
    held = list(texts_in(msgspec.json.decode(msgspec.json.encode(entries))))
    known = set(held)

    def check(text: str) -> None:
        if len(text) < shortest or text in ROLES or text in known or any(text in each for each in held):
            return
        parts = list(texts_in(parsed)) if isinstance(parsed := _parsed(text), dict | list) else []
        assert parts, f"lost: {text!r}"
        for part in parts:
            check(part)

    for text in texts_in(record):
        check(text)


def check_import(name: str, written: Any) -> None:
    """One record, as it is read from its file."""
    _, read = SOURCES[name]
    try:
        record = json_value(json.dumps(written), HERE)
        entries = read(record)
    except LratSimError:
        return
    if name not in WHOLE:
        check_held(record, entries)
    for entry in entries:  # and can be exported
        lrat.record_of(entry)
        openai.record_of(entry)
        again = json.loads(json.dumps(atif.record_of(entry)))
        if name.startswith("atif"):
            check_held(record, [atif.entry_of(again, HERE)])


def often(quick: int, long: int) -> pytest.MarkDecorator:
    """How many examples are tried: some in every run, many in the slow one."""
    return pytest.mark.parametrize("examples", [quick, pytest.param(long, marks=pytest.mark.slow)])


@often(150, 9_000)
@pytest.mark.parametrize("name", SOURCES)
def test_records_near_the_real_ones_are_read_without_loss_or_refused(name: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changed(SOURCES[name][0]()))
    def run(record: Any) -> None:
        check_import(name, record)

    run()


@pytest.mark.parametrize("name", ["inspect-rivers.json", "verifiers-results.jsonl", "verifiers-traces.jsonl"])
def test_no_text_of_a_real_file_is_lost(name: str) -> None:
    records = _inspect()["samples"] if name.startswith("inspect") else _lines(name)
    check_held(records, list(read_any(FILES / name)), shortest=1)


@pytest.mark.parametrize("name", SOURCES)
def test_the_records_themselves_are_read(name: str) -> None:
    source, read = SOURCES[name]
    assert read(source())


def check_file(path: Path, format: str) -> None:
    """A file is of no known format, or read or refused."""
    try:
        recognise(path)
        list(read_any(path, format))
    except LratSimError:
        return


_SUFFIXES = ("a.json", "a.jsonl", "a.jsonl.gz", "a.json.xz", "a.eval", "a.parquet")
_READABLE = [name for name in FORMATS if format_named(name).read is not None]
_REAL = [file.read_bytes() for file in sorted(FILES.iterdir())]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Bytes of any kind, or of a real file with a few of them changed or its end missing."""
    if draw(st.booleans()):
        made = draw(st.binary(max_size=200))
    else:
        made = bytearray(draw(st.sampled_from(_REAL)))
        for _ in range(draw(st.integers(0, 5))):
            made[draw(st.integers(0, len(made) - 1))] = draw(st.integers(0, 255))
        made = bytes(made[: draw(st.integers(0, len(made)))] if draw(st.booleans()) else made)
    return gzip.compress(made, 1) if draw(st.booleans()) else made


@often(500, 10_000)
def test_files_of_any_bytes_are_read_or_refused(examples: int, tmp_path: Path) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(), st.sampled_from(_SUFFIXES), st.sampled_from(_READABLE))
    def run(data: bytes, name: str, format: str) -> None:
        path = tmp_path / name
        path.write_bytes(data)
        try:
            check_file(path, format)
            check_file(tmp_path, format)
        finally:
            path.unlink()

    run()


def test_damaged_run_folders_and_parquet_are_refused(entries: list[Entry], tmp_path: Path) -> None:
    """Byte by byte: what stands in our own formats is read as it is, or refused."""
    for name in ("run", "parquet"):
        write = format_named(name).write
        assert write is not None
        write(iter(entries), tmp_path / name, About())
        files = [file for file in sorted((tmp_path / name).rglob("*")) if file.is_file()]
        for file in files:
            whole = file.read_bytes()
            for number in range(20):
                place = len(whole) * number // 20
                file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
                check_file(tmp_path / name, name)
            file.write_bytes(whole[: len(whole) // 2])
            check_file(tmp_path / name, name)
            file.write_bytes(whole)
