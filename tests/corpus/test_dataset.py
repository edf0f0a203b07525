from __future__ import annotations

import json

import pytest

from lrat_sim.catalog import load, names
from lrat_sim.corpus.dataset import Description, open_dataset, prepare
from lrat_sim.corpus.formats import reader_class
from lrat_sim.errors import FingerprintMismatch, InputError, UnknownName


@pytest.fixture
def small(write, source):
    write("corpus.jsonl", [{"id": f"d{n}", "text": f"text {n}"} for n in range(20)])
    write("tasks.jsonl", [{"id": f"q{n}", "question": f"Q{n}?", "evidence": [f"d{n}"]} for n in range(10)])
    return source


def test_every_description_names_a_reader_and_options_that_it_takes():
    import msgspec

    ours = {"2wikimultihopqa", "beir", "browsecomp-plus", "hotpotqa", "infoseek-eval", "jsonl", "musique", "scifact"}
    assert ours <= set(names("corpora"))
    for name in ours:
        found = load("corpora", name, Description)
        assert found.name == name
        msgspec.convert(found.options, type=reader_class(found.reader).options_type)


def test_a_prepared_set_is_opened_as_it_was(small, tmp_path):
    made = prepare("jsonl", tmp_path / "set", source=small, options={"test": 3, "seed": 5})
    opened = open_dataset(tmp_path / "set")
    assert not made.reused
    assert {split: len(tasks) for split, tasks in opened.splits.items()} == {"train": 7, "test": 3}
    assert opened.splits == made.splits
    assert opened.corpus.fingerprint == made.corpus.fingerprint
    assert opened.card == made.card
    assert repr(opened) == f"Dataset(jsonl: 20 documents; train 7, test 3; {tmp_path / 'set'})"
    with pytest.raises(InputError, match="no split 'ood'; it has train, test: name one of these with --split"):
        opened.tasks("ood")


def test_the_same_settings_reuse_and_say_so(small, tmp_path):
    prepare("jsonl", tmp_path / "set", source=small)
    before = (tmp_path / "set" / "corpus" / "documents.arrow").stat().st_mtime_ns
    said: list[str] = []
    again = prepare("jsonl", tmp_path / "set", source=small, progress=lambda done, total, what: said.append(what))
    assert again.reused
    assert "reused" in said[-1]
    assert (tmp_path / "set" / "corpus" / "documents.arrow").stat().st_mtime_ns == before
    assert prepare("jsonl", tmp_path / "set", source=tmp_path / "gone").reused


def test_other_settings_and_other_files_are_refused(small, tmp_path, write):
    prepare("jsonl", tmp_path / "set", source=small)
    with pytest.raises(FingerprintMismatch, match="option test was None and is now 2"):
        prepare("jsonl", tmp_path / "set", source=small, options={"test": 2})
    write("tasks.jsonl", [{"id": "q0", "question": "other?"}])
    with pytest.raises(FingerprintMismatch, match=r"file tasks\.jsonl was"):
        prepare("jsonl", tmp_path / "set", source=small)


def test_an_unfinished_set_is_made_anew(small, tmp_path):
    prepare("jsonl", tmp_path / "set", source=small)
    (tmp_path / "set" / "dataset.json").unlink()
    with pytest.raises(InputError, match="prepare the data set"):
        open_dataset(tmp_path / "set")
    assert not prepare("jsonl", tmp_path / "set", source=small).reused


def test_a_cut_task_file_is_refused(small, tmp_path):
    prepare("jsonl", tmp_path / "set", source=small)
    path = tmp_path / "set" / "tasks" / "test.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="holds 9 tasks instead of 10"):
        open_dataset(tmp_path / "set")


@pytest.mark.parametrize(
    ("corpus", "says"),
    [
        ([], "is empty"),
        ([{"text": "x"}], "line 1: no id"),
        ([{"id": "x"}], "line 1: no text"),
        (
            [{"id": n, "text": "x"} for n in "aba"],
            r"corpus.jsonl, line 3: the field `id` is 'a', as in .*corpus.jsonl, line 1",
        ),
        # empty documents are left out, and still count for the place
        (
            [{"id": n, "text": n.strip("a")} for n in ("b", "a", "c", "b")],
            r"line 4: the field `id` is 'b', as in .*line 1",
        ),
    ],
)
def test_a_bad_corpus_is_refused(small, tmp_path, write, corpus, says):
    write("corpus.jsonl", corpus)
    with pytest.raises(InputError, match=says):
        prepare("jsonl", tmp_path / "set", source=small)
    assert not (tmp_path / "set" / "dataset.json").exists()


