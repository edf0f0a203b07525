import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from lrat_sim.artifact import read_records
from lrat_sim.comparison import load
from lrat_sim.errors import FingerprintMismatch, InputError, UnknownName
from lrat_sim.records import Pair
from lrat_sim.rollout.index import asked_tasks, read_trajectories
from lrat_sim.study import Flywheel, FlywheelSettings, flywheel, read_study
from lrat_sim.study.arms import opened

ARMS = ("base", "round-1", "base+bm25", "bm25", "oracle")


@pytest.fixture
def copied(wheel, tmp_path):
    """A copy of the finished flywheel, to be continued."""
    return shutil.copytree(wheel.folder, tmp_path / "copied")


def test_a_single_rounds_folder_holds_what_its_documentation_names(wheel):
    folder = wheel.folder
    record = read_study(folder)
    assert (record.kind, record.settings["rounds"], record.made_from["k"]) == ("flywheel", 1, 5)
    assert [cell.folder for cell in record.cells] == ["evaluate/test-k5"]
    collect = folder / "round-1" / "collect"
    assert len(list(read_trajectories(collect))) == len(asked_tasks(collect)) == 24
    for name in ("run.yaml", "index.parquet", "grades.jsonl", "verdicts.jsonl"):
        assert (collect / name).is_file()
    assert list(read_records(folder / "round-1" / "pairs.jsonl", Pair))
    assert (folder / "round-1" / "mining.json").is_file()
    assert wheel.model == folder / "round-1" / "model"
    assert (wheel.model / "model.safetensors").is_file()
    assert any((folder / "round-1" / "indexes").iterdir())
    assert not (folder / "gate").exists()  # which was not asked for
    assert [made.accepted for made in wheel.rounds.rounds] == [True]
    evaluate = folder / "evaluate" / "test-k5"
    assert {path.name for path in evaluate.iterdir() if path.is_dir()} == {*ARMS}
    assert all(len(list(read_trajectories(evaluate / arm))) == 8 for arm in ARMS)
    assert [*wheel.comparisons] == ["test-k5"]
    comparison = load(evaluate / "comparison.json")
    assert comparison == wheel.comparisons["test-k5"]
    assert comparison.arms == ["base", "trained", "base+bm25", "bm25", "oracle"]
    assert (comparison.base, comparison.oracle, comparison.tasks_asked) == ("base", "oracle", 8)
    assert all(summary.ran == 8 and not summary.errors for summary in comparison.summaries)


def test_the_retriever_of_the_result_searches_as_the_trained_arm_did(wheel, small_world, tmp_path):
    """A share of BM25 is fitted, and the spec that names it finds the same documents in the same order."""
    (made,) = wheel.rounds.rounds
    assert wheel.retriever.startswith("hybrid:members=") == (made.bm25_share > 0)
    retriever = opened(wheel.retriever, small_world, indexes=tmp_path)
    runs = read_trajectories(wheel.folder / "evaluate" / "test-k5" / "round-1")
    searches = [call for run in runs for call in run.calls() if call.hits]
    assert searches
    for call in searches[:20]:
        (hits,) = retriever.search([call.executed["query"]], 5)
        assert [hit.docid for hit in hits] == [hit.docid for hit in call.hits]


def test_second_call_reuses_everything_and_changes_no_byte(copied, small_world, wheel_settings, snapshot, capsys):
    before = snapshot(copied)
    flywheel(small_world, copied, wheel_settings)
    after = snapshot(copied)
    assert {name: after.get(name) for name in before} == before
    said = capsys.readouterr().err
    assert said.count("already: reused") == 1 + len(ARMS)
    assert "model, reused from" in said.split("train:")[1].splitlines()[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"k": 3},
        {"seed": 1},
        {"agent": "simulated-hasty"},
        {"mining": "mine-naive"},
        {"training_options": {"max_document_length": 32, "epochs": 2}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_other_settings_are_refused_and_touch_nothing(wheel, small_world, wheel_settings, snapshot, changed, fields):
    before = snapshot(wheel.folder)
    with pytest.raises(FingerprintMismatch, match="another --out folder"):
        flywheel(small_world, wheel.folder, changed(wheel_settings, **fields))
    assert snapshot(wheel.folder) == before


def test_more_test_tasks_only_add(copied, small_world, wheel_settings, changed):
    before = {path: path.read_bytes() for path in copied.rglob("trajectories.jsonl")}
    model = (copied / "round-1" / "model" / "model.safetensors").read_bytes()
    comparison = flywheel(small_world, copied, changed(wheel_settings, test_tasks=12)).comparisons["test-k5"]
    assert comparison.tasks_asked == 12
    assert all(summary.ran == 12 for summary in comparison.summaries)
    assert all(path.read_bytes().startswith(content) for path, content in before.items())
    assert (copied / "round-1" / "model" / "model.safetensors").read_bytes() == model


def test_a_further_round_continues_the_first_and_keeps_it(copied, small_world, wheel_settings, trajectories, changed):
    before = trajectories(copied)
    result = flywheel(
        small_world, copied, changed(wheel_settings, rounds=2, gate="none", baselines=("oracle",), test_tasks=4)
    )
    assert result.comparisons["test-k5"].arms == ["base", "round-1", "trained", "base+bm25", "oracle"]
    assert result.model == copied / "round-2" / "model"
    after = trajectories(copied)
    assert {name: after[name] for name in before} == before
    # the second round collects with the first one's encoder
    collected = next(read_trajectories(copied / "round-2" / "collect")).retriever["fingerprint"]
    evaluated = next(read_trajectories(copied / "evaluate" / "test-k5" / "round-1")).retriever["fingerprint"]
    assert collected == evaluated


@pytest.mark.slow
def test_killed_twice_and_resumed_equals_uninterrupted(wheel, small_world, wheel_settings, trajectories, tmp_path):
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "lrat_sim.cli", "flywheel", "-t", str(small_world.folder), "-o", str(folder)]
    command += ["--base-model", str(wheel_settings.base_model), "--test-tasks", "8", "--samples", "1"]
    command += ["--gate", "none"]
    for name, value in wheel_settings.training_options.items():
        command += ["--training-option", f"{name}={value}"]

    def killed(run, lines):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        file, deadline = folder / run / "trajectories.jsonl", time.monotonic() + 120
        while (file.read_bytes().count(b"\n") if file.exists() else 0) < lines and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    killed("round-1/collect", 4)
    collected = {trajectory.id for trajectory in read_trajectories(folder / "round-1" / "collect")}
    assert 4 <= len(collected) < 24
    killed("evaluate/test-k5/round-1", 2)
    assert not (folder / "evaluate" / "test-k5" / "comparison.json").exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert trajectories(folder) == trajectories(wheel.folder)
    assert load(folder / "evaluate" / "test-k5" / "comparison.json") == wheel.comparisons["test-k5"]


