import hashlib
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrat_sim.artifact import read_records
from lrat_sim.comparison import load
from lrat_sim.errors import FingerprintMismatch, InputError
from lrat_sim.records import Pair, Provenance
from lrat_sim.study import SweepSettings, nested_subsets, read_study, sweep
from lrat_sim.training.folder import read_record


def pair(task, number, satisfied=True):
    origin = Provenance(task=task, trajectory=f"{task}.0", turn=number, rank=1, rule="paper")
    return Pair(query=f"{task} {number}", positive="d", negatives=[], weight=1.0, raw_weight=0.5, length=3,
                provenance=origin, satisfied=satisfied)  # fmt: skip


def of_tasks(counts):
    """So many pairs a task, those of different tasks mixed."""
    pairs = [pair(f"task-{task}", number) for task, count in enumerate(counts) for number in range(count)]
    return sorted(pairs, key=lambda each: hashlib.sha256(each.query.encode()).digest())


@given(st.lists(st.integers(1, 6), min_size=1, max_size=15), st.data())
def test_parts_are_nested_hold_whole_tasks_and_reach_their_size(counts, data):
    pairs = of_tasks(counts)
    sizes = sorted(data.draw(st.lists(st.integers(1, len(pairs)), min_size=1, max_size=4)))
    parts = nested_subsets(pairs, sizes, data.draw(st.integers(0, 5)))
    total = Counter(each.provenance.task for each in pairs)
    for size, part in zip(sizes, parts, strict=True):
        assert size <= len(part) < size + max(counts)
        held = Counter(each.provenance.task for each in part)
        assert held == {task: total[task] for task in held}
        assert part == [each for each in pairs if each.provenance.task in held], "the order stays"
    for smaller, larger in pairwise(parts):
        assert {each.query for each in smaller} <= {each.query for each in larger}


def test_draw_depends_on_the_seed_and_not_on_the_order_of_the_pairs():
    pairs = of_tasks([2] * 30)
    tasks = [{each.provenance.task for each in nested_subsets(pairs, [20], seed)[0]} for seed in (0, 0, 1)]
    assert tasks[0] == tasks[1] != tasks[2]
    assert {each.provenance.task for each in nested_subsets(pairs[::-1], [20], 0)[0]} == tasks[0]


def test_rejected_documents_do_not_count_as_pairs():
    pairs = [pair("a", 0), pair("a", 1, satisfied=False), pair("b", 0)]
    assert nested_subsets(pairs, [2], 0) == [[pairs[0], pairs[2]]]
    for sizes, said in (([1, 3], "size 3 cannot be had"), ([0], "size 0"), ([-5], "size -5"), ([], "no size")):
        with pytest.raises(InputError, match=f"{said}.*; give sizes from 1 to 2"):
            nested_subsets(pairs, sizes, 0)


@pytest.fixture(scope="module")
def mined(wheel):
    return list(read_records(wheel.folder / "round-1" / "pairs.jsonl", Pair))


@pytest.fixture(scope="module")
def swept(small_world, mined, wheel_settings, tmp_path_factory):
    """swept(**settings) trains on 10 and 30 pairs and asks three tasks, in the same folder: the result."""
    folder = tmp_path_factory.mktemp("sweep") / "out"
    usual = {"sizes": (30, 10), "base_model": wheel_settings.base_model, "limit": 3}
    usual["training_options"] = wheel_settings.training_options

    def run(**changed):
        return sweep(mined, small_world, folder, SweepSettings(**usual | changed))

    run()
    return run


def test_every_size_is_trained_and_compared_with_the_base(swept, mined):
    result = swept()
    (comparison,) = result.comparisons.values()
    assert load(result.folder / "comparison.json") == comparison
    assert comparison.arms == ["base", "10-pairs", "30-pairs"]
    assert comparison.base == "base"
    (cell,) = read_study(result.folder).cells
    for (arm, trained), size in zip(cell.trained.items(), (10, 30), strict=True):
        part = nested_subsets(mined, [size], 0)[0]
        assert arm == f"{size}-pairs"
        assert (trained.pairs, trained.tasks) == ([len(part)], [len({each.provenance.task for each in part})])
        assert read_record(result.folder / "models" / f"{size}-seed-0" / "model").pairs == len(part)
    assert result.record.settings["training_options"]["epochs"] == 1


def test_same_sweep_again_trains_and_runs_nothing(swept, capsys):
    result = swept()
    capsys.readouterr()
    assert swept() == result
    said = capsys.readouterr().err
    assert said.count("3 of 3 runs are in") == 3
    assert said.count("model, reused from") == 2
    assert "step 5 of 5: evaluate 30-pairs" in said


def test_other_training_is_refused_and_named(swept, wheel_settings):
    with pytest.raises(FingerprintMismatch, match="training epochs was 1 and is now 2"):
        swept(training_options={**wheel_settings.training_options, "epochs": 2})


def test_tasks_that_were_trained_on_cannot_be_asked(small_world, mined, tmp_path):
    with pytest.raises(InputError, match="choose another split"):
        sweep(mined, small_world, tmp_path / "out", SweepSettings(sizes=(10,), split="train"))
    assert not (tmp_path / "out").exists()