def test_evidence_that_is_not_in_the_corpus_is_refused_or_dropped(small, tmp_path, write):
    evidence = {"a": ["d1"], "b": ["d1", "nowhere"], "c": ["none"]}
    write("tasks.jsonl", [{"id": i, "question": f"{i}?", "evidence": found} for i, found in evidence.items()])
    with pytest.raises(
        InputError,
        match=r"tasks.jsonl, line 2: task 'b' has the evidence 'nowhere'.*2 of 3 tasks.*missing_evidence: drop",
    ):
        prepare("jsonl", tmp_path / "set", source=small)
    with pytest.raises(InputError, match="prepare the data set"):
        open_dataset(tmp_path / "set")
    kept = prepare("jsonl", tmp_path / "set", source=small, options={"missing_evidence": "drop"})
    assert [task.id for task in kept.tasks("test")] == ["a"]
    assert kept.card.account() == [
        "Tasks with a plan: 0 of 1 (test 0).",
        "Tasks left out, since the corpus lacks some of their evidence: 2.",
    ]


def test_a_test_set_that_training_has_seen_is_refused(small, tmp_path, write):
    write("train.jsonl", [{"id": "other", "question": "q3"}])
    with pytest.raises(InputError, match="has the question of the training task 'other'"):
        prepare("jsonl", tmp_path / "set", source=small)
    kept = prepare("jsonl", tmp_path / "set", source=small, options={"leak": "drop"})
    assert kept.tasks("train") == []
    assert "1 training tasks were left out" in kept.card.notes[0]


def test_options_are_checked_at_the_door(small, tmp_path):
    for options, says in (({"shuffle": True}, "there is no `shuffle`"), ({"test": "many"}, "test")):
        with pytest.raises(InputError, match=says):
            prepare("jsonl", tmp_path / "set", source=small, options=options)


def test_unknown_names_and_missing_copies_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("LRAT_SIM_DATA", raising=False)
    with pytest.raises(UnknownName, match="no corpus or task set is called 'wikihop'"):
        prepare("wikihop", tmp_path / "set")
    fields = {"name": "mine", "title": "t", "licence": "l", "url": "u", "get": "g", "reader": "parquet"}
    (tmp_path / "mine.yaml").write_text(json.dumps(fields))
    with pytest.raises(UnknownName, match="no reader is called 'parquet'"):
        prepare(str(tmp_path / "mine.yaml"), tmp_path / "set")
    with pytest.raises(InputError, match=r"needs a local copy: download .* LRAT_SIM_DATA"):
        prepare("musique", tmp_path / "set")
    with pytest.raises(InputError, match="does not exist"):
        prepare("musique", tmp_path / "set", source=tmp_path / "gone")


def test_a_generated_world_is_prepared_from_its_settings_alone(tmp_path):
    options = {"documents": 1000, "train_tasks": 5, "dev_tasks": 0, "test_tasks": 5, "ood_tasks": 0}
    found = prepare("world", tmp_path / "set", options=options)
    assert len(found.corpus) == 1000
    assert all(task.plan is not None for task in found.tasks("test"))
    with pytest.raises(FingerprintMismatch, match="option seed was 0 and is now 1"):
        prepare("world", tmp_path / "set", options={**options, "seed": 1})


def test_questions_without_documents_say_so(write, source, tmp_path):
    write("InfoSeek-Eval.tsv", "e_0\tWho?\tA\n")
    found = prepare("infoseek-eval", tmp_path / "set", source=source)
    assert len(found.tasks("test")) == 1
    assert repr(found) == f"Dataset(infoseek-eval: no documents; test 1; {tmp_path / 'set'})"
    with pytest.raises(InputError, match="has no documents"):
        _ = open_dataset(tmp_path / "set").corpus


