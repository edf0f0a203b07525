import gzip
import json
import lzma
import multiprocessing
import os
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim import keys
from lrat_sim.artifact import (
    Store,
    check_fingerprint,
    ensure_folder,
    fingerprint,
    fingerprint_file,
    line,
    read_json,
    read_records,
    write_json,
    write_records,
    write_text,
)
from lrat_sim.errors import FingerprintMismatch, InputError, RecordError
from lrat_sim.records import Document


@pytest.fixture
def path(tmp_path):
    return tmp_path / "documents.jsonl"


def document(number):
    return Document(id=f"d{number}", text=f"text {number} — ünïcode")


def texts(path):
    return [record.id for record in read_records(path, Document)]


def test_appended_records_read_back_in_order(tmp_path):
    path = tmp_path / "new" / "documents.jsonl"
    with Store(path, Document) as store:
        offsets = [store.append(document(number)) for number in range(3)]
    lines = path.read_bytes().splitlines(keepends=True)
    assert offsets == [0, len(lines[0]), len(lines[0]) + len(lines[1])]
    assert list(read_records(path, Document)) == [document(number) for number in range(3)]


def test_record_is_on_disk_whole_before_append_returns(path):
    with Store(path, Document) as store:
        for number in range(3):
            store.append(document(number))
            assert texts(path) == [f"d{n}" for n in range(number + 1)]


def _write_and_die(path, count):
    with Store(path, Document) as store:
        for number in range(count):
            store.append(document(number))
        os._exit(9)  # as a kill does: nothing is closed or flushed


def test_killed_writer_loses_nothing_and_leaves_no_lock(path):
    process = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(path, 5))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert len(texts(path)) == 5
    with Store(path, Document) as store:
        store.append(document(5))
    assert len(texts(path)) == 6


@pytest.mark.parametrize("torn", [b'{"id": "d2", "te', b'{"id": "d2", "text": "caf\xc3', b"{"])
def test_torn_last_line_is_passed_over_by_readers_and_cut_by_the_next_writer(path, torn):
    write_records(path, [document(0), document(1)])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert texts(path) == ["d0", "d1"]
    assert path.read_bytes() == whole + torn, "a reader changes nothing"
    with Store(path, Document) as store:
        assert [record.id for record in store] == ["d0", "d1"]
        store.append(document(2))
    assert texts(path) == ["d0", "d1", "d2"]
    assert path.read_bytes().startswith(whole)


def test_torn_line_longer_than_a_block_is_cut_too(path):
    for before in (line(document(0)), b""):
        path.write_bytes(before + b'{"id": "' + b"x" * 200_000)
        with Store(path, Document) as store:
            store.append(document(1))
        assert path.read_bytes() == before + line(document(1))


