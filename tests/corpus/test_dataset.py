from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrat_sim.catalog import names
from lrat_sim.corpus.dataset import open_dataset, prepare
from lrat_sim.corpus.description import describe
from lrat_sim.corpus.formats import reader_class
from lrat_sim.errors import FingerprintMismatch, InputError, RecordError, UnknownName


@pytest.fixture
def small(write: Callable[..., Path], source: Path) -> Path:
    write("corpus.jsonl", [{"id": f"d{n}", "text": f"text {n}"} for n in range(20)])
    write("tasks.jsonl", [{"id": f"q{n}", "question": f"Q{n}?", "evidence": [f"d{n}"]} for n in range(10)])
    return source


def test_every_description_names_a_reader_and_options_that_it_takes() -> None:
    import msgspec

    ours = {"2wikimultihopqa", "beir", "browsecomp-plus", "hotpotqa", "infoseek-eval", "jsonl", "musique", "scifact"}
    assert ours <= set(names("corpora"))
    for name in ours:
        found = describe(name)
        assert found.name == name
        msgspec.convert(found.options, type=reader_class(found.reader).options_type)


def test_a_prepared_set_is_opened_as_it_was(small: Path, tmp_path: Path) -> None:
    made = prepare("jsonl", tmp_path / "set", source=small, options={"test": 3, "seed": 5})
    opened = open_dataset(tmp_path / "set")
    assert not made.reused
    assert {split: len(tasks) for split, tasks in opened.splits.items()} == {"train": 7, "test": 3}
    assert opened.splits == made.splits
    assert opened.corpus.fingerprint == made.corpus.fingerprint
    assert opened.card == made.card
    with pytest.raises(InputError, match="no split 'ood'"):
        opened.tasks("ood")


def test_the_same_settings_reuse_and_say_so(small: Path, tmp_path: Path) -> None:
    prepare("jsonl", tmp_path / "set", source=small)
    before = (tmp_path / "set" / "corpus" / "documents.arrow").stat().st_mtime_ns
    said: list[str] = []
    again = prepare("jsonl", tmp_path / "set", source=small, progress=lambda done, total, what: said.append(what))
    assert again.reused
    assert "reused" in said[-1]
    assert (tmp_path / "set" / "corpus" / "documents.arrow").stat().st_mtime_ns == before


def test_a_prepared_set_is_reused_without_its_source(small: Path, tmp_path: Path) -> None:
    prepare("jsonl", tmp_path / "set", source=small)
    assert prepare("jsonl", tmp_path / "set", source=tmp_path / "gone").reused


def test_other_settings_and_other_files_are_refused(small: Path, tmp_path: Path, write: Callable[..., Path]) -> None:
    prepare("jsonl", tmp_path / "set", source=small)
    with pytest.raises(FingerprintMismatch, match="option test was None and is now 2"):
        prepare("jsonl", tmp_path / "set", source=small, options={"test": 2})
    write("tasks.jsonl", [{"id": "q0", "question": "other?"}])
    with pytest.raises(FingerprintMismatch, match=r"file tasks\.jsonl was"):
        prepare("jsonl", tmp_path / "set", source=small)


def test_an_unfinished_set_is_made_anew(small: Path, tmp_path: Path) -> None:
    prepare("jsonl", tmp_path / "set", source=small)
    (tmp_path / "set" / "dataset.json").unlink()
    with pytest.raises(InputError, match="prepare it first"):
        open_dataset(tmp_path / "set")
    assert not prepare("jsonl", tmp_path / "set", source=small).reused


def test_a_cut_task_file_is_refused(small: Path, tmp_path: Path) -> None:
    prepare("jsonl", tmp_path / "set", source=small)
    path = tmp_path / "set" / "tasks" / "test.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="holds 9 tasks instead of 10"):
        open_dataset(tmp_path / "set")


def test_a_duplicate_id_is_placed_by_file_and_line(small: Path, tmp_path: Path, write: Callable[..., Path]) -> None:
    write("corpus.jsonl", [{"id": n, "text": "x"} for n in ("a", "b", "a")])
    with pytest.raises(RecordError, match=r"corpus.jsonl, line 3: the field `id` is 'a', as in .*corpus.jsonl, line 1"):
        prepare("jsonl", tmp_path / "set", source=small)