def test_empty_documents_are_left_out_and_counted_with_the_evidence_that_names_them(write, source, tmp_path):
    texts = {"a": ("T", "x"), "b": ("Only a title", ""), "c": ("", " "), "d": (None, None), "e": ("", "y")}
    documents = [{"id": i, "title": title, "text": text} for i, (title, text) in texts.items()]
    write("corpus.jsonl", [*documents, {"id": "f", "title": "Its text left out by the writer"}])
    write("test.jsonl", [{"id": "q1", "question": "1?", "evidence": ["a", "c"]}])
    write("train.jsonl", [{"id": "q2", "question": "2?", "evidence": ["d", "c"]}])
    found = prepare("jsonl", tmp_path / "set", source=source)
    assert [document.id for document in found.corpus] == ["a", "b", "e", "f"]
    assert [found.tasks(split)[0].evidence for split in ("test", "train")] == [["a"], []]
    left_out = "Documents left out, having neither text nor title: 2 (named as evidence: 3)."
    assert left_out in found.card.account()
    assert open_dataset(tmp_path / "set").card.account() == found.card.account()


def test_a_file_in_another_form_is_read_too_and_files_that_are_not_are_named(small, tmp_path, write):
    write("corpus.json.gz", [{"id": "of json", "text": "x"}])
    for name in ("corpus.jsonl.zip", "more.json.gz", ".hidden", "README.md", "LICENSE"):
        write(name, "{}")
    found = prepare("jsonl", tmp_path / "set", source=small)
    assert found.card.notes == ["Files that are not read: corpus.jsonl.zip, more.json.gz."]
    assert len(found.corpus) == 21


def test_a_named_file_of_no_known_format_is_told_from_one_that_is_not_there(small, tmp_path):
    (small / "corpus.docx").write_text("x")
    for name, says in (("corpus.docx", r"corpus\.docx cannot be read"), ("gone.jsonl", r"has no gone\.jsonl of a ")):
        with pytest.raises(InputError, match=says):
            prepare("jsonl", tmp_path / "set", source=small, options={"corpus": name})


@pytest.mark.parametrize(
    ("lines", "options", "says"),
    [
        ([], {}, "has no tasks: its files hold none"),
        (
            [{"id": "q", "question": "?", "evidence": ["gone"]}],
            {"missing_evidence": "drop"},
            "has no tasks: the corpus lacks evidence of all 1",
        ),
        (
            [{"id": "q", "question": f"{n}?"} for n in "12"],
            {},
            r"line 2: the task id 'q' was given before \(.*line 1\)",
        ),
    ],
)
def test_bad_tasks_are_refused(small, tmp_path, write, lines, options, says):
    write("tasks.jsonl", lines)
    with pytest.raises(InputError, match=says):
        prepare("jsonl", tmp_path / "set", source=small, options=options)
    assert not (tmp_path / "set" / "dataset.json").exists()


def test_documents_alone_need_no_tasks(small, tmp_path):
    (small / "tasks.jsonl").unlink()
    for name, source in (("folder", small), ("file", small / "corpus.jsonl")):
        found = prepare("jsonl", tmp_path / name, source=source)
        assert (len(found.corpus), found.splits) == (20, {})
        with pytest.raises(InputError, match="it has no tasks at all"):
            found.tasks("train")


def test_fewer_tasks_than_are_to_be_held_out_are_all_for_testing(small, tmp_path):
    found = prepare("jsonl", tmp_path / "set", source=small, options={"test": 25})
    assert {split: len(tasks) for split, tasks in found.splits.items()} == {"test": 10}
    assert "All 10 tasks are held out, fewer than the 25 asked for." in found.card.account()


def test_files_of_one_name_in_two_folders_are_both_part_of_the_identity(tmp_path, source, write):
    write("corpus/data.jsonl", [{"id": "a", "text": "x"}])
    write("test/data.jsonl", [{"id": "q", "question": "?"}])
    prepare("jsonl", tmp_path / "set", source=source)
    write("corpus/data.jsonl", [{"id": "a", "text": "y"}])
    with pytest.raises(FingerprintMismatch, match=r"file corpus/data\.jsonl was"):
        prepare("jsonl", tmp_path / "set", source=source)


def test_a_set_whose_reader_has_changed_since_is_not_reused(small, tmp_path, monkeypatch):
    prepare("jsonl", tmp_path / "set", source=small)
    monkeypatch.setattr(reader_class("generic"), "version", 99)
    with pytest.raises(FingerprintMismatch, match="version was"):
        prepare("jsonl", tmp_path / "set", source=small)
