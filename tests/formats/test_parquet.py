from __future__ import annotations

import tracemalloc

import msgspec
import pyarrow.parquet as pq
import pytest
import yaml

from lrat_sim.errors import InputError, RecordError
from lrat_sim.formats import About, read_any, recognise
from lrat_sim.formats import parquet as module
from lrat_sim.formats.hub import RecordColumns
from lrat_sim.records import NOUNS, Hop, Plan, Task

PLAN = Plan(hops=[Hop(subject="a", relation="b", object="c", phrasings=["d"])], operator="same")
NEVER = Task(id="t9", question="Never asked?", answers=["no"], plan=PLAN)


def test_a_data_set_is_read_back_equal_and_so_is_an_empty_one(entries, tmp_path):
    assert module.write(iter(()), tmp_path / "empty", About()) == 0
    assert list(read_any(tmp_path / "empty")) == []
    assert module.write(iter(entries), tmp_path / "out", About(unrun=[NEVER])) == 4
    assert recognise(tmp_path / "out").name == "parquet"
    assert list(read_any(tmp_path / "out")) == entries
    assert [task.id for task in module.FORMAT.tasks(tmp_path / "out")] == ["t1", "t3", "t2", "t9"]
    assert [*module.FORMAT.tasks(tmp_path / "out")][-1] == NEVER


def test_datasets_opens_it_with_columns_to_ask_for(entries, tmp_path, monkeypatch):
    module.write(iter(entries), tmp_path / "out", About(unrun=[NEVER]))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    opened = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert opened["id"][:] == [entry.trajectory.id for entry in entries]
    first = opened[0]
    assert (first["agent_name"], first["retriever_name"], first["grade"]) == ("scripted", "bm25", "correct")
    assert first["queries"] == ["q one", "q three"]
    assert (first["shown"], first["opened"], first["answers"]) == (["d1", "d2"], ["d2"], ["blue", "azure"])
    assert (first["turn_count"], first["searches"], first["browses"], first["failed_calls"]) == (4, 2, 1, 1)
    assert first["turns"][0]["calls"][0]["hits"][1] == {"docid": "d2", "score": 7.5, "rank": 2}
    assert [turn["reasoning"] for turn in first["turns"]] == ["First I look.", "", None, "So it is 中文."]
    assert first["verdicts"][0]["state"] == "relevant"
    assert [grade["judge"] for grade in first["grades"]] == ["j1", "j2"]
    tasks = datasets.load_dataset(str(tmp_path / "out"), "tasks", split="train", cache_dir=str(tmp_path / "cache"))
    assert tasks["id"][:] == ["t1", "t3", "t2", "t9"]


def test_the_card_names_every_column_and_counts_what_is_there(entries, tmp_path):
    module.write(iter(entries), tmp_path / "out", About(name="Colours", license="cc-by-4.0", language="cs"))
    _, head, text = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    described = yaml.safe_load(head)
    assert (described["pretty_name"], described["license"], described["language"]) == ("Colours", "cc-by-4.0", ["cs"])
    assert {"task_categories", "tags", "configs"} <= set(described)
    columns = pq.read_schema(tmp_path / "out" / "data" / "trajectories-00000.parquet").names
    assert [name for name in columns if f"| `{name}` |" not in text] == []
    # t1: correct and a run without an answer, t2 broke, so success is the mean of 50 and 0; t3 correct
    assert "| scripted | bm25 | 3 | 1 | 1 | 1 | 1 | 0 | 25.0 |" in text
    assert "| scripted | dense | 1 | 1 | 0 | 0 | 1 | 0 | 100.0 |" in text


def test_rows_are_written_in_groups_and_shards_and_no_more_is_in_memory(make, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROW_GROUP", 10)
    monkeypatch.setattr(module, "SHARD", 100)
    text = "word " * 4000  # 20 kB an output

    def many(count):
        for number in range(count):
            entry = make(f"t{number}")
            yield msgspec.structs.replace(entry, trajectory=msgspec.structs.replace(entry.trajectory, answer=text))

    tracemalloc.start()
    assert module.write(many(250), tmp_path / "out", About()) == 250
    shards = sorted((tmp_path / "out" / "data").glob("trajectories-*.parquet"))
    assert [pq.read_metadata(shard).num_rows for shard in shards] == [100, 100, 50]
    assert pq.read_metadata(shards[0]).num_row_groups == 10
    assert sum(1 for _ in read_any(tmp_path / "out")) == 250
    assert tracemalloc.get_traced_memory()[1] < 250 * len(text) / 2
    tracemalloc.stop()


@pytest.mark.parametrize("noun", sorted(NOUNS))
def test_every_record_has_columns(noun):
    assert [field.name for field in RecordColumns(NOUNS[noun]).type] == list(NOUNS[noun].__struct_fields__)


def test_a_number_that_no_column_holds_is_refused(make, tmp_path):
    with pytest.raises(InputError, match="cannot be written as Parquet"):
        module.write(iter([make("t", seed=2**63)]), tmp_path / "out", About())


def test_damage_is_said_with_the_file(entries, tmp_path):
    module.write(iter(entries), tmp_path / "out", About())
    file = tmp_path / "out" / "data" / "trajectories-00000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.schema.get_field_index("extra"), "extra", [["{"] * 4]), file)
    with pytest.raises(RecordError, match=r"trajectories-00000\.parquet, row 1: not the record it should be"):
        list(read_any(tmp_path / "out", "parquet"))
    file.write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match=r"trajectories-00000\.parquet cannot be read"):
        list(read_any(tmp_path / "out", "parquet"))
