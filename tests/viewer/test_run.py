import shutil

import pytest
from msgspec.structs import replace

from lrat_sim.artifact import Store, write_records
from lrat_sim.errors import InputError
from lrat_sim.records import Grade, Task, Verdict, encode
from lrat_sim.rollout.index import row, write_index
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.listing import Query, select
from lrat_sim.viewer.run import RunFolder


def append(path, *records):
    with path.open("ab") as stream:
        offsets = []
        for record in records:
            offsets.append(stream.tell())
            stream.write(encode(record) + b"\n")
    return offsets


@pytest.fixture
def folder(tmp_path, make):
    run = tmp_path / "run"
    run.mkdir()
    write_records(run / "tasks.jsonl", [Task(id=f"t{n}", question=f"Q{n}?", evidence=["e", "f"]) for n in range(9)])
    return run


def test_a_run_is_followed_while_it_goes_on_and_when_its_index_comes(folder, make):
    path = folder / "trajectories.jsonl"
    first, second = (make.run(make.turn(make.search("q", ["e", "x"])), id=f"t{n}.0", task=f"t{n}") for n in (1, 2))
    run = RunFolder(folder, "run")
    append(path, first)
    assert run.refresh()
    assert run.table["id"].to_pylist() == ["t1.0"]
    with path.open("ab") as stream:
        stream.write(encode(second)[:40])  # under way
    run.refresh()
    assert run.table["id"].to_pylist() == ["t1.0"]
    with path.open("ab") as stream:
        stream.write(encode(second)[40:] + b"\n")
    assert run.refresh(evidence=True)
    assert run.table["id"].to_pylist() == ["t1.0", "t2.0"]
    assert run.table["evidence_shown"].to_pylist() == [1, 1]
    assert run.trajectory("t2.0") == second
    offsets = [run.table["offset"][place].as_py() for place in range(2)]
    write_index(folder, [row(first, offsets[0]), row(second, offsets[1])])
    again = replace(first, status="error", answer=None, end_reason="error")
    append(path, again)
    assert run.refresh()
    outcomes = dict(zip(run.table["id"].to_pylist(), run.table["outcome"].to_pylist(), strict=True))
    assert outcomes == {"t1.0": "error", "t2.0": "ungraded"}
    assert run.trajectory("t1.0") == again
    assert not run.refresh()


@pytest.mark.parametrize("in_place", [False, True])
def test_trajectories_that_were_replaced_are_read_again(folder, make, in_place):
    path, beside = folder / "trajectories.jsonl", folder / "beside.jsonl"
    found, missed = (make.turn(make.search("q", docids)) for docids in (["e"], ["x"]))
    write_records(path, [make.run(found, id="t1.0"), make.run(found, id="t2.0", task="t2")])
    run = RunFolder(folder, "run")
    run.refresh(evidence=True)
    write_records(beside, [make.run(missed, id="t3.0", task="t3"), make.run(found, id="t4.0", task="t4")])
    assert beside.stat().st_size == path.stat().st_size
    path.write_bytes(beside.read_bytes()) if in_place else beside.replace(path)
    assert run.refresh(evidence=True)
    assert run.table["id"].to_pylist() == ["t3.0", "t4.0"]
    assert run.table["evidence_shown"].to_pylist() == [0, 1]
    path.unlink()
    run.refresh()
    assert run.table.num_rows == 0


def test_verdicts_are_found_as_they_come_and_a_torn_one_when_it_is_whole(folder, make):
    append(folder / "trajectories.jsonl", make.run(make.turn()))
    run = RunFolder(folder, "run")
    assert run.verdicts.of("t1.0") == []
    first, second = (Verdict(trajectory_id="t1.0", turn=n, call=0, state="relevant", judge="j") for n in (0, 1))
    append(folder / "verdicts.jsonl", first, Verdict(trajectory_id="z", turn=0, call=0, state="relevant", judge="j"))
    assert run.verdicts.of("t1.0") == [first]
    line = encode(second) + b"\n"
    for part, expected in ((line[:20], [first]), (line[20:], [first, second])):
        with (folder / "verdicts.jsonl").open("ab") as stream:
            stream.write(part)
        assert run.verdicts.of("t1.0") == expected


