"""Files as the world sends them: whatever holds the records of a format, they are read, or what is wrong is said."""

from __future__ import annotations

import codecs
import gzip
import json
import lzma
import math
from functools import partial
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.values import DEPTH, json_value
from lrat_sim.formats import FORMATS, About, convert, format_named, read_any
from lrat_sim.formats.entry import same_json
from lrat_sim.formats.output import file_name


def _record(format, question):
    """A small record of a format: one search, one answer."""
    text = (Path(__file__).parent / "files" / "small.json").read_text()
    return json.loads(text.replace("QUESTION", question))[format]


def _messages(question):
    return _record("openai", question)["messages"]


RECORDS = {
    format: partial(_record, format) for format in ("openai", "lrat", "atif", "verifiers", "responses", "nemo-gym")
}
QUESTIONS = ("Who is it?", "Who else is it?")


def _lines(records, end="\n"):
    return "".join(json.dumps(record) + end for record in records)


def _pretty(records):
    return json.dumps(records, indent=2, ensure_ascii=False)


HOLDERS = {
    "a.jsonl": lambda records: _lines(records).encode(),
    "blank lines.jsonl": lambda records: ("\n \n" + _lines(records, "\r\n\r\n")).encode(),
    "mark.jsonl": lambda records: codecs.BOM_UTF8 + _lines(records).rstrip().encode(),
    "utf-16.jsonl": lambda records: _lines(records).encode("utf-16"),
    "utf-32.json": lambda records: _pretty(records).encode("utf-32"),
    "list.json": lambda records: json.dumps(records).encode(),
    "marked list.json": lambda records: _pretty(records).encode("utf-8-sig"),
    "list.jsonl": lambda records: _pretty(records).encode(),
    "lists.jsonl": lambda records: _lines([[record] for record in records]).encode(),
    "objects.json": lambda records: "\n".join(json.dumps(record, indent=1) for record in records).encode(),
    "one line.json": lambda records: _lines(records, "").encode(),
    "a.txt": lambda records: _lines(records).encode(),
    "no suffix": lambda records: _lines(records).encode(),
    "a.jsonl.gz": lambda records: gzip.compress(_lines(records).encode()),
    "list.json.xz": lambda records: lzma.compress(_pretty(records).encode("utf-8-sig")),
}


def _told(path, format=None):
    """Question, answer and documents shown of each trajectory."""
    found = []
    for entry in read_any(path, format):
        calls = [call for turn in entry.trajectory.turns for call in turn.calls]
        shown = [hit.docid for call in calls for hit in call.hits or ()]
        found.append((entry.trajectory.question, entry.trajectory.answer, shown))
    return found


WHOLE = [(question, "Ann", ["d7"]) for question in QUESTIONS]


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("format", RECORDS)
def test_records_are_read_whatever_holds_them(format, holder, tmp_path):
    (tmp_path / holder).write_bytes(HOLDERS[holder]([RECORDS[format](question) for question in QUESTIONS]))
    assert _told(tmp_path / holder) == WHOLE
    assert _told(tmp_path) == WHOLE


@pytest.mark.parametrize("holder", HOLDERS)
def test_our_own_trajectories_are_read_whatever_holds_them(holder, entries, tmp_path):
    records = [msgspec.to_builtins(entry.trajectory) for entry in entries]
    (tmp_path / holder).write_bytes(HOLDERS[holder](records))
    for source in (tmp_path / holder, tmp_path):
        assert [entry.trajectory for entry in read_any(source)] == [entry.trajectory for entry in entries]


@pytest.mark.parametrize("format", RECORDS)
def test_one_object_over_several_lines_is_a_record_and_a_call_left_in_its_last_text_no_answer(format, tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(RECORDS[format](QUESTIONS[0]), indent=4))
    assert _told(tmp_path / "one.json") == WHOLE[:1]
    left = '<tool_call>{"name": "search", "arguments": {"query": "x"}}</tool_call>'
    record = json.loads(json.dumps(RECORDS[format](QUESTIONS[0])).replace('"Ann"', json.dumps(left)))
    (tmp_path / "a.json").write_text(json.dumps(record))
    (entry,) = read_any(tmp_path / "a.json")
    assert (entry.trajectory.status, entry.trajectory.answer) == ("unanswered", None)


