from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lrat_sim import keys
from lrat_sim.catalog import read_yaml
from lrat_sim.errors import InputError, UnknownName
from lrat_sim.formats import (
    FORMATS,
    About,
    convert,
    format_named,
    inspect_written,
    merge_runs,
    read_any,
    recognise,
    split_run,
    verifiers_written,
)
from lrat_sim.grading.run import grade_run, run_tables
from lrat_sim.records import Failure, Grade, Task, Usage, Verdict
from lrat_sim.rollout.index import asked_tasks

RunFolder = Callable[..., Path]
FILES = Path(__file__).parent / "files"
CANARY = "canary GUID 26b5c67b"
SECRET = "Who hid the golden key?"
WRITTEN = [name for name in FORMATS if format_named(name).write is not None]


@pytest.fixture
def mixed(make, run_folder):
    """A run with a question of a benchmark that has a canary, another that says so itself, and a plain one."""
    told = make("t1", question=SECRET)
    assert told.task
    told = msgspec.structs.replace(told, task=msgspec.structs.replace(told.task, canary=CANARY))
    own = make("t2", question=SECRET, extra={"canary": CANARY})
    unrun = Task(id="t9", question=SECRET, canary=CANARY)
    return run_folder("mixed", [told, own, make("t3")], unrun)


@pytest.fixture
def run(entries, run_folder):
    return run_folder("run", entries)