@pytest.mark.parametrize(
    ("corpus", "says"),
    [([], "is empty"), ([{"text": "x"}], "line 1: no id"), ([{"id": "x"}], "line 1: no text")],
)
def test_a_bad_corpus_is_refused(
    small: Path, tmp_path: Path, write: Callable[..., Path], corpus: list[Any], says: str
) -> None:
    write("corpus.jsonl", corpus)
    with pytest.raises(InputError, match=says):
        prepare("jsonl", tmp_path / "set", source=small)
    assert not (tmp_path / "set" / "dataset.json").exists()


def test_evidence_that_is_not_in_the_corpus_is_refused_or_dropped(
    small: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    evidence = {"a": ["d1"], "b": ["d1", "nowhere"], "c": ["none"]}
    write("tasks.jsonl", [{"id": i, "question": f"{i}?", "evidence": found} for i, found in evidence.items()])
    with pytest.raises(
        InputError,
        match=r"tasks.jsonl, line 2: task 'b' has the evidence 'nowhere'.*2 of 3 tasks.*missing_evidence: drop",
    ):
        prepare("jsonl", tmp_path / "set", source=small)
    with pytest.raises(InputError, match="prepare it first"):
        open_dataset(tmp_path / "set")
    kept = prepare("jsonl", tmp_path / "set", source=small, options={"missing_evidence": "drop"})
    assert [task.id for task in kept.tasks("test")] == ["a"]
    assert kept.card.dropped == 2


def test_a_repeated_task_id_is_placed(small: Path, tmp_path: Path, write: Callable[..., Path]) -> None:
    write("tasks.jsonl", [{"id": "q", "question": f"{n}?"} for n in range(2)])
    with pytest.raises(InputError, match=r"line 2: the task id 'q' was given before \(.*line 1\)"):
        prepare("jsonl", tmp_path / "set", source=small)


def test_a_test_set_that_training_has_seen_is_refused(small: Path, tmp_path: Path, write: Callable[..., Path]) -> None:
    write("train.jsonl", [{"id": "other", "question": "q3"}])
    with pytest.raises(InputError, match="has the question of the training task 'other'"):
        prepare("jsonl", tmp_path / "set", source=small)
    kept = prepare("jsonl", tmp_path / "set", source=small, options={"leak": "drop"})
    assert kept.tasks("train") == []
    assert "1 training tasks were left out" in kept.card.notes[0]


def test_options_are_checked_at_the_door(small: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown field `shuffle`"):
        prepare("jsonl", tmp_path / "set", source=small, options={"shuffle": True})
    with pytest.raises(InputError, match="test"):
        prepare("jsonl", tmp_path / "set", source=small, options={"test": "many"})


def test_unknown_names_and_missing_copies_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRAT_SIM_DATA", raising=False)
    with pytest.raises(UnknownName, match="no corpus or task set is called 'wikihop'"):
        prepare("wikihop", tmp_path / "set")
    with pytest.raises(InputError, match=r"needs a local copy: download .* LRAT_SIM_DATA"):
        prepare("musique", tmp_path / "set")
    with pytest.raises(InputError, match="does not exist"):
        prepare("musique", tmp_path / "set", source=tmp_path / "gone")


def test_a_description_with_an_unknown_reader_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    fields = {"name": "mine", "title": "t", "licence": "l", "url": "u", "get": "g", "reader": "parquet"}
    path.write_text(json.dumps(fields))
    with pytest.raises(UnknownName, match="no reader is called 'parquet'"):
        prepare(str(path), tmp_path / "set")


def test_a_generated_world_is_prepared_from_its_settings_alone(tmp_path: Path) -> None:
    options = {"documents": 1000, "train_tasks": 5, "dev_tasks": 0, "test_tasks": 5, "ood_tasks": 0}
    found = prepare("world", tmp_path / "set", options=options)
    assert len(found.corpus) == 1000
    assert all(task.plan is not None for task in found.tasks("test"))
    with pytest.raises(FingerprintMismatch, match="option seed was 0 and is now 1"):
        prepare("world", tmp_path / "set", options={**options, "seed": 1})


def test_questions_without_documents_say_so(write: Callable[..., Path], source: Path, tmp_path: Path) -> None:
    write("InfoSeek-Eval.tsv", "e_0\tWho?\tA\n")
    found = prepare("infoseek-eval", tmp_path / "set", source=source)
    assert len(found.tasks("test")) == 1
    with pytest.raises(InputError, match="has no documents"):
        _ = open_dataset(tmp_path / "set").corpus