@pytest.mark.parametrize("holder", ["list.json", "lists.jsonl"])
def test_a_list_of_messages_is_a_conversation(holder, tmp_path):
    talks = [_messages(question) for question in QUESTIONS]
    text = json.dumps(talks) if holder == "list.json" else _lines(talks)
    (tmp_path / holder).write_text(text)
    assert _told(tmp_path / holder) == WHOLE


# --- tables


def _table(rows, path, large=False):
    """As ``datasets`` writes it: every struct with every field, null where a row has none."""
    table = pa.Table.from_pylist(rows)
    if large:
        table = table.cast(pa.schema([field.with_type(_large(field.type)) for field in table.schema]))
    features = {"huggingface": json.dumps({"info": {"features": {name: {} for name in table.column_names}}})}
    pq.write_table(table.replace_schema_metadata(features), path)
    return path


def _large(kind):
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_large(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.large_list(_large(kind.value_type))
    return pa.large_string() if pa.types.is_string(kind) else kind


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("format", RECORDS)
def test_tables_of_any_format_are_read(format, large, tmp_path):
    from datetime import datetime

    rows = [{**RECORDS[format](question), "when": datetime(2026, 1, 2)} for question in QUESTIONS]
    assert _told(_table(rows, tmp_path / "train-00000-of-00001.parquet", large)) == WHOLE


@pytest.mark.parametrize("name", ["data-00000-of-00001.arrow", "no suffix"])
@pytest.mark.parametrize("new", [pa.ipc.new_stream, pa.ipc.new_file])
def test_tables_that_datasets_saves_are_read(new, name, tmp_path):
    table = pa.Table.from_pylist([{"messages": _messages(question)} for question in QUESTIONS])
    with new(tmp_path / name, table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    assert _told(tmp_path / name) == _told(tmp_path) == WHOLE


def test_fields_that_a_table_fills_with_null_are_not_there(tmp_path):
    rows = [{"messages": _messages(question)} for question in QUESTIONS]
    for row, arguments in zip(rows, ({"query": "a"}, {"docid": "d1"}), strict=True):
        row["messages"][1]["tool_calls"][0]["function"]["arguments"] = arguments  # one struct with both
    first, second = read_any(_table(rows, tmp_path / "a.parquet"))
    assert first.trajectory.turns[0].calls[0].arguments == {"query": "a"}
    assert second.trajectory.turns[0].calls[0].arguments == {"docid": "d1"}
    assert first.trajectory.turns[0].raw is None


@pytest.mark.parametrize(
    "packed", [json.dumps, lambda talk: {name: [m.get(name) for m in talk] for name in talk[1] | talk[2]}]
)
def test_messages_in_a_text_or_in_columns_of_their_own_are_read(packed, tmp_path):
    rows = [{"messages": packed(_messages(question))} for question in QUESTIONS]
    assert _told(_table(rows, tmp_path / "a.parquet")) == WHOLE


def test_our_own_tables_come_back_from_datasets(entries, tmp_path, monkeypatch):
    format_named("parquet").write(iter(entries), tmp_path / "out", About())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    opened = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    opened.to_parquet(tmp_path / "again.parquet")
    back = [(entry.trajectory, entry.grades, entry.verdicts) for entry in read_any(tmp_path / "again.parquet")]
    assert back == [(entry.trajectory, entry.grades, entry.verdicts) for entry in entries]


# --- what cannot be read


def test_a_folder_says_which_files_it_left_out(tmp_path):
    source = tmp_path / "source"
    (source / "more").mkdir(parents=True)
    for number, question in enumerate(QUESTIONS):
        name = "1.json" if number else "more/10.json.gz"
        data = json.dumps(_record("lrat", question)).encode()
        (source / name).write_bytes(data if number else gzip.compress(data))
    for name, data in (("corpus.jsonl", b'{"docid": "1"}\n'), ("notes.md", b"# notes"), ("image", b"\x89PNG\r\n\x00")):
        (source / name).write_bytes(data)
    done = convert(source, tmp_path / "out", to="run")
    assert (done.written, done.notes.left_out) == (2, ["corpus.jsonl", "image", "notes.md"])
    assert "left out, as no trajectories of this format: corpus.jsonl, image, notes.md" in done.sentence()


FAULTY = [_lines([{"messages": _messages(QUESTIONS[0])}]), '{"messages": \n', '{"messages": [{"x": 1}]}\n']
FAULTY += ["[7]\n", _lines([{"messages": _messages(QUESTIONS[1])}])]


def test_a_record_that_cannot_be_read_ends_a_conversion_or_is_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(FAULTY))
    with pytest.raises(RecordError, match=r"a\.jsonl, line 2: not JSON"):
        convert(tmp_path / "a.jsonl", tmp_path / "out", to="run")
    assert not (tmp_path / "out").exists()
    done = convert(tmp_path / "a.jsonl", tmp_path / "out", to="run", skip_unreadable=True)
    assert (done.written, len(done.notes.unread)) == (2, 3)
    for said in (
        "3 could not be read",
        "line 2: not JSON",
        "line 3: message 1 is not an object with a `role`",
        "record 1",
    ):
        assert said in done.sentence()


@pytest.mark.parametrize("format", [name for name in FORMATS if format_named(name).read is not None])
@pytest.mark.parametrize("data", [b"", b" \n\n", b"[]", b"{}"])
def test_an_import_of_nothing_is_an_error(data, format, tmp_path):
    (tmp_path / "a.json").write_bytes(data)
    for source in (tmp_path / "a.json", tmp_path):
        with pytest.raises(InputError):
            convert(source, tmp_path.with_name("out"), to="run", source_format=format)
        with pytest.raises(InputError, match="was not recognised"):
            convert(source, tmp_path.with_name("out"), to="run")


TALK = _lines([{"messages": _messages(QUESTIONS[0])}])


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.jsonl", TALK.replace("Ann", "Zoë").encode("latin-1"), "line 1: not JSON .*utf-8"),
        ("a.jsonl", TALK[:-9].encode(), "line 1: not JSON"),
        ("a.json", b'[\n{"messages": []},\n{"messages": [}\n]', "line 3: not JSON"),
        ("a.json", b'{"messages": []}\n\n{"messages": \n[}', "line 3: not JSON|message"),
        ("a.jsonl.gz", gzip.compress(TALK.encode())[:-9], "cannot be read to its end"),
        ("a.jsonl.xz", TALK.encode(), "cannot be read to its end"),
        ("a.jsonl", TALK.encode("utf-16")[:-8], "line 1: not JSON"),
        ("a.jsonl", TALK.encode("utf-16")[:-9], "cannot be read to its end"),
        ("a.eval", b"PK\x03\x04 and no more", "cannot be read as an archive"),
        ("a.parquet", b"PAR1 and no more PAR1", "cannot be read"),
        ("a.jsonl", TALK[:-2].encode() + b', "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        ("a.jsonl", TALK[:-2].encode() + b', "a": ' + b"[" * DEPTH + b"]" * DEPTH + b"}", "nested too deeply"),
    ],
)
def test_damage_is_said_with_its_place(name, data, problem, tmp_path):
    (tmp_path / name).write_bytes(data)
    for source in (tmp_path / name, tmp_path):  # also where that keeps every format from recognising it
        with pytest.raises(InputError, match=problem):
            convert(source, tmp_path.with_name("out"), to="run")


