"""Flywheels of several rounds: killed between their stages, and with a round whose pairs were poisoned."""

import msgspec
import pytest

from lrat_sim.artifact import read_records, write_records
from lrat_sim.mining.guards import exchange
from lrat_sim.records import Pair
from lrat_sim.rollout.index import asked_tasks, read_trajectories
from lrat_sim.study import Flywheel, FlywheelSettings, flywheel, read_study
from lrat_sim.study.rounds import replayed
from lrat_sim.training.folder import read_record

STAGES = ("collect", "mine", "train", "index", "remember", "gate")


@pytest.fixture(scope="module")
def settings(wheel_settings, general):
    """Two rounds with everything that a round can have; the gate accepts all, so that each is gone on from."""
    return msgspec.structs.replace(
        wheel_settings, rounds=2, train_from="last", replay=0.5, collect_with={"bm25": 0.4}, gate="clear",
        gate_split="test", gate_tasks=4, splits=("dev",), baselines=(), train_tasks=10, guard=str(general),
    )  # fmt: skip


class Decided(Flywheel):
    """Its gate measures, and accepts the rounds of which ``accepts`` says so."""

    accepts = staticmethod(lambda number: True)

    def gate(self, number, retriever):
        return msgspec.structs.replace(super().gate(number, retriever), accepted=self.accepts(number))


@pytest.fixture(scope="module")
def whole(small_world, settings, tmp_path_factory):
    return Decided(small_world, tmp_path_factory.mktemp("whole") / "run", settings).run()


class Killed(BaseException):
    """Between two stages no file is open, so that this leaves on disk what a kill would."""


class Stopping(Decided):
    """Dies after a stage of a round."""

    after = (0, "")


def _stopping(stage):
    def then_die(self, number, *given):
        done = getattr(super(Stopping, self), stage)(number, *given)
        if self.after == (number, stage):
            raise Killed
        return done

    return then_die


for stage in STAGES:
    setattr(Stopping, stage, _stopping(stage))


@pytest.fixture
def everything(trajectories):
    """What must not depend on where a flywheel was stopped."""
    return lambda folder: trajectories(folder) | files_of(folder)


def files_of(folder):
    found = {}
    for name in ("pairs.jsonl", "mining.json", "model.safetensors", "study.json", "comparison.json"):
        found |= {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(name)}
    return found


EVERY = [*((1, stage) for stage in STAGES), *((2, stage) for stage in STAGES[::2])]


@pytest.mark.parametrize("stops", [[(1, "train"), (2, "mine")], pytest.param(EVERY, marks=pytest.mark.slow)])
def test_killed_after_each_stage_and_resumed_equals_uninterrupted(
    stops, whole, small_world, settings, everything, tmp_path
):
    folder = tmp_path / "run"
    for after in stops:
        stopping = Stopping(small_world, folder, settings)
        stopping.after = after
        with pytest.raises(Killed):
            stopping.run()
        assert not (folder / "evaluate").exists()
    Decided(small_world, folder, settings).run()
    wanted = everything(whole.folder)
    assert {"round-2/pairs.jsonl", "gate/round-2", "round-2/collect-bm25", "evaluate/dev-k5/base"} <= wanted.keys()
    assert everything(folder) == wanted


def test_tasks_are_shared_out_among_the_model_in_use_and_the_other_retriever(whole):
    for made in whole.rounds.rounds:
        assert made.in_use == ("base" if made.number == 1 else "round-1")
        assert [*made.tasks] == [made.in_use, "bm25"]
        asked = {}
        # a trained encoder is searched with a share of BM25
        in_use = "dense" if made.number == 1 else "hybrid"
        for name, kind in (("collect", in_use), ("collect-bm25", "bm25")):
            run = whole.folder / f"round-{made.number}" / name
            assert {trajectory.retriever["kind"] for trajectory in read_trajectories(run)} == {kind}
            asked[name] = {task.id for task in asked_tasks(run)}
        assert not asked["collect"] & asked["collect-bm25"]
        assert [len(tasks) for tasks in asked.values()] == [*made.tasks.values()]
        assert sum(made.tasks.values()) == 10


def test_a_round_that_trains_from_the_last_replays_a_share_of_earlier_pairs(whole):
    first, second = whole.rounds.rounds
    assert (first.trained_from, first.replayed) == ("base", 0)
    assert second.trained_from == "round-1"
    assert second.replayed == len(list(replayed([whole.folder / "round-1" / "pairs.jsonl"], 0.5, seed=2)))
    assert 0 < second.replayed < first.mined
    assert read_record(whole.folder / "round-2" / "model").pairs == second.mined + second.replayed
    assert read_record(whole.folder / "round-2" / "model").base_model == str(whole.folder / "round-1" / "model")


def test_forgetting_is_measured_against_the_first_base_in_every_round(whole, general):
    first, second = (made.guard for made in whole.rounds.rounds)
    assert first.data_set == second.data_set == general.name
    assert first.base == second.base
    figures = read_record(whole.folder / "round-2" / "model").figures
    assert figures[f"nDCG@10 on {general.name} after"] == second.trained