def test_whole_last_record_that_lacks_its_line_break_is_kept(path):
    write_records(path, [document(0), document(1)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with Store(path, Document) as store:
        assert [record.id for record in store] == ["d0", "d1"]
        assert store.append(document(2)) == len(whole)
    assert path.read_bytes() == whole + line(document(2))


@pytest.mark.parametrize("end", [b"", b'{"id":"d2","te', b'{"id":"d2","text":"t"}'])
def test_store_that_nothing_is_written_to_leaves_its_file_as_it_was(path, end):
    write_records(path, [document(0)])
    path.write_bytes(path.read_bytes() + end)
    before = path.read_bytes(), path.stat().st_mtime_ns
    with Store(path, Document):
        pass
    with pytest.raises(ValueError, match="refused"), Store(path, Document):
        raise ValueError("refused")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


FOREIGN = {
    "a JSON list": b'[{"id": "d0", "text": "t"}]',
    "another record": b'{"name": "mine"}',
    "another record, torn": b'{"name": "mi',
    "several of another": b'{"name": 1}\n{"name": 2}\n',
    "text": b"dear diary",
    "text of several lines": b"dear diary\nnothing today",
    "binary": b"PAR1\x00\xff\x15",
    "a number": b"42",
    "a last line of another after ours": b'{"id":"d0","text":"t"}\n{"id": 7}',
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_file_of_something_else_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"documents\.jsonl"), Store(path, Document) as store:
        store.append(document(1))
    assert path.read_bytes() == content


def test_keys_in_use_are_in_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "_known", set())
    monkeypatch.setattr(keys, "_written", ())
    monkeypatch.setenv("A_KEY", 'k-"quoted"-0123456789')
    told = Document(id="d", text=f"the key is {keys.read_key('A_KEY')}.")
    with Store(tmp_path / "one.jsonl", Document) as store:
        store.append(told)
        store.extend([told])
    write_records(tmp_path / "two.jsonl", [told])
    write_json(tmp_path / "three.json", {"said": told.text})
    write_text(tmp_path / "four.txt", told.text)
    for path in tmp_path.glob("*.*[nt]"):
        assert "0123456789" not in path.read_text(), path
    assert {record.text for record in read_records(tmp_path / "one.jsonl", Document)} == {"the key is [key]."}


@pytest.fixture
def full():
    """full(size) makes every file of this process end at so many bytes, as a full disk would."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def append_all(path, numbers):
    with Store(path, Document) as store:
        for number in numbers:
            store.append(document(number))


def test_full_disk_is_one_sentence_and_the_next_try_finishes(path, tmp_path, full):
    write_records(path, [document(0)])
    full(3 * path.stat().st_size + 10)
    with pytest.raises(InputError, match=r"documents\.jsonl cannot be written .*free some space"):
        append_all(path, range(1, 9))
    with pytest.raises(InputError, match=r"more\.jsonl cannot be written"):
        write_records(tmp_path / "more.jsonl", map(document, range(9)))
    full(1 << 20)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["documents.jsonl", "documents.jsonl.lock"]
    append_all(path, range(len(texts(path)), 9))
    assert texts(path) == [f"d{number}" for number in range(9)]


class _Card(msgspec.Struct):
    name: str
    schema_version: int = 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"schema_version": 2, "other": 1}', "newer than the 1"),
        (b'{"schema_version": "next", "name": "n"}', "upgrade lrat-sim"),
        (b'{"name": 1}', "is not a card"),
        (b'{"name": ', "is not a card"),
        (b"\xff", "is not a card"),
        (None, "cannot be read"),
    ],
)
def test_json_of_a_later_version_or_another_kind_is_refused(tmp_path, content, words):
    path = tmp_path / "card.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as raised:
        read_json(path, _Card, "a card", "make it again")
    assert "card.json" in str(raised.value)
    write_json(path, _Card(name="n"))
    assert read_json(path, _Card, "a card", "make it again") == _Card(name="n")


@pytest.mark.parametrize("deep", [b"[" * 50_000, b'{"a":' * 50_000], ids=["lists", "objects"])
def test_nesting_without_end_is_refused_in_a_sentence(tmp_path, deep):
    card, lines = tmp_path / "card.json", tmp_path / "documents.jsonl"
    card.write_bytes(deep)
    with pytest.raises(InputError, match="is not a card"):
        read_json(card, _Card, "a card", "make it again")
    before = b'{"id": "d0", "text": "t"}\n{"id": "d1", "more": ' + deep
    lines.write_bytes(before)
    with pytest.raises(RecordError, match="last line"), Store(lines, Document) as store:
        store.append(document(2))
    assert lines.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"id": "d0", "text": "t"}\n{"id": "d1", "te\n{"id": "d2", "text": "t"}\n', ["line 2"]),
        (b'{"id": "d0", "text": "t"}\n\n{"id": "d1", "text": 7}\n', ["line 3", "`text`"]),
        (b'{"id": "d0", "text": "t"}\n\n{"id": "d1", "text": 7}', ["line 3", "`text`"]),
        (b'{"text": "t"}\n', ["line 1", "not a document", "`id`"]),
    ],
    ids=["torn in the middle", "wrong field", "wrong field at the end", "missing field"],
)
def test_wrong_line_is_named_by_file_number_and_field_in_one_line(path, content, words):
    path.write_bytes(content)
    with pytest.raises(RecordError) as raised:
        texts(path)
    message = str(raised.value)
    assert all(word in message for word in (str(path), *words))
    assert f"line {raised.value.line}" == words[0]
    assert message.count("\n") == 0


def test_records_before_a_wrong_line_still_come(path):
    path.write_bytes(b'{"id": "d0", "text": "t"}\nnonsense\n')
    stream = read_records(path, Document)
    assert next(stream).id == "d0"
    with pytest.raises(RecordError):
        next(stream)


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_files_are_read_and_a_damaged_one_is_named(tmp_path, suffix, pack):
    content = "".join(json.dumps({"id": f"d{n}", "text": "t" * n}) + "\n" for n in range(50)).encode()
    path = tmp_path / f"documents.jsonl{suffix}"
    path.write_bytes(pack(content))
    assert len(texts(path)) == 50
    path.write_bytes(pack(content)[:-20])
    with pytest.raises(InputError, match="is damaged"):
        texts(path)


def test_missing_file_and_folder_in_place_of_a_file_are_named(tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(InputError) as raised:
            texts(path)
        assert str(path) in str(raised.value)


def test_two_writers_on_one_file_are_refused(path):
    with Store(path, Document) as store:
        store.append(document(0))
        with pytest.raises(InputError, match="being written by another process"), Store(path, Document):
            pass
        store.append(document(1))
    with Store(path, Document) as store:
        store.append(document(2))
    assert texts(path) == ["d0", "d1", "d2"]


def test_store_of_a_missing_file_is_empty_and_written_only_inside_a_with_statement(tmp_path):
    assert list(Store(tmp_path / "documents.jsonl", Document)) == []
    with pytest.raises(RuntimeError, match="with statement"):
        Store(tmp_path / "documents.jsonl", Document).append(document(0))


def test_failed_rewriting_leaves_the_old_file(path, tmp_path):
    assert write_records(path, [document(0)]) == 1

    def broken():
        yield document(1)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        write_records(path, broken())
    assert texts(path) == ["d0"]
    assert [each.name for each in tmp_path.iterdir()] == ["documents.jsonl"], "something is left of the failure"


def test_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another folder") as raised:
        ensure_folder(tmp_path / "file" / "run")
    assert str(tmp_path / "file" / "run") in str(raised.value)


def test_numbers_that_json_lacks_become_null(tmp_path):
    from lrat_sim.records import Hit, encode

    assert json.loads(encode(Hit(docid="d", score=float("nan"), rank=1)))["score"] is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def turned(value):
    """The same value with every mapping in another order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(each) for each in value] if isinstance(value, list) else value