@pytest.mark.parametrize("holder", ["a.jsonl", "marked list.json", "list.json.xz"])
def test_a_value_that_memory_might_not_hold_is_refused(holder, tmp_path, monkeypatch):
    monkeypatch.setattr("lrat_sim.foreign.files.LARGEST", 400)
    (tmp_path / holder).write_bytes(HOLDERS[holder]([RECORDS["atif"](question) for question in QUESTIONS]))
    with pytest.raises(InputError, match="write one record per line"):
        list(read_any(tmp_path / holder, "atif"))


@pytest.mark.parametrize("name", ["trajectories.jsonl", "tasks.jsonl", "verdicts.jsonl"])
def test_a_line_of_a_run_folder_that_is_nested_too_deeply_is_named(name, entries, run_folder, tmp_path):
    path = run_folder("run", entries) / name
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text(first.rstrip()[:-1] + ', "deep": ' + "[" * 100_000 + "]" * 100_000 + "}\n" + "".join(rest))
    with pytest.raises(RecordError, match=rf"{name}, line 1: JSON that is nested too deeply"):
        convert(tmp_path / "run", tmp_path / "out", to="parquet")


def test_numbers_that_no_count_can_be_are_unknown_and_the_record_is_kept(tmp_path):
    record = _record("atif", QUESTIONS[0])
    record["steps"][1]["metrics"] = {"prompt_tokens": 10**30, "completion_tokens": -5, "cost_usd": float("nan")}
    record["final_metrics"] = {"total_prompt_tokens": 1 << 70, "total_completion_tokens": "7"}
    record["steps"][1]["tool_calls"][0]["arguments"] = {"query": "a", "k": 10**40}
    record["extra"] = {"low": float("-inf"), "deep": json.loads("[" * 90 + "]" * 90)}
    (tmp_path / "a.json").write_text(json.dumps(record))
    assert convert(tmp_path / "a.json", tmp_path / "run", to="run").written == 1
    (entry,) = read_any(tmp_path / "run")
    assert entry.trajectory.usage == entry.trajectory.turns[0].usage == type(entry.trajectory.usage)()
    assert "-Infinity" in msgspec.json.encode(entry.trajectory.extra).decode()
    for to in ("parquet", "openai", "lrat", "atif"):
        assert convert(tmp_path / "run", tmp_path / to, to=to).written == 1


