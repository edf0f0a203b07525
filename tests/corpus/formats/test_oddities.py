"""Every form in which documents, tasks and judgements come, times what is odd about files of this world."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lrat_sim.corpus import prepare
from lrat_sim.corpus.formats.base import DOCUMENTS, document_of
from lrat_sim.corpus.formats.beir import qrels
from lrat_sim.corpus.formats.rows import delimited_lines, rows
from lrat_sim.errors import InputError, RecordError
from lrat_sim.records import Document

MARK = b"\xef\xbb\xbf"
RECORDS = [
    {"id": "north pier", "text": 'Lamp room\nsays "open",\tdaily.\n\nTwo keepers.', "title": "North Pier"},
    {"id": "2", "text": "Weir hut\u2028\u706f\u53f0", "title": ""},
    {"id": "no text", "text": "", "title": "Old Weir"},
]
READ = [Document(**record) for record in RECORDS]


def as_jsonl(records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def as_delimited(records, delimiter):
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(records[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue().encode()


def as_arrow(records, new):
    table = pa.Table.from_pylist(records)
    sink = pa.BufferOutputStream()
    with new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def as_parquet(records):
    """As `datasets` writes it: large strings, and its own features in the metadata."""
    table = pa.Table.from_pylist(records)
    schema = pa.schema([f.with_type(pa.large_string()) if f.type == pa.string() else f for f in table.schema])
    sink = pa.BufferOutputStream()
    pq.write_table(table.cast(schema).replace_schema_metadata({"huggingface": '{"info": {}}'}), sink)
    found: bytes = sink.getvalue().to_pybytes()
    return found


FORMATS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "jsonl": as_jsonl,
    "ndjson": as_jsonl,
    "json": lambda records: json.dumps(records).encode(),
    "indented.json": lambda records: json.dumps(records, indent=2).encode(),
    "lines.json": as_jsonl,
    "list.jsonl": lambda records: json.dumps(records).encode(),
    "columns.json": lambda records: json.dumps({key: [r[key] for r in records] for key in records[0]}).encode(),
    "pandas.json": lambda records: json.dumps(
        {key: {str(n): r[key] for n, r in enumerate(records)} for key in records[0]}
    ).encode(),
    "tsv": lambda records: as_delimited(records, "\t"),
    "csv": lambda records: as_delimited(records, ","),
    "parquet": as_parquet,
    "stream.arrow": lambda records: as_arrow(records, pa.ipc.new_stream),
    "file.arrow": lambda records: as_arrow(records, pa.ipc.new_file),
}
TEXTUAL = [name for name in FORMATS if not name.endswith(("parquet", "arrow"))]
ODDITIES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "as it is": ("", lambda data: data),
    "byte order mark": ("", lambda data: MARK + data),
    "Windows line ends": ("", lambda data: data.replace(b"\n", b"\r\n")),
    "no line end at the end": ("", lambda data: data.rstrip(b"\n")),
    "blank lines around": ("", lambda data: b"\n\n" + data + b"\n \n"),
    "UTF-16": ("", lambda data: data.decode().encode("utf-16")),
    "UTF-32, xz": (".xz", lambda data: lzma.compress(data.decode().encode("utf-32"))),
    "gzip": (".gz", lambda data: gzip.compress(MARK + data)),
    "xz": (".xz", lambda data: lzma.compress(data)),
}
CASES = [(name, oddity) for name in FORMATS for oddity in ODDITIES if name in TEXTUAL or oddity == "as it is"]


@pytest.mark.parametrize(("name", "oddity"), CASES)
def test_documents_are_the_same_in_every_form(tmp_path, name, oddity):
    suffix, change = ODDITIES[oddity]
    path = tmp_path / f"corpus.{name}{suffix}"
    path.write_bytes(change(FORMATS[name](RECORDS)))
    assert list(map(document_of, rows(path, DOCUMENTS))) == READ


def test_a_single_object_is_one_record_and_joined_files_keep_no_mark_in_their_middle(tmp_path):
    for name, indent in (("a.json", None), ("b.jsonl", 2)):
        (tmp_path / name).write_text(json.dumps(RECORDS[0], indent=indent))
        assert [row.data for row in rows(tmp_path / name, DOCUMENTS)] == RECORDS[:1]
    path = tmp_path / "corpus.jsonl"
    path.write_bytes((MARK + as_jsonl(RECORDS[:1])) + (MARK + as_jsonl(RECORDS[1:])))
    assert list(map(document_of, rows(path, DOCUMENTS))) == READ


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"id": "1", "text": "half \\ud83d", "score": NaN}', ("1", "half \\ud83d")),
        (f'{{"id": {"9" * 6000}, "text": "x"}}', ("9" * 6000, "x")),
    ],
    ids=["half of a pair and no number", "a number without end"],
)
def test_what_only_pythons_json_writes_is_read(tmp_path, text, read):
    (tmp_path / "c.jsonl").write_text(text)
    assert [(document_of(row).id, document_of(row).text) for row in rows(tmp_path / "c.jsonl", DOCUMENTS)] == [read]


DAMAGED = {
    "UTF-16 without a mark": ("c.tsv", "id\ttext\n1\tx\n".encode("utf-16-le"), "UTF-16"),
    "Latin-1 in jsonl": ("c.jsonl", '{"id": "1", "text": "café"}'.encode("latin-1"), r"line 1.*(utf-8|UTF-8)"),
    "Latin-1 in TSV": ("c.tsv", "id\ttext\n1\tcafé\n".encode("latin-1"), "line 2: not UTF-8"),
    "nested without end": ("c.jsonl", b'{"id": ' + b"[" * 100_000, "not JSON"),
    "a JSON number": ("c.json", b"5", "should hold"),
    "a list of texts": ("c.json", b'["a"]', "record 1: should hold a JSON object, not str"),
    "a comma too many": ("c.jsonl", b'{"id": "1", "text": "x",}\n', "line 1: not JSON"),
    "a torn last line": ("c.jsonl", b'{"id": "1", "text": "x"}\n{"id": "2", "te', "line 2: not JSON"),
    "a list": ("c.jsonl", b"[1]\n", "record 1: should hold a JSON object"),
    "no JSON after blank lines": ("c.jsonl", b"\n\nnot json\n", "line 3: not JSON"),
    "no gzip": ("c.jsonl.gz", as_jsonl(RECORDS), "cannot be read to its end"),
    "gzip cut off": ("c.jsonl.gz", gzip.compress(as_jsonl(RECORDS))[:-12], "cannot be read to its end"),
    "xz cut off": ("c.json.xz", lzma.compress(as_jsonl(RECORDS))[:-12], "cannot be read to its end"),
    "Parquet cut off": ("c.parquet", as_parquet(RECORDS)[:-30], "c.parquet cannot be read"),
    "Parquet of zeros": ("c.parquet", bytes(200), "c.parquet cannot be read"),
    "Parquet of nothing": ("c.parquet", b"", "c.parquet cannot be read"),
    "Arrow cut off": ("c.arrow", as_arrow(RECORDS, pa.ipc.new_stream)[:-100], "c.arrow cannot be read"),
    "Arrow with letters that are none": (
        "c.arrow",
        as_arrow(RECORDS, pa.ipc.new_stream).replace(b"North", b"\xff\xff\xff\xff\xff"),
        "c.arrow cannot be read",
    ),
    "a header without a text": ("c.tsv", b"id\tabstract\n1\tx\n", "line 1: a header without a column text"),
    "a column too many": ("c.tsv", b"id\ttext\n1\tx\ty\n", "line 2: has 3 columns"),
    "a line of one column": ("c.tsv", b"id\ttext\n1\tx\nx\n", "line 3: has 1 columns"),
    "half of a quoted field": ("c.tsv", b'id\ttext\ttitle\n1\t"one\nsaid "so" two"\tT\n', "line 3: an unpaired quot"),
    "quotes that do not pair": ("c.csv", b'id,text\n1,"a" b\n', "line 2: quotation marks"),
    "one record or two": ("c.tsv", b'1\t"one\n2\ttwo"\n', "line 1: the quotation mark that opens here"),
    "no format": ("c.docx", b"x", "has an unknown format"),
}


@pytest.mark.parametrize(("name", "data", "says"), DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        list(map(document_of, rows(tmp_path / name, DOCUMENTS)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["c.jsonl", "c.json.gz", "c.tsv.xz", "c.parquet", "c.arrow"])
def test_a_folder_where_a_file_should_be_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"{name} cannot be read"):
        list(rows(tmp_path / name, DOCUMENTS))


QUOTED = {
    "a quotation of its own": ('1\t"Go," she said\n2\tx\n', [["1", '"Go," she said'], ["2", "x"]]),
    "one that never closes": ('1\t"Go\n2\tx\n', [["1", '"Go'], ["2", "x"]]),
    "one over two passages of a collection without quoting": (
        '0\tsix 5" discs\n1\t"Go\n2\ton"\n',
        [["0", 'six 5" discs'], ["1", '"Go'], ["2", 'on"']],
    ),
    "a tab inside": ('1\t"a\tb"\n', [["1", "a\tb"]]),
    "line breaks inside, without a header": ('1\t"a\n\nb"\tT\n2\tc\td\n', [["1", "a\n\nb", "T"], ["2", "c", "d"]]),
    "longer than the csv library reads": (f'1\t"{"a" * 150_000}\nb"\n', [["1", "a" * 150_000 + "\nb"]]),
}


@pytest.mark.parametrize(("text", "fields"), QUOTED.values(), ids=QUOTED)
def test_quotation_marks_are_read_as_they_were_meant(tmp_path, text, fields):
    (tmp_path / "c.tsv").write_text(text)
    assert [found for _, found in delimited_lines(tmp_path / "c.tsv", "\t")] == fields


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("query-id\tcorpus-id\tscore\nq one\td two\t1\n", {"q one": ["d two"]}),
        ("q one\tQ0\td two\t2\r\nq one\tQ0\td three\t0\r\n", {"q one": ["d two"]}),
        ("\n\nquery-id\tcorpus-id\tscore\nq\td\t1.0\n", {"q": ["d"]}),
        ("q  0  d   1\n", {"q": ["d"]}),
        ("q1 Q0 d1 1\nq1 0 d2 0\nq2 0 d1 2\n", {"q1": ["d1"], "q2": ["d1"]}),
        ("query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td1\t2\n", {"q1": ["d1"], "q2": ["d1"]}),
        ("q 0 d 0\n", {"q": []}),
    ],
)
@pytest.mark.parametrize("mark", [b"", MARK])
def test_judgements_are_split_at_tabs_where_they_have_any(tmp_path, text, found, mark):
    (tmp_path / "q.tsv").write_bytes(mark + text.encode())
    assert qrels(tmp_path / "q.tsv") == found


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"q 0 d one 1\n", "3 or 4 columns, not 5"),
        (b"q\td\xff\t1\n", "not UTF-8"),
        (b"q\td\t1\nq\td\tnan\n", "'nan'"),
        (b"q 0 d 1\nq 0 d high\n", "'high'"),
    ],
)
def test_wrong_judgements_are_placed(tmp_path, data, says):
    (tmp_path / "q.tsv").write_bytes(data)
    with pytest.raises(RecordError, match=rf"line \d: .*{says}"):
        qrels(tmp_path / "q.tsv")


TASKS = [
    {"id": "t 1", "question": "Which pier?", "answers": ["North Pier", "north"], "evidence": ["north pier", "2"]},
    {"id": "t2", "question": "Which weir?", "answers": ["Old"], "evidence": ["no text"]},
]


@pytest.mark.parametrize("name", ["jsonl", "json", "indented.json", "parquet", "stream.arrow", "tsv", "csv"])
def test_tasks_are_the_same_in_every_form(tmp_path, name):
    source = tmp_path / "source"
    source.mkdir()
    (source / "corpus.jsonl").write_bytes(as_jsonl(RECORDS))
    delimited = name in ("tsv", "csv")
    tasks = [{key: json.dumps(v) if delimited and isinstance(v, list) else v for key, v in t.items()} for t in TASKS]
    (source / f"test.{name}").write_bytes(FORMATS[name](tasks))
    found = prepare("jsonl", tmp_path / "set", source=source).tasks("test")
    assert [(t.id, t.question, t.answers, t.evidence) for t in found] == [tuple(task.values()) for task in TASKS]


@pytest.mark.parametrize(
    ("given", "read"), [("north pier", ["north pier"]), ("2 d9", ["2", "d9"]), (["north pier", 2], ["north pier", "2"])]
)
def test_evidence_that_is_a_text_is_one_id_where_there_is_such_a_document(tmp_path, write, source, given, read):
    write("corpus.jsonl", [*RECORDS, {"id": "d9", "text": "x"}])
    write("test.jsonl", [{"id": "q", "question": "?", "evidence": given}])
    assert prepare("jsonl", tmp_path / "set", source=source).tasks("test")[0].evidence == read


def test_a_plan_is_read_from_a_table_that_fills_up_with_nulls(tmp_path, source):
    hop = {"subject": "A", "relation": "r", "object": "B", "phrasings": None}
    (source / "corpus.jsonl").write_bytes(as_jsonl(RECORDS))
    tasks = [{"id": "q", "question": "?", "plan": {"hops": [hop], "operator": None}}, {"id": "r", "question": "!"}]
    (source / "test.parquet").write_bytes(as_parquet(tasks))
    found = prepare("jsonl", tmp_path / "set", source=source)
    assert [task.plan is not None for task in found.tasks("test")] == [True, False]
    assert "Tasks with a plan: 1 of 2 (test 1)." in found.card.account()


def test_what_datasets_saves_is_read(tmp_path, source):
    datasets = pytest.importorskip("datasets")
    shards = datasets.Dataset.from_list(RECORDS)
    shards.save_to_disk(source / "corpus", num_shards=2)
    datasets.Dataset.from_list(TASKS).to_parquet(source / "test-00000-of-00001.parquet")
    found = prepare("jsonl", tmp_path / "set", source=source)
    assert list(found.corpus) == READ
    assert [task.evidence for task in found.tasks("test")] == [task["evidence"] for task in TASKS]
    assert found.card.notes == []