def test_grades_count_as_they_come_the_latest_last(folder, make):
    append(folder / "trajectories.jsonl", make.run(make.turn()))
    run = RunFolder(folder, "run")
    run.refresh()
    assert run.table["outcome"].to_pylist() == ["ungraded"]
    with Store(folder / "grades.jsonl", Grade) as store:
        store.append(Grade(trajectory_id="t1.0", state="incorrect", judge="one"))
        assert run.refresh()
        assert run.table["outcome"].to_pylist() == ["incorrect"]
        store.append(Grade(trajectory_id="t1.0", state="correct", judge="two"))
    run.refresh()
    assert run.table["outcome"].to_pylist() == ["correct"]
    assert [grade.judge for grade in run.grades.of("t1.0")] == ["one", "two"]


def test_an_index_of_other_trajectories_is_not_believed(folder, make):
    path = folder / "trajectories.jsonl"
    old = make.run(make.turn(), id="old", task="t1")
    write_index(folder, [row(old, 0)])
    append(path, make.run(make.turn(), id="new", task="t2"))
    run = RunFolder(folder, "run")
    run.refresh()
    assert run.table["id"].to_pylist() == ["new"]


def test_a_line_that_cannot_be_read_is_named_and_the_rest_is_shown(folder, make):
    append(folder / "trajectories.jsonl", make.run(make.turn()))
    (folder / "grades.jsonl").write_text('{"trajectory_id": 7}\n')
    append(folder / "verdicts.jsonl", Verdict(trajectory_id="t1.0", turn=0, call=0, state="relevant", judge="j"))
    (folder / "index.parquet").write_bytes(b"no parquet")
    run = RunFolder(folder, "run")
    run.refresh()
    assert run.table.num_rows == 1
    assert len(run.verdicts.of("t1.0")) == 1
    assert [problem for problem in run.problems if "grades.jsonl, line 1" in problem]
    assert [problem for problem in run.problems if "index.parquet" in problem]


def test_an_offset_that_leads_to_another_record_is_an_error_not_another_run(folder, make):
    first, second = make.run(make.turn(), id="one"), make.run(make.turn(), id="two", task="t2")
    append(folder / "trajectories.jsonl", first, second)
    run = RunFolder(folder, "run")
    run.refresh()
    write_records(folder / "trajectories.jsonl", [second, first])
    with pytest.raises(InputError, match="does not fit"):
        run.trajectory("one")
    with pytest.raises(InputError, match="has no trajectory 'three'"):
        run.trajectory("three")


def test_a_merged_folder_is_shown_as_one_run_for_each_retriever(folder, make):
    other = {"kind": "dense", "model": "/somewhere/minilm", "fingerprint": "r2"}
    append(folder / "trajectories.jsonl", make.run(make.turn()), make.run(make.turn(), id="z", retriever=other))
    assert Library(folder).table["arm"].to_pylist() == ["run · someone · bm25", "run · someone · dense minilm"]


def test_25_000_trajectories_open_and_page_without_reading_them(folder, make, tmp_path):
    """The file is as long as that of such a run, and empty but for the records that are looked at."""
    count, size = 25_000, 60_000
    tasks = (Task(id=f"t{n}", question=f"Which of {n}?", evidence=["e"]) for n in range(count))
    write_records(folder / "tasks.jsonl", tasks)
    turn = make.turn(make.search("q", ["e"]))
    wanted = {n: make.run(turn, id=f"t{n}.0", task=f"t{n}") for n in (0, 17_000, count - 1)}
    with (folder / "trajectories.jsonl").open("wb") as stream:
        for n, trajectory in wanted.items():
            stream.seek(n * size)
            stream.write(encode(trajectory) + b"\n")
    if shutil.disk_usage(tmp_path).free < 1 << 20 or (folder / "trajectories.jsonl").stat().st_blocks > 1000:
        pytest.skip("the file system does not leave out what was not written")
    plain = row(wanted[0], 0)
    write_index(folder, (replace(plain, id=f"t{n}.0", task_id=f"t{n}", offset=n * size) for n in range(count)))
    grades = (Grade(trajectory_id=f"t{n}.0", state="correct", judge="j") for n in range(count))
    write_records(folder / "grades.jsonl", grades)
    library = Library(folder)
    page = select(library.table, Query(sort="-task", page=250, outcome="correct", q="which of"))
    found = library.run("run").trajectory("t17000.0")
    assert (page.total, page.pages, len(page.rows)) == (count, 500, 50)
    assert found == wanted[17_000]
    assert not library.counted