@settings(max_examples=50, deadline=None)
@given(JSON)
def test_order_of_keys_does_not_matter(value):
    assert fingerprint(turned(value)) == fingerprint(value)


def test_any_difference_of_content_matters_and_a_struct_is_its_fields():
    values = [{"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": None}, {}, [1, 2], [2, 1], {"a": {"b": 1}}]
    assert len({fingerprint(value) for value in values}) == len(values)
    assert fingerprint(Document(id="d", text="t")) == fingerprint({"id": "d", "text": "t", "title": ""})


def test_another_process_gives_the_same_fingerprint():
    code = "from lrat_sim.artifact import fingerprint; print(fingerprint({'k1': 1.5, 'b': {'x': [1, None]}}))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said == fingerprint({"b": {"x": [1, None]}, "k1": 1.5})
    assert len(said) == 16


def test_file_is_known_by_its_bytes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"same")
    two.write_bytes(b"same")
    assert fingerprint_file(one) == fingerprint_file(two)
    two.write_bytes(b"other")
    assert fingerprint_file(one) != fingerprint_file(two)


def test_mismatch_names_each_field_with_both_values_and_the_remedy():
    recorded = {"corpus": "aa", "model": "m", "length": 512}
    current = {"corpus": "bb", "model": "m", "prompt": "p"}
    with pytest.raises(FingerprintMismatch) as raised:
        check_fingerprint("the index at runs/a", recorded, current, "build it anew")
    message = str(raised.value)
    for part in ("the index at runs/a", "corpus was 'aa' and is now 'bb'", "length was 512", "prompt was None", "anew"):
        assert part in message
    assert "model" not in message
    assert isinstance(raised.value, InputError)
    check_fingerprint("the index", {"a": 1, "b": 2}, {"b": 2, "a": 1}, "build it anew")