def test_training_and_test_tasks_that_share_a_question_are_refused(small_world, tmp_path):
    train, test = small_world.tasks("train"), small_world.tasks("test")
    leak = msgspec.structs.replace(test[0], id="leak", question=train[3].question.upper())
    leaking = replace(small_world, splits={"train": train, "test": [*test, leak]})
    with pytest.raises(InputError, match="question"):
        flywheel(leaking, tmp_path / "run")
    assert not os.listdir(tmp_path)


def test_a_single_round_is_gated_where_there_are_tasks_for_it_and_unchecked_otherwise(
    small_world, wheel_settings, changed, tmp_path, capsys
):
    class Refusing(Flywheel):
        def gate(self, number, retriever):
            decision = super().gate(number, retriever)
            return decision and changed(decision, accepted=False)

    small = changed(wheel_settings, gate=None, train_tasks=4, test_tasks=2, baselines=())
    gated = Refusing(small_world, tmp_path / "gated", small).run()
    assert (gated.rounds.rounds[0].gate.tasks, gated.rounds.rounds[0].accepted) == (2, False)
    assert str(gated.model) == small.base_model
    assert gated.answer.startswith("gate: round 1 is refused, base stays in use: ")
    assert "fewer than the 500" in gated.answer
    # the gate's tasks are never those of the evaluation
    unchecked = flywheel(small_world, tmp_path / "open", changed(small, splits=("dev",)))
    assert "no gate: world has no tasks of a split 'dev' beside" in capsys.readouterr().err
    assert unchecked.answer.startswith("no gate: round 1 is in use without a check")


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"baselines": ("bm25", "nosuch")}, UnknownName, "nosuch"),
        ({"baselines": ("bm25", "trained=bm25")}, InputError, "names of their own"),
        ({"baselines": ("bm25", "bm25")}, InputError, "names of their own"),
        ({"splits": ("nosuch",)}, InputError, "no split 'nosuch'"),
        ({"splits": ("train",)}, InputError, "question"),
        ({"agent": "nosuch"}, UnknownName, "nosuch"),
        ({"mining": "nosuch"}, UnknownName, "nosuch"),
        ({"training": "nosuch"}, UnknownName, "nosuch"),
        ({"training_options": {"epochs": 0}}, InputError, "epochs"),
        ({"mining_options": {"nosuch": 1}}, InputError, "nosuch"),
        ({"agent_options": {"limits.turns": 0}}, InputError, "limits.turns"),
        ({"rounds": 2, "gate_split": "test"}, InputError, "both ask"),
        ({"guard": "nowhere"}, InputError, "guard is .*name its folder"),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(small_world, tmp_path, fields, error, words):
    with pytest.raises(error, match=words):
        flywheel(small_world, tmp_path / "run", FlywheelSettings(**fields))
    assert not os.listdir(tmp_path)


EXAMPLE = Path(__file__).parents[2] / "examples" / "flywheel_rounds.py"


@pytest.mark.slow
def test_success_and_recall_do_not_fall_over_five_rounds(tmp_path):
    """By the example: what agents reach with the model in use does not fall."""
    done = subprocess.run([sys.executable, EXAMPLE], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "rounds" / "flywheel"
    made = read_study(folder).rounds
    rounds = made.rounds
    assert f"in use: {made.accepted}" in done.stdout
    assert len(rounds) == 5
    assert sum(made.accepted for made in rounds) >= 2
    # on the gate's tasks a model in use is never replaced by a worse one
    assert all(made.gate.success_difference.value >= 0 for made in rounds if made.accepted)
    # on tasks that no decision has seen: well above the base at the end, and no accepted model clearly below the last
    comparison = load(folder / "evaluate" / "test-k5" / "comparison.json")
    against = {(pairing.arm, pairing.base): pairing.measures for pairing in comparison.pairings}
    others = {"base", "base+bm25", "bm25", "oracle"}
    in_use = [summary.name for summary in comparison.summaries if summary.name not in others]
    assert in_use[-1] == "trained"
    for measure in ("success", "evidence_recall"):
        assert against["trained", "base"][measure].difference.low > 0
        for earlier, later in pairwise(in_use):
            assert against[later, earlier][measure].difference.high >= 0