@pytest.mark.parametrize("field", ["seed", "sample"])
def test_a_number_of_ours_that_no_index_holds_is_named(field, make, tmp_path):
    record = msgspec.to_builtins(make("t").trajectory) | {field: 1 << 70}
    (tmp_path / "a.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=rf"the trajectory 't\.0\.cafe' has too large a number, {field}"):
        convert(tmp_path / "a.json", tmp_path / "out", to="run")


# --- ids


def test_a_record_that_comes_twice_is_kept_once_and_other_ones_of_a_task_are_samples(tmp_path):
    one, other = _messages(QUESTIONS[0]), _messages(QUESTIONS[0])
    other[-1] = {"role": "assistant", "content": "Bob"}
    records = [{"task_id": "t", "messages": talk} for talk in (one, other, one)]
    (tmp_path / "a.jsonl").write_text(_lines(records))
    done = convert(tmp_path / "a.jsonl", tmp_path / "out", to="run")
    assert (done.written, done.repeated) == (2, 1)
    assert "1 came twice and were kept once" in done.sentence()
    assert [entry.trajectory.sample for entry in read_any(tmp_path / "out")] == [0, 1]


def test_a_later_record_of_an_id_replaces_one_of_ours_and_is_refused_of_others(make, tmp_path):
    first, later = make("t"), make("t", answer="green")
    records = [msgspec.to_builtins(entry.trajectory) for entry in (first, later)]
    (tmp_path / "a.jsonl").write_text(_lines(records))
    done = convert(tmp_path / "a.jsonl", tmp_path / "out", to="run")
    assert (done.written, done.notes.replaced) == (1, 1)
    assert [entry.trajectory.answer for entry in read_any(tmp_path / "out")] == ["green"]
    for entry in (first, later):
        format_named("atif").write(iter([entry]), tmp_path / f"atif {entry.trajectory.answer}", About())
    (tmp_path / "both").mkdir()
    for number, file in enumerate(sorted(tmp_path.glob("atif */*.json"))):
        file.rename(tmp_path / "both" / f"{number}.json")
    with pytest.raises(InputError, match=r"two different trajectories have the id 't\.0\.cafe'"):
        convert(tmp_path / "both", tmp_path / "other", to="run")


ODD = [
    "a/b", "a b", " ", "../up", "é", "e\u0301", "Case", "case", "case~2", "n" * 500, "😀" * 90, "a\nb", "a\r\nb", "\t",
    "%41", "<b>", "aux", "LPT1.x", "t:1", "..", "-x", "'; drop", "\u202eback", "\x00", "\x1b[31m", "\u200d", "0", "00",
    "\ud800", "\ud801",
]  # fmt: skip


@pytest.mark.parametrize("to", [name for name in FORMATS if (it := format_named(name)).write and it.read])
def test_odd_ids_come_back_from_every_format(to, tmp_path):
    lines = [
        {
            "messages": _messages(f"q{number}"),
            "metadata": {"id": name + ".0", "task_id": name, "sample": 0}
            | {"status": "answered", "end_reason": "answer", "answer": "Ann"},
        }
        for number, name in enumerate(ODD)
    ]
    (tmp_path / "a.jsonl").write_text(_lines(lines))
    source = tmp_path / "out\u00e9 😀"
    assert convert(tmp_path / "a.jsonl", source, to="run").written == len(ODD)
    assert convert(source, tmp_path / "to", to=to).written == len(ODD)
    back = convert(tmp_path / "to", tmp_path / "back", to="run")
    assert back.written == len(ODD)
    written = [name.encode("utf-8", "backslashreplace").decode() for name in ODD]
    assert sorted(entry.trajectory.task_id for entry in read_any(tmp_path / "back")) == sorted(written)


# --- values and names

HERE = Path("here.json")


def test_what_pythons_json_module_writes_beyond_json_can_be_read_and_recorded():
    value = {"a": [math.nan, -math.inf, 1e308 * 10], "b": 10**30, "c": "\ud800x", "d": -(2**63), "e": 1.5}
    read = json_value(json.dumps(value), HERE)
    assert read == {"a": ["NaN", "-Infinity", "Infinity"], "b": str(10**30), "c": "\\ud800x", "d": -(2**63), "e": 1.5}
    assert json_value("[1e999]", HERE) == ["1e999"]
    assert msgspec.json.decode(msgspec.json.encode(read)) == read


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000 + "]" * 100_000, '{"a": "\x00"}x', b"\xff\xfe", "nan"])
def test_what_is_no_json_is_refused_in_one_sentence(text):
    with pytest.raises(RecordError, match=r"^here\.json, line 4: (not )?JSON.*; correct or delete that line\.$"):
        json_value(text, HERE, 4)


def test_names_of_files_are_plain_and_differ():
    names = ["", ".", "..", "a/b", "a%2Fb", "InfoSeek-Eval_0", "x" * 300, "x" * 299, "\x00", "é" * 90]
    names += ["q1", "Q1", "q1", "q1~2", "q1~3", "con", "NUL.a", "a\nb", "\u0301e"]
    taken = set()
    files = [file_name(name, taken) for name in names]
    assert len({name.lower() for name in files}) == len(names) == len(taken)
    assert "InfoSeek-Eval_0" in files
    assert all(len(name.encode()) < 200 and "/" not in name and not name.startswith(".") for name in files)
    assert not {name.split(".")[0].lower() for name in files} & {"con", "nul"}


def test_json_is_the_same_up_to_the_order_of_keys_but_not_of_kinds():
    assert same_json({"a": 1, "b": [True]}, {"b": [True], "a": 1})
    assert not same_json(1, True)
    assert not same_json([1, 2], [2, 1])
