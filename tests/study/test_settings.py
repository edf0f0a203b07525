import msgspec
import pytest
from lrat_sim.flywheel import FlywheelSettings
from lrat_sim.flywheel.identity import begun_with, claim, decisive, refuse_other

from lrat_sim.errors import FingerprintMismatch, InputError, UnknownName


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"collect_with": {"bm25": 0.0}}, "the share 0.0; it must be above 0"),
        ({"collect_with": {"bm25": float("nan")}}, "the share nan"),
        ({"collect_with": {"bm25": 0.7, "oracle": 0.4}}, "1.1 together"),
        ({"replay": 1.5}, "replay is 1.5"),
        ({"train_from": "scratch"}, "train_from is 'scratch'; it must be one of base, last"),
        ({"gate": "median"}, "gate is 'median'; it must be one of none, mean, clear"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(fields, words):
    with pytest.raises(InputError, match=words):
        FlywheelSettings(**fields)


def test_retrievers_to_collect_with_must_exist_and_differ():
    with pytest.raises(UnknownName, match="nosuch"):
        FlywheelSettings(collect_with={"nosuch": 0.2}).named_collectors()
    with pytest.raises(InputError, match="collect_with x=bm25, x=oracle need names of their own"):
        FlywheelSettings(collect_with={"x=bm25": 0.2, "x=oracle": 0.2}).named_collectors()
    with pytest.raises(InputError, match="other than base, round-1, trained"):
        FlywheelSettings(collect_with={"round-1=bm25": 0.2}).named_collectors()
    assert FlywheelSettings(collect_with={"lexical=bm25": 0.2}).named_collectors() == {"lexical": ("bm25", 0.2)}


def test_several_rounds_are_gated_and_a_single_one_is_not():
    assert FlywheelSettings().rule() == "none"
    assert FlywheelSettings(rounds=2).rule() == "mean"
    assert FlywheelSettings(rounds=2, gate="none").rule() == "none"
    assert FlywheelSettings(gate="clear").rule() == "clear"
    assert FlywheelSettings().rule(begun="mean") == "mean"  # fewer rounds are asked for than were made


GATE = {"rule": "mean", "tasks": 2, "fingerprint": "f0"}


def begin(folder, settings, gate=None):
    wanted = decisive(settings, gate, dataset="d")
    refuse_other(folder, wanted)
    claim(folder, settings, wanted)


def test_what_decides_a_default_flywheel_has_not_grown():
    """Folders from before gates, mixing and replay are still known."""
    assert decisive(FlywheelSettings(), None, dataset="d").keys() == {
        *("agent", "agent_options", "base_model", "collect_k", "dataset", "mining", "mining_options"),
        *("samples", "seed", "training", "training_options"),
    }


def test_a_single_round_may_be_gated_later_and_several_may_not(tmp_path):
    begin(tmp_path, FlywheelSettings())
    begin(tmp_path, FlywheelSettings(rounds=2), GATE)
    assert begun_with(tmp_path)[1:] == ("mean", 2)
    for gate in (None, {**GATE, "rule": "clear"}, {**GATE, "fingerprint": "f1"}):
        with pytest.raises(FingerprintMismatch, match="gate was"):
            begin(tmp_path, FlywheelSettings(rounds=3), gate)


def test_several_ungated_rounds_may_not_be_gated_later(tmp_path):
    begin(tmp_path, FlywheelSettings(rounds=2, gate="none"))
    with pytest.raises(FingerprintMismatch, match="gate was None"):
        begin(tmp_path, FlywheelSettings(rounds=2), GATE)


@pytest.mark.parametrize(
    "fields", [{"collect_with": {"bm25": 0.2}}, {"train_from": "last"}], ids=lambda fields: next(iter(fields))
)
def test_what_changes_a_round_is_refused_in_the_folder_of_another(tmp_path, fields):
    begin(tmp_path, FlywheelSettings(rounds=2), GATE)
    with pytest.raises(FingerprintMismatch, match=next(iter(fields))):
        begin(tmp_path, FlywheelSettings(rounds=2, **fields), GATE)
    begin(tmp_path, FlywheelSettings(rounds=5, patience=1, guard="data", replay=0.9), GATE)  # nothing is replayed


def test_the_command_line_is_recorded_and_outlasts_a_call_without_one(tmp_path):
    wanted = decisive(FlywheelSettings(), None)
    claim(tmp_path, FlywheelSettings(), wanted, "lrat-sim flywheel --out x")
    claim(tmp_path, msgspec.structs.replace(FlywheelSettings(), rounds=2), wanted)
    assert "command: lrat-sim flywheel --out x\n" in (tmp_path / "run.yaml").read_text()


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "run.yaml").write_text("settings: {}\n")
    with pytest.raises(InputError, match="not of a flywheel"):
        begun_with(tmp_path)