def everything(path):
    """All that stands in an output, what is compressed included."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    texts = [file.read_bytes().decode("utf-8", "replace") for file in files if file.suffix != ".parquet"]
    if any(file.suffix == ".parquet" and file.parent.name == "data" for file in files):
        import pyarrow.parquet as pq

        texts += [str(pq.read_table(file).to_pylist()) for file in files if file.suffix == ".parquet"]
    return "".join(texts)


@pytest.mark.parametrize("to", WRITTEN)
def test_questions_with_a_canary_are_withheld_and_counted(to, mixed, tmp_path):
    summary = convert(mixed, tmp_path / "out", to=to)
    assert (summary.written, summary.withheld) == (1, 2 + 1)
    assert "3 withheld" in summary.sentence()
    held = everything(tmp_path / "out")
    assert SECRET not in held
    assert "t1" not in held
    assert "t3" in held


@pytest.mark.parametrize("to", [name for name in WRITTEN if format_named(name).read is not None])
def test_questions_with_a_canary_are_written_with_it_where_asked_for(to, mixed, tmp_path):
    summary = convert(mixed, tmp_path / "out", to=to, include_canaried=True)
    assert (summary.written, summary.withheld) == (3, 0)
    assert CANARY in everything(tmp_path / "out")
    back = {entry.trajectory.task_id: entry.canary for entry in read_any(tmp_path / "out", to)}
    assert back == {"t1": CANARY, "t2": CANARY, "t3": None}
    again = convert(tmp_path / "out", tmp_path / "again", to="openai")  # the mark travels on
    assert again.written == 1


@pytest.mark.parametrize(("only", "kept"), [("all", 4), ("answered", 2), ("correct", 1)])
def test_only_what_is_asked_for_is_written(only, kept, entries, run_folder, tmp_path):
    wrong = msgspec.structs.replace(entries[2], grades=entries[2].grades[:1])  # incorrect
    run = run_folder("run", [entries[0], entries[1], wrong, entries[3]])
    summary = convert(run, tmp_path / "out.jsonl", to="openai", only=only)
    assert (summary.written, summary.left_out) == (kept, 4 - kept)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == kept


def test_correct_ones_of_a_run_without_grades_are_refused(entries, run_folder, tmp_path):
    run = run_folder("run", [msgspec.structs.replace(entry, grades=[]) for entry in entries])
    with pytest.raises(InputError, match=r"has no grades.*grade it first"):
        convert(run, tmp_path / "out.jsonl", to="openai", only="correct")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_run_goes_to_parquet_and_back_with_all_that_belongs_to_it(entries, run_folder, tmp_path):
    run = run_folder("run", entries, Task(id="t9", question="Never?"))
    convert(run, tmp_path / "parquet", to="parquet", license="mit")
    convert(tmp_path / "parquet", tmp_path / "back", to="run")
    for name in ("tasks.jsonl", "trajectories.jsonl", "grades.jsonl", "verdicts.jsonl"):
        assert (tmp_path / "back" / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.parametrize("to", ["lrat", "openai"])
def test_own_trajectories_keep_texts_calls_and_status(to, entries, tmp_path):
    assert format_named(to).write(iter(entries), tmp_path / "out", About()) == 4
    assert recognise(tmp_path / "out").name == to
    back = {(entry.trajectory.task_id, entry.trajectory.sample): entry for entry in read_any(tmp_path / "out")}
    assert len(back) == 4
    names = ["t1.json", "t1_1.json", "t2.json", "t3.json"]
    assert to == "openai" or sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    for entry in entries:
        other = back[entry.trajectory.task_id, entry.trajectory.sample]
        ours, theirs = entry.trajectory, other.trajectory
        known = ("id", "seed") if to == "openai" else ("error",)
        for field in ("question", "status", "end_reason", "answer", *known):
            assert getattr(ours, field) == getattr(theirs, field)
        for call, found in zip(ours.calls(), theirs.calls(), strict=True):
            for field in ("tool", "arguments", "executed", "output", "docid", *(["id"] if to == "openai" else [])):
                assert getattr(call, field) == getattr(found, field)
            assert (call.error is None) == (found.error is None)
            assert [hit.docid for hit in call.hits or ()] == [hit.docid for hit in found.hits or ()]
        if to == "openai":  # the other format knows neither turns nor grades
            assert [(turn.reasoning, turn.text) for turn in ours.turns] == [(t.reasoning, t.text) for t in theirs.turns]
            assert other.task.answers == entry.task.answers
            assert (other.grade and other.grade.state) == (entry.grade and entry.grade.state)


def test_an_own_output_is_replaced_and_nothing_else(run, tmp_path):
    for to, out in (("lrat", tmp_path / "folder"), ("openai", tmp_path / "file.jsonl")):
        first = convert(run, out, to=to)
        assert convert(run, out, to=to, only="answered").written < first.written
        changed = out / "t1.json" if out.is_dir() else out
        changed.write_text(changed.read_text().swapcase())  # as many bytes as before
        with pytest.raises(InputError, match="was changed since it was written"):
            convert(run, out, to=to)
    convert(run, tmp_path / "grown", to="run")
    (tmp_path / "grown" / "pairs.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="was changed"):
        convert(run, tmp_path / "grown", to="run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for out in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(InputError, match="no output of a conversion"):
            convert(run, out, to="lrat")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    with pytest.raises(InputError, match="lie in one another"):
        convert(run, run / "inside", to="lrat")


def test_a_source_that_breaks_off_leaves_no_output_and_the_earlier_one(run, tmp_path):
    convert(run, tmp_path / "out", to="lrat")
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    with (run / "trajectories.jsonl").open("a") as stream:
        stream.write('{"id": "x", "schema_version": 1}\n')
    with pytest.raises(InputError, match=r"trajectories\.jsonl, line 5"):
        convert(run, tmp_path / "out", to="lrat")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


@pytest.mark.parametrize("to", ["parquet", "openai"])
def test_two_conversions_to_one_target_do_not_both_win(to, run, entries, tmp_path):
    target = tmp_path / "out"
    refused = []

    def meanwhile(*_):
        with pytest.raises(InputError, match="is being written by another process") as raised:
            convert(run, target, to=to)
        refused.append(str(raised.value))

    convert(run, target, to=to, progress=meanwhile)
    assert len(refused) == len(entries)
    assert convert(run, target, to=to).written == len(entries), "what the loser left stands in the way"
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_a_killed_conversion_left_does_not_stand_in_the_way(run, tmp_path):
    (tmp_path / ".out.lock").touch()
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "half").write_text("x")
    convert(run, tmp_path / "out", to="lrat")
    assert not (tmp_path / "out" / "half").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_keys_of_the_environment_are_in_no_export(make, run_folder, tmp_path, monkeypatch):
    run = run_folder("run", [make("t1", answer="it is s3cret-of-a-provider")])
    monkeypatch.setattr(keys, "_known", set())
    monkeypatch.setattr(keys, "_written", ())
    monkeypatch.setenv("PROVIDER_API_KEY", "s3cret-of-a-provider")
    keys.read_environment()
    for to in WRITTEN:
        convert(run, tmp_path / "out" / to, to=to)
        assert "of-a-provider" not in everything(tmp_path / "out" / to)


def test_an_output_says_where_it_came_from_without_a_path(run, tmp_path):
    told = []
    convert(run, tmp_path / "out", to="lrat", progress=lambda done, total, what: told.append(done))
    mark = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert mark["made"]["from"] == "run"
    assert (mark["made"]["from_format"], mark["made"]["written"]) == ("run", 4)
    assert str(tmp_path) not in json.dumps(mark)
    assert told == [1, 2, 3, 4]


def test_unknown_formats_and_sources_are_refused(run, tmp_path):
    with pytest.raises(UnknownName, match="known are"):
        convert(run, tmp_path / "out", to="xml")
    with pytest.raises(InputError, match="does not exist"):
        convert(tmp_path / "nothing", tmp_path / "out", to="lrat")
    with pytest.raises(InputError, match="can only be written"):
        convert(run, tmp_path / "out", to="lrat", source_format="trec")
    (tmp_path / "text.json").write_text('{"some": "thing"}')
    with pytest.raises(InputError, match="was not recognised; name it"):
        convert(tmp_path / "text.json", tmp_path / "out", to="lrat")
    for name in FORMATS:  # each module has the format that it is registered for
        assert format_named(name).name == name


def test_trec_files_hold_what_was_shown_and_the_evidence(entries, tmp_path):
    trec = format_named("trec")
    assert trec.write
    assert trec.write(iter(entries), tmp_path / "out", About()) == 4
    lines = [line.split() for line in (tmp_path / "out" / "run.trec").read_text().splitlines()]
    assert [(line[0], line[2], line[3]) for line in lines[:2]] == [("t1", "d1", "1"), ("t1", "d2", "2")]
    # a list of its own for each run: no tag has a document twice
    assert len({(line[0], line[2], line[5]) for line in lines}) == len(lines)
    assert (tmp_path / "out" / "qrels.trec").read_text().splitlines() == ["t1 0 d2 1", "t3 0 d2 1", "t2 0 d2 1"]


@pytest.mark.parametrize(("name", "runs"), [("inspect-rivers.eval", 2), ("verifiers-traces.jsonl", 4)])
def test_what_other_tools_recorded_becomes_a_run_folder(name, runs, tmp_path):
    source = Path(__file__).parent / "files" / name
    assert convert(source, tmp_path / "run", to="run").written == runs
    back = {entry.trajectory.id: entry for entry in read_any(tmp_path / "run")}
    assert all(back[entry.trajectory.id] == entry for entry in read_any(source))


# --- merging and splitting


def test_the_same_trajectory_twice_is_kept_once_with_the_judgements_of_both(entries, run_folder, tmp_path):
    name = entries[0].trajectory.id
    slower = msgspec.structs.replace(entries[0].trajectory, seconds=9.0)
    verdict = Verdict(trajectory_id=name, turn=1, call=0, state="irrelevant", judge="other")
    again = msgspec.structs.replace(entries[0], trajectory=slower, verdicts=[*entries[0].verdicts, verdict])
    one, two = run_folder("one", entries[:2]), run_folder("two", [again, *entries[2:]], Task(id="t9", question="?"))
    summary = merge_runs([one, two], tmp_path / "all")
    assert (summary.trajectories, summary.repeats, summary.replaced, summary.tasks) == (4, 1, 0, 4)
    found = {entry.trajectory.id: entry for entry in read_any(tmp_path / "all")}
    assert found[name].trajectory == entries[0].trajectory
    assert found[name].verdicts == again.verdicts
    assert found[name].grades == entries[0].grades
    assert {task.id for task in asked_tasks(tmp_path / "all")} == {"t1", "t2", "t3", "t9"}
    assert {entry.trajectory.retriever["kind"] for entry in found.values()} == {"bm25", "dense"}


def test_a_merged_folder_can_be_graded_and_measured(entries, run_folder, tmp_path):
    merge_runs([run_folder("one", entries[:2]), run_folder("two", entries[2:])], tmp_path / "all")
    assert grade_run(tmp_path / "all") == 2
    _, metrics = run_tables(tmp_path / "all", judge="match:1")
    assert (metrics.tasks, metrics.trajectories, metrics.errors) == (3, 4, 1)


def test_different_trajectories_of_one_id_are_refused_or_the_later_counts(entries, run_folder, tmp_path):
    other = msgspec.structs.replace(
        entries[0],
        trajectory=msgspec.structs.replace(entries[0].trajectory, answer="green"),
        grades=[Grade(trajectory_id=entries[0].trajectory.id, state="incorrect", judge="j3")],
    )
    one, two = run_folder("one", entries), run_folder("two", [other])
    with pytest.raises(InputError, match=r"different trajectories of the id 't1\.0\.cafe'"):
        merge_runs([one, two], tmp_path / "all")
    assert not (tmp_path / "all").exists()
    summary = merge_runs([one, two], tmp_path / "all", on_conflict="later")
    assert (summary.trajectories, summary.replaced) == (4, 1)
    (found,) = (entry for entry in read_any(tmp_path / "all") if entry.trajectory.id == "t1.0.cafe")
    assert found.trajectory.answer == "green"
    assert [grade.judge for grade in found.grades] == ["j3"]  # a grade of the other answer says nothing of this one


@pytest.mark.parametrize("broken_first", [True, False])
def test_a_run_that_broke_gives_way_to_one_that_did_not(broken_first, make, run_folder, tmp_path):
    failure = Failure(boundary="model", message="gone")
    broken = make("t1", status="error", end_reason="error", answer=None, turns=[], error=failure)
    broken = msgspec.structs.replace(broken, grades=[], verdicts=[])
    order = [run_folder("broken", [broken]), run_folder("whole", [make("t1")])]
    merge_runs(order if broken_first else order[::-1], tmp_path / "all")
    assert [entry.trajectory.status for entry in read_any(tmp_path / "all")] == ["answered"]


def test_two_questions_of_one_id_are_always_refused(make, run_folder, tmp_path):
    one, two = run_folder("one", [make("0")]), run_folder("two", [make("0", 1, question="Something else?")])
    for on_conflict in ("refuse", "later"):
        with pytest.raises(InputError, match=r"the task '0' of .*two asks another question"):
            merge_runs([one, two], tmp_path / "all", on_conflict=on_conflict)


def test_a_split_divides_questions_and_everything_goes_with_its_task(make, run_folder, tmp_path):
    # two tasks ask the same question, in other words for the machine alone
    made = [make(f"t{n}", sample, question=f"Which colour has {n % 9}?") for n in range(10) for sample in range(2)]
    tasks = [Task(id=f"t{n}", question=f"Which colour has {n % 9}?", evidence=[f"d{n}"]) for n in range(10)]
    made = [msgspec.structs.replace(e, task=tasks[int(e.trajectory.task_id[1:])]) for e in made]
    run = run_folder("run", made, Task(id="t99", question="Never?"))
    counts = split_run(run, tmp_path / "parts", test=3, dev=0.2, seed=1)
    assert sum(counts.values()) == 20
    sides = {name: asked_tasks(tmp_path / "parts" / name) for name in ("train", "dev", "test")}
    assert (len(sides["test"]), len(sides["dev"]), len(sides["train"])) == (3, 2, 6)
    questions = [{task.question for task in side} for side in sides.values()]
    assert sum(map(len, questions)) == len(set.union(*questions))
    back = [entry for name in sides for entry in read_any(tmp_path / "parts" / name)]
    assert sorted(back, key=lambda e: e.trajectory.id) == sorted(made, key=lambda e: e.trajectory.id)
    for name, side in sides.items():
        assert {e.trajectory.task_id for e in read_any(tmp_path / "parts" / name)} <= {task.id for task in side}
    again = split_run(run, tmp_path / "again", test=3, dev=0.2, seed=1)
    assert again == counts
    assert asked_tasks(tmp_path / "again" / "test") == sides["test"]
    split_run(run, tmp_path / "other", test=3, dev=0.2, seed=2)
    assert asked_tasks(tmp_path / "other" / "test") != sides["test"]


@pytest.mark.parametrize("test", [1.5, -1, 4, True])
def test_sizes_that_cannot_be_are_refused(test, entries, run_folder, tmp_path):
    with pytest.raises(InputError, match="test"):
        split_run(run_folder("run", entries), tmp_path / "parts", test=test)
    assert not (tmp_path / "parts").exists()


def test_a_rollout_does_not_go_on_in_a_folder_of_several_runs(entries, run_folder):
    manifest = read_yaml(run_folder("run", entries) / "run.yaml")
    assert "settings" not in manifest  # by which a rollout refuses it
    assert set(manifest["retrievers"]) == {"bb", "cc"}


@pytest.mark.parametrize(("to", "name"), [("inspect", "log.eval"), ("inspect", "log.json"), ("verifiers", "t.jsonl")])
def test_logs_of_other_tools_give_back_what_was_written(to, name, make, tmp_path):
    broken = make("t2", status="error", end_reason="error", answer=None, turns=[], usage=Usage())
    broken = msgspec.structs.replace(broken.changed(error=Failure(boundary="model", message="gone")), grades=[])
    limited = make("t1", 1, status="unanswered", end_reason="turn_limit", answer=None)
    forced = make("t/3", end_reason="turn_limit")
    entries = [make("t1"), limited.changed(turns=limited.trajectory.turns[:2]), broken, forced]
    write = format_named(to).write
    assert write
    assert write(iter(entries), tmp_path / name, About(name="world")) == 4
    assert recognise(tmp_path / name).name == to
    for entry, back in zip(entries, read_any(tmp_path / name), strict=True):
        run, again = entry.trajectory, back.trajectory
        same = ("id", "task_id", "question", "sample", "seed", "status", "end_reason", "answer", "error", "seconds")
        assert [getattr(again, field) for field in same] == [getattr(run, field) for field in same]
        assert (again.usage, back.task, back.retriever_name) == (run.usage, entry.task, "bm25")
        assert (back.grade and back.grade.state) == (entry.grade and entry.grade.state)
        fields = ("reasoning", "text", "usage")
        assert [[getattr(turn, field) for field in fields] for turn in again.turns] == [
            [getattr(turn, field) for field in fields] for turn in run.turns
        ]
        for call, other in zip(run.calls(), again.calls(), strict=True):
            assert (other.tool, other.output, other.docid) == (call.tool, call.output, call.docid)
            # a format states no scores of hits
            assert [hit.docid for hit in other.hits or ()] == [hit.docid for hit in call.hits or ()]


def test_a_log_of_inspect_ai_is_of_one_agent_and_has_a_sample_once(make, tmp_path):
    write = format_named("inspect").write
    assert write
    two = [make("t1"), make("t2", agent={"name": "another", "fingerprint": "zz"})]
    with pytest.raises(InputError, match="several agents, and a log of inspect_ai is of one"):
        write(iter(two), tmp_path / "a.eval", About(name="w"))
    with pytest.raises(InputError, match="sample 0 of the task 't1' twice"):
        write(iter([make("t1"), make("t1", id="other")]), tmp_path / "b.json", About(name="w"))


def test_changed_facts_of_ours_do_not_contradict_the_log(make, tmp_path):
    write = format_named("verifiers").write
    assert write
    write(iter([make("t1")]), tmp_path / "t.jsonl", About())
    record = json.loads((tmp_path / "t.jsonl").read_text())
    record["traces"][0] |= {"ok": False, "errors": [{"type": "ProviderError", "message": "gone"}]}
    (tmp_path / "t.jsonl").write_text(json.dumps(record))
    (entry,) = read_any(tmp_path / "t.jsonl")
    assert (entry.trajectory.status, entry.trajectory.error.message) == ("error", "ProviderError: gone")


def test_logs_of_other_tools_are_written_as_they_were_when_those_read_them(make):
    """Golden: test_real_tools.py has the tools read what is written so; after a change, let them read it again."""
    entry, golden = make("t1", end_reason="turn_limit"), json.loads((FILES / "written.json").read_text())
    assert json.loads(json.dumps(inspect_written.sample_of(entry, "2026-11-26T00:00:00+00:00"))) == golden["inspect"]
    assert json.loads(json.dumps(verifiers_written.record_of(entry, "world", 100.0))) == golden["verifiers"]