def test_the_rounds_on_disk_are_those_returned_with_their_held_out_figures(whole):
    assert read_study(whole.folder).rounds == whole.rounds
    summaries = {summary.name: summary.means for summary in whole.comparisons["dev-k5"].summaries}
    assert [*summaries] == ["base", "round-1", "trained", "base+bm25"]
    for made, arm in zip(whole.rounds.rounds, ("round-1", "trained"), strict=True):
        assert made.evaluated["dev-k5"].success == summaries[arm]["success"]
        assert made.evaluated["dev-k5"].evidence_recall == summaries[arm]["evidence_recall"]
    assert whole.rounds.base["dev-k5"].steps == summaries["base"]["steps"]


class Poisoned(Flywheel):
    """The second round learns from pairs whose positives were exchanged at random between tasks."""

    def mine(self, number, runs):
        mined = super().mine(number, runs)
        if number == 2:
            path = self.folder / "round-2" / "pairs.jsonl"
            pairs = list(read_records(path, Pair))
            exchanged = exchange([pair.positive for pair in pairs], [pair.provenance.task for pair in pairs], seed=0)
            for index, positive in enumerate(exchanged):
                negatives = [negative for negative in pairs[index].negatives if negative.docid != positive]
                pairs[index] = msgspec.structs.replace(pairs[index], positive=positive, negatives=negatives)
            write_records(path, pairs)
        return mined


@pytest.fixture(scope="module")
def poisoned(small_world, tmp_path_factory):
    training = {"batch_size": 16, "group_size": 2, "freeze_layers": 4, "learning_rate": 5e-4}
    training |= {"max_query_length": 32, "max_document_length": 48}
    settings = FlywheelSettings(
        rounds=3, train_from="last", gate_split="test", gate_tasks=8, splits=("dev",), baselines=(), samples=1,
        training_options=training,
    )  # fmt: skip
    return Poisoned(small_world, tmp_path_factory.mktemp("poisoned") / "run", settings).run()


@pytest.mark.slow
def test_the_gate_refuses_the_model_of_a_poisoned_round(poisoned):
    first, second, _ = poisoned.rounds.rounds
    assert first.accepted
    assert not second.accepted
    assert second.gate.against == "round-1"
    assert second.gate.success_difference.value < -0.2


@pytest.fixture(scope="module")
def refused(small_world, settings, tmp_path_factory):
    three = msgspec.structs.replace(
        settings, rounds=3, replay=0.3, guard=None, collect_with={}, train_tasks=6, gate_tasks=2
    )
    wheel = Decided(small_world, tmp_path_factory.mktemp("refused") / "run", three)
    wheel.accepts = lambda number: number != 2
    return wheel.run()


def test_after_a_refused_round_the_flywheel_continues_from_the_last_accepted_one(refused):
    third, folder = refused.rounds.rounds[2], refused.folder
    assert (third.in_use, third.trained_from, third.gate.against) == ("round-1", "round-1", "round-1")

    def retriever(run):
        return next(read_trajectories(run)).retriever["fingerprint"]

    in_use = retriever(folder / "gate" / "round-1")
    assert retriever(folder / "round-3" / "collect") == in_use != retriever(folder / "gate" / "round-2")
    # nothing of the refused round's pairs is learnt again
    assert third.replayed == len(list(replayed([folder / "round-1" / "pairs.jsonl"], 0.3, seed=3)))


def test_held_out_tasks_are_run_with_accepted_models_alone(refused):
    assert refused.model == refused.folder / "round-3" / "model"
    evaluated = {path.name for path in (refused.folder / "evaluate" / "dev-k5").iterdir() if path.is_dir()}
    assert evaluated == {"base", "base+bm25", "round-1", "round-3"}
    first, second, _ = refused.rounds.rounds
    assert second.evaluated == first.evaluated


def test_a_flywheel_stops_when_its_patience_is_spent(small_world, settings, tmp_path, capsys):
    spent = msgspec.structs.replace(
        settings, rounds=3, patience=1, guard=None, collect_with={}, train_tasks=4, gate_tasks=2
    )
    wheel = Decided(small_world, tmp_path / "run", spent)
    wheel.accepts = lambda number: False
    result = wheel.run()
    assert [made.number for made in result.rounds.rounds] == [1]
    assert result.rounds.stopped == "stopped after round 1: the gate refused 1 in a row"
    assert result.rounds.accepted == "base"
    assert str(result.model) == settings.base_model
    assert result.comparisons["dev-k5"].arms == ["base", "base+bm25"]


def test_what_broke_while_collecting_is_not_tried_again_once_a_model_was_trained(
    small_world, wheel_settings, broken, tmp_path, contents
):
    # the base is broken outside of tasks, too, where the share of BM25 would be fitted
    settings = msgspec.structs.replace(wheel_settings, train_tasks=6, test_tasks=2, baselines=(), bm25_share=0.0)
    wheel = Flywheel(small_world, tmp_path / "run", settings)
    base = broken(wheel.open_base(), lambda task: task == wheel.train_tasks[0].id)
    wheel.open_base = lambda: base
    wheel.evaluate = lambda: {}
    assert wheel.run().rounds.rounds[0].collected.errors == 1
    before = contents(tmp_path / "run")
    resumed = flywheel(small_world, tmp_path / "run", settings)
    assert resumed.rounds.rounds[0].collected.errors == 1
    assert {name: contents(tmp_path / "run")[name] for name in before} == before
