"""Whatever stands in a file: an importer reads it and loses no text, or refuses it in one sentence."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrat_sim.errors import LratSimError
from lrat_sim.foreign.values import SourceRecord, json_value, texts_in
from lrat_sim.formats import (
    FORMATS,
    About,
    atif,
    format_named,
    inspect_ai,
    inspect_written,
    lrat,
    nemo_gym,
    openai,
    otel,
    read_any,
    recognise,
    responses,
    sessions,
    verifiers,
    verifiers_written,
)

FILES = Path(__file__).parent / "files"
HERE = SourceRecord(None, Path("here.json"))
LRAT, ATIF, MESSAGES, INSPECT, RESPONSES, NEMO_GYM = (
    json.loads((FILES / f"{name}.json").read_text())
    for name in ("lrat", "atif", "messages", "inspect-rivers", "responses", "nemo-gym")
)
for _repeated, _field in (("turns", "question"), ("model_calls", "request")):  # the history, which is left out
    for _each in NEMO_GYM["ng_trajectory"][_repeated]:
        del _each[_field]
(SESSION,) = (source.value() for source in sessions.sessions_in(FILES / "session.jsonl"))
RESULTS, TRACES = (
    [json.loads(line) for line in (FILES / f"verifiers-{name}.jsonl").read_text().splitlines()]
    for name in ("results", "traces")
)


def _one(entry_of, **options):
    return lambda record: [entry_of(record, HERE, **options)]


def _of_header(record):
    if not isinstance(record, dict) or not isinstance(record.get("eval"), dict):
        raise LratSimError("no log")
    return [inspect_ai.entry_of({"id": 1, "epoch": 1}, record, HERE)]


SOURCES = {
    "lrat": (LRAT, _one(lrat.entry_of)),
    "browsecomp-plus": (LRAT, _one(lrat.entry_of, asked=False)),
    "openai": (MESSAGES, _one(openai.entry_of)),
    "openai of ours": (openai.record_of(lrat.entry_of(LRAT, HERE)), _one(openai.entry_of)),
    "atif": (ATIF, _one(atif.entry_of)),
    # a file that we wrote, so that what is ours in it is changed too
    "atif of ours": (atif.record_of(atif.entry_of(ATIF, HERE)), _one(atif.entry_of)),
    "inspect": (
        INSPECT["samples"][1],
        lambda record: [inspect_ai.entry_of(record, {"eval": {"model": "m"}, "plan": {}}, HERE)],
    ),
    "inspect's header": ({key: value for key, value in INSPECT.items() if key != "samples"}, _of_header),
    "responses": (RESPONSES, _one(responses.entry_of)),
    "responses of ours": (responses.record_of(lrat.entry_of(LRAT, HERE)), _one(responses.entry_of)),
    "session": (SESSION, _one(sessions.entry_of)),
    "nemo-gym": (NEMO_GYM, lambda record: nemo_gym.entries_of(record, HERE)),
    "inspect of ours": (
        inspect_written.sample_of(lrat.entry_of(LRAT, HERE), "2026-11-26T00:00:00+00:00"),
        lambda record: [inspect_ai.entry_of(record, {"eval": {"model": "m"}, "plan": {}}, HERE)],
    ),
    "verifiers of ours": (
        verifiers_written.record_of(lrat.entry_of(LRAT, HERE)),
        lambda record: verifiers.entries_of(record, HERE),
    ),
    "verifiers' results": (RESULTS[0], lambda record: verifiers.entries_of(record, HERE)),
    "verifiers' traces": (TRACES[0], lambda record: verifiers.entries_of(record, HERE)),
}
WHOLE = {"inspect's header"}
"""Of these not all is kept, by intention."""
ROLES = {"system", "user", "assistant", "tool", "function_call", "function_call_output", "reasoning_text"}
"""Names that a format's shape gives back: what is kept is what they stand for."""


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


def _places(value):
    """Every place in a JSON value, as its container and key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


@st.composite
def changed(draw, source):
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


def _parsed(text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def check_held(record, entries, shortest=12):
    """Every text of some length stands in what was imported; one of JSON may have been read, and stand in its parts."""
    held = list(texts_in(msgspec.json.decode(msgspec.json.encode(entries))))
    known = set(held)

    def check(text):
        if len(text) < shortest or text in ROLES or text in known or any(text in each for each in held):
            return
        parts = list(texts_in(parsed)) if isinstance(parsed := _parsed(text), dict | list) else []
        assert parts, f"lost: {text!r}"
        for part in parts:
            check(part)

    for text in texts_in(record):
        check(text)


def check_import(name, written):
    """One record, as it is read from its file."""
    _, read = SOURCES[name]
    try:
        record = json_value(json.dumps(written), HERE.file)
        entries = read(record)
    except LratSimError:
        return
    if name not in WHOLE:
        check_held(record, entries)
    for entry in entries:  # and can be exported
        lrat.record_of(entry)
        openai.record_of(entry)
        responses.record_of(entry)
        nemo_gym.record_of(entry)
        sessions.lines_of(entry)
        otel.record_of(entry)
        json.dumps(verifiers_written.record_of(entry))
        json.dumps(inspect_written.sample_of(entry, ""))
        again = json.loads(json.dumps(atif.record_of(entry)))
        if name.startswith("atif"):
            check_held(record, [atif.entry_of(again, HERE)])


def often(quick, long):
    """How many examples are tried: some in every run, many in the slow one."""
    return pytest.mark.parametrize("examples", [quick, pytest.param(long, marks=pytest.mark.slow)])


@often(150, 9_000)
@pytest.mark.parametrize("name", SOURCES)
def test_records_near_the_real_ones_are_read_without_loss_or_refused(name, examples):
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changed(SOURCES[name][0]))
    def run(record):
        check_import(name, record)

    run()


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("inspect-rivers.json", INSPECT["samples"]),
        ("verifiers-results.jsonl", RESULTS),
        ("verifiers-traces.jsonl", TRACES),
    ],
)
def test_no_text_of_a_real_file_is_lost(name, records):
    check_held(records, list(read_any(FILES / name)), shortest=1)


@pytest.mark.parametrize("name", SOURCES)
def test_the_records_themselves_are_read(name):
    source, read = SOURCES[name]
    assert read(source)


def check_file(path, format):
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
def damaged(draw):
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
def test_files_of_any_bytes_are_read_or_refused(examples, tmp_path):
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(), st.sampled_from(_SUFFIXES), st.sampled_from(_READABLE))
    def run(data, name, format):
        path = tmp_path / name
        path.write_bytes(data)
        try:
            check_file(path, format)
            check_file(tmp_path, format)
        finally:
            path.unlink()

    run()


def test_damaged_run_folders_and_parquet_are_refused(entries, tmp_path):
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
