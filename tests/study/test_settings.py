import pytest

from lrat_sim.errors import FingerprintMismatch, InputError, UnknownName
from lrat_sim.study import AblationSettings, CompareSettings, Flywheel, FlywheelSettings, read_study


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (FlywheelSettings, {"collect_with": {"bm25": 0.0}}, r"collect_with is .*0\.0.* > 0\.0"),
        (FlywheelSettings, {"collect_with": {"bm25": float("nan")}}, "collect_with is .*nan"),
        (FlywheelSettings, {"collect_with": {"bm25": 0.7, "oracle": 0.4}}, "1.1 together"),
        (FlywheelSettings, {"replay": 1.5}, r"replay is 1\.5; .* <= 1\.0"),
        (FlywheelSettings, {"rounds": 0}, "rounds is 0"),
        (FlywheelSettings, {"train_from": "scratch"}, "train_from is 'scratch'; it must be one of base, last"),
        (FlywheelSettings, {"gate": "median"}, "gate is 'median'; it must be one of none, mean, clear"),
        (AblationSettings, {"seeds": ()}, "seeds are none"),
        (AblationSettings, {"seeds": (0, 0)}, "each once"),
        (AblationSettings, {"seeds": (-1,)}, r"seeds is \(-1,\)"),
        (AblationSettings, {"split": "train"}, "held-out"),
        (CompareSettings, {"max_length": 3}, "max_length is 3"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(kind, fields, words):
    with pytest.raises(InputError, match=words):
        kind(**fields)


def test_retrievers_to_collect_with_must_exist_and_differ():
    def named(*specs):
        return FlywheelSettings().named("retrievers of collect_with", specs)

    with pytest.raises(UnknownName, match="nosuch"):
        named("nosuch")
    with pytest.raises(InputError, match="collect_with x=bm25, x=oracle need names of their own"):
        named("x=bm25", "x=oracle")
    with pytest.raises(InputError, match="other than base, base\\+bm25, round-1, trained"):
        named("round-1=bm25")
    assert named("lexical=bm25") == {"lexical": "bm25"}


def test_defaults_are_the_recommended_recipe_and_a_gate_wherever_there_are_tasks_for_one():
    assert FlywheelSettings().mining == "mine-recommended"
    settings = ({}, {"rounds": 2}, {"rounds": 2, "gate": "none"}, {"gate": "clear"})
    rules = {checkable: [FlywheelSettings(**fields).rule(checkable) for fields in settings] for checkable in (0, 1)}
    assert rules == {0: ["none", "mean", "none", "clear"], 1: ["mean", "mean", "none", "clear"]}
    assert FlywheelSettings().rule(False, "mean") == "mean"  # fewer rounds are asked for than were made


@pytest.fixture
def begin(small_world, tmp_path):
    """begin(**fields) begins a flywheel in the same folder, as far as its record."""

    return lambda **fields: Flywheel(small_world, tmp_path, FlywheelSettings(**fields)).study.save()


def test_a_single_round_may_be_gated_later_and_several_may_not(begin, tmp_path):
    begin()
    begin(rounds=2)
    record = read_study(tmp_path)
    assert (record.made_from["gate"]["rule"], record.settings["rounds"]) == ("mean", 2)
    for other in ({"gate": "none"}, {"gate": "clear"}, {"gate_tasks": 1}):
        with pytest.raises(FingerprintMismatch, match="gate was"):
            begin(rounds=3, **other)


@pytest.mark.parametrize(
    ("first", "fields", "said"),
    [
        ({"gate": "none"}, {}, "gate was None"),
        ({}, {"collect_with": {"bm25": 0.2}}, "collect_with"),
        ({}, {"train_from": "last"}, "train_from"),
    ],
)
def test_what_changes_a_round_is_refused_in_the_folder_of_another(begin, tmp_path, first, fields, said):
    begin(rounds=2, **first)
    with pytest.raises(FingerprintMismatch, match=said):
        begin(rounds=2, **fields)
    (tmp_path / "corpus.jsonl").touch()  # a guard only measures, and nothing is replayed
    begin(rounds=5, patience=1, guard=str(tmp_path), replay=0.9, **first)
