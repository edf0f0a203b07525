from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrat_sim.artifact import fingerprint_file
from lrat_sim.corpus import documents as module
from lrat_sim.corpus.documents import Corpus, DuplicateId
from lrat_sim.errors import InputError, UnknownDocument
from lrat_sim.records import Document


def some(count):
    return [Document(id=f"d{n}", title=f"Title {n}", text=f"text of {n} \u00e9\u4e2d") for n in range(count)]


def test_what_was_built_is_read_back_in_order_after_opening(tmp_path):
    built = Corpus.build(tmp_path, iter(some(50)))
    opened = Corpus.open(tmp_path)
    assert list(opened) == some(50) == [opened[row] for row in range(len(opened))]
    assert opened.fingerprint == built.fingerprint
    assert opened.document("d7") == some(50)[7]
    assert opened.row("d49") == 49
    assert "d50" not in opened
    with pytest.raises(UnknownDocument, match="'d50'"):
        opened.document("d50")
    assert list(opened.ids()) == [f"d{n}" for n in range(50)] == opened.ids()[:]
    assert opened.ids()[3] == "d3"


def test_batches_do_not_show(tmp_path, monkeypatch):
    whole = Corpus.build(tmp_path / "whole", some(40))
    monkeypatch.setattr(module, "_BATCH_ROWS", 7)
    in_batches = Corpus.build(tmp_path / "batches", some(40))
    assert in_batches.fingerprint == whole.fingerprint
    assert list(in_batches.slice(5, 30)) == some(40)[5:30]
    assert in_batches.document("d20") == whole.document("d20")


def test_building_draws_documents_one_batch_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BATCH_CHARACTERS", 100)
    drawn, seen = [], []

    def stream():
        for n in range(30):
            drawn.append(n)
            yield Document(id=str(n), text="x" * 60)

    Corpus.build(tmp_path, stream(), progress=lambda done, total, what: seen.append((done, len(drawn))))
    assert [done for done, _ in seen] == list(range(2, 31, 2))
    assert all(ahead == done for done, ahead in seen)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(min_size=1).filter(lambda t: t.strip()), min_size=1, max_size=20, unique=True), st.text(min_size=1)
)
def test_every_id_is_found_and_no_other(tmp_path, ids, other):
    ids = [i for i in ids if i.isprintable()] or ["a"]
    corpus = Corpus.build(tmp_path, [Document(id=i, text=f"of {i}") for i in ids])
    assert [corpus.row(i) for i in ids] == list(range(len(ids)))
    assert (other in corpus) == (other in ids)


def test_ids_with_the_same_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_hash", lambda docid: len(docid))
    corpus = Corpus.build(tmp_path, [Document(id=i, text=i) for i in ("aa", "bb", "c", "dd")])
    assert [corpus.document(i).text for i in ("dd", "c", "bb", "aa")] == ["dd", "c", "bb", "aa"]
    assert "ee" not in corpus


def test_a_duplicate_id_is_refused_with_both_places(tmp_path):
    with pytest.raises(DuplicateId, match=r"documents 2 and 6 .*'d1'") as caught:
        Corpus.build(tmp_path, [*some(5), Document(id="d1", text="again")])
    assert caught.value.rows == (1, 5)
    with pytest.raises(InputError, match="build the corpus again"):
        Corpus.open(tmp_path)


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ([*some(2), Document(id=" ", text="y")], "document 3 .* empty `id`"),
        ([*some(2), Document(id="x", text=" ")], "document 3 .* empty `text`"),
        ([], "is empty"),
    ],
)
def test_no_documents_and_empty_ones_are_refused(tmp_path, documents, says):
    with pytest.raises(InputError, match=says):
        Corpus.build(tmp_path, documents)


@pytest.mark.parametrize("name", ["documents.arrow", "id_hashes.npy", "id_rows.npy", "corpus.json"])
def test_a_damaged_file_is_refused(tmp_path, name):
    Corpus.build(tmp_path, some(100))
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="again"):
        Corpus.open(tmp_path)


@pytest.mark.parametrize("name", ["documents.arrow", "id_hashes.npy", "id_rows.npy"])
def test_a_file_that_changed_is_refused_and_a_copy_is_opened(tmp_path, name):
    Corpus.build(tmp_path / "first", some(10))
    copy = Path(shutil.copytree(tmp_path / "first", tmp_path / "copy", copy_function=shutil.copyfile))
    assert list(Corpus.open(copy)) == some(10)
    content = bytearray((copy / name).read_bytes())
    place = content.find(b"text of") if name == "documents.arrow" else len(content) - 1
    content[place] ^= 1  # of the same length, and what it holds can still be read
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=f"damaged \\({name} holds other bytes than were written"):
        Corpus.open(copy)


def test_a_corpus_whose_files_kept_their_time_is_not_read_through(tmp_path, monkeypatch):
    hashed: list[Path] = []
    Corpus.build(tmp_path / "first", some(10))
    monkeypatch.setattr(module, "fingerprint_file", lambda path: hashed.append(path) or fingerprint_file(path))
    Corpus.open(tmp_path / "first")
    assert hashed == []
    copy = Path(shutil.copytree(tmp_path / "first", tmp_path / "copy", copy_function=shutil.copyfile))
    Corpus.open(copy)
    assert len(hashed) == 3
    Corpus.open(copy)
    assert len(hashed) == 3, "a copy is hashed once"


def test_an_unwritable_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Corpus.build(tmp_path / "file" / "corpus", some(1))


def test_threads_read_the_same(tmp_path):
    corpus = Corpus.build(tmp_path, some(200))
    wrong: list[int] = []

    def read(offset):
        for n in range(200):
            n = (n + offset) % 200
            if corpus.document(f"d{n}").title != f"Title {n}":
                wrong.append(n)

    threads = [threading.Thread(target=read, args=(50 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
