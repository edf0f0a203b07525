"""A run is cut into steps as LRAT's Table 1 and Figure 4 count them; measures are what a hand count gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lrat_sim.behaviour import resample
from lrat_sim.behaviour.measures import measures
from lrat_sim.behaviour.observed import OFFLINE_RULES, ObservedRuns, observe, retriever_name, steps_of
from lrat_sim.behaviour.resample import TaskResamples, auc, kolmogorov_smirnov, log_spread, quantile
from lrat_sim.errors import InputError
from lrat_sim.records import Call

FAILED = Call(id="x", tool="search", arguments={"query": "q"}, error="refused")
# "mill" stands in the question; of owner, osk, born and where only osk had been shown
READ = {"q0": "mill owner", "0": "Osk bought the weir", "q1": "Osk mill born where"}


@pytest.mark.parametrize(
    ("steps", "options", "counted"),
    [
        # search-search, search-browse, browse-search, browse-browse; the answer is no step
        ("abc def =d =e ghi =a", {}, {"searches": 3, "browses": 3, "moves": (1, 2, 1, 1)}),
        ("abc =a", {"extra_calls": [FAILED]}, {"searches": 1, "browses": 1, "moves": (0, 1, 0, 0)}),
        ("ab =a cd =a =b", {"evidence": "ab"}, {"evidence_opened": 2}),  # the same twice counts once
        ("ab =a", {}, {"evidence_opened": None}),
        ("abc =a abd ef", {}, {"new": [(3, 3), (1, 3), (2, 2)]}),  # results that no earlier list held
        ("ab cd", {"outputs": READ}, {"terms": (1, 4)}),
        ("ab", {"outcome": "incorrect"}, {"outcome": "incorrect"}),
        ("ab", {"outcome": "unanswered"}, {"outcome": "incorrect"}),
        ("ab", {"outcome": "error"}, {"outcome": "error"}),
        ("ab", {"outcome": None}, {"outcome": "ungraded"}),
    ],
)
def test_what_a_run_did_is_counted(entry, steps, options, counted):
    run = steps_of(entry("t", steps, **options))
    assert {field: getattr(run, field) for field in counted} == counted


@pytest.mark.parametrize(
    ("field", "steps", "options", "values"),
    [
        ("rank", "abc =c cab =c xyz =b =q", {}, [3, 1, 3, None]),  # in the latest list that showed the document
        ("length", "abc =a =b =c", {"lengths": [30, 0, 50]}, [30, None, 50]),
        ("evidence", "ab =a =b", {"evidence": "b"}, [False, True]),
        ("evidence", "ab =a", {}, [None]),  # unknown without annotations
        ("again", "ab =a =b bc", {}, [False, True]),  # shown by a later list
    ],
)
def test_what_is_known_of_each_opened_document(entry, field, steps, options, values):
    opened = steps_of(entry("t", steps, **options)).opened
    assert [getattr(document, field) for document in opened] == values


def test_recorded_verdicts_count_and_without_any_the_rules_judge(entry):
    judged = steps_of(entry("t", "ab =a =b", verdicts={1: "irrelevant"}))
    assert [document.verdict for document in judged.opened] == ["irrelevant", None]
    assert judged.judged_by == "hand"
    by_rules = steps_of(entry("t", "ab =a"))
    assert by_rules.opened[0].verdict == "relevant"
    assert by_rules.judged_by == OFFLINE_RULES


def test_the_setting_names_the_retriever_with_its_model_and_what_it_wraps(entry):
    dense = {"kind": "dense", "model": "/models/minilm/"}
    assert retriever_name(dense) == "dense:minilm"
    assert retriever_name({"kind": "degraded", "rate": 0.5, "base": dense}) == "degraded(0.5) of dense:minilm"
    setting = steps_of(entry("t", "ab", retriever={"kind": "shuffled", "base": dense})).setting
    assert (setting.shuffled, setting.k, setting.snippet_tokens) == (True, 10, 64)


@pytest.fixture
def seen(entry):
    entries = [
        entry("t1", "abc abd =a =b", evidence="ab", lengths=[40, 80]),
        entry("t2", "abc =c abd", outcome="incorrect", evidence="b", lengths=[20]).changed(end_reason="turn_limit"),
        entry("t3", "abc", outcome="error", evidence="a"),
        entry("t4", "abc", outcome=None),
    ]
    return ObservedRuns("group", [steps_of(run) for run in entries], resamples=200)


def test_measures_are_what_a_hand_count_gives(seen):
    expected = {
        # Table 1, by outcome; broken runs are left out
        "searches.correct": 2,
        "browses.correct": 2,
        "steps.incorrect": 3,
        "steps.all": (4 + 3 + 1) / 3,
        "browses_per_search.all": 3 / 5,
        "browses_per_search.correct_minus_incorrect": 2 / 2 - 1 / 2,
        # ungraded answers are left out of success, and broken runs are failures
        "success": 1 / 3,
        "completed": 0.75,
        "forced_of_completed": 1 / 3,
        "silent_turns": 0,
        "after_search.browse.correct": 0.5,
        "after_browse.search.incorrect": 1,
        "length.correct": 60,
        "length.incorrect": 20,
        "length.evidence": 60,
        "length.other": 20,
        "length_auc": 1,
        "length.pairs": 60,  # both were judged relevant, in a correct run
        "rank.1": 1 / 3,
        "rank.2": 1 / 3,
        "rank.3": 1 / 3,
        "rank_top3": 1,
        "accuracy.0-1": 0,
        "accuracy.2-3": 1,
    }
    found = measures(seen)
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    for after in ("after_search", "after_browse"):
        for outcome in ("correct", "incorrect", "all"):
            assert sum(found[f"{after}.{step}.{outcome}"].value for step in ("search", "browse")) == pytest.approx(1.0)
    assert found["accuracy.4-5"].value is None
    assert seen.outcomes == {"correct": 1, "incorrect": 1, "error": 1, "ungraded": 1}


def test_turns_without_reasoning_are_counted(entry):
    runs = [steps_of(entry("t1", "abc =a", lengths=[0])), steps_of(entry("t2", "abc"))]
    assert measures(ObservedRuns("g", runs))["silent_turns"].value == 1 / 5


def test_what_no_run_shows_is_unknown_and_not_zero(entry):
    found = measures(ObservedRuns("g", [steps_of(entry("t", "abc", outcome="correct"))]))
    assert found["length_auc"].value is None
    assert found["searches.incorrect"].value is None
    assert found["kept.evidence"].value is None
    assert found["searches.correct"].low is None  # one task leaves nothing to resample


def test_intervals_are_over_tasks_not_runs():
    tasks = [f"t{place % 4}" for place in range(400)]
    values = np.array([float(place % 4 < 2) for place in range(400)])
    few = TaskResamples(tasks, resamples=400)
    many = TaskResamples([f"t{place}" for place in range(400)], resamples=400)
    wide, narrow = few.ratio(few.indices(tasks), values), many.ratio(np.arange(400), values)
    assert wide.value == narrow.value == 0.5
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_a_large_group_is_resampled_in_batches_alike(monkeypatch):
    rng = np.random.default_rng(0)
    names = [f"t{place}" for place in range(50)]
    places, values = rng.integers(0, 50, 300), rng.normal(size=300)
    whole = TaskResamples(names, resamples=100).statistic(places, quantile(values, 0.5))
    monkeypatch.setattr(resample, "_CELLS", 1000)
    assert TaskResamples(names, resamples=100).statistic(places, quantile(values, 0.5)) == whole


def test_statistics_equal_scipys():
    rng = np.random.default_rng(1)
    values = np.round(rng.lognormal(4, 0.7, 200))
    positive = rng.random(200) < 0.4
    ones = np.ones((1, 200))
    expected = stats.mannwhitneyu(values[positive], values[~positive]).statistic / (positive.sum() * (~positive).sum())
    assert auc(values, positive)(ones)[0] == pytest.approx(expected)
    curve = stats.lognorm(s=0.7, scale=60)
    assert kolmogorov_smirnov(values, curve.cdf)(ones)[0] == pytest.approx(stats.kstest(values, curve.cdf).statistic)
    assert log_spread(values)(ones)[0] == pytest.approx(np.log(values).std())
    assert quantile(values, 0.5)(ones)[0] in (np.sort(values)[99], np.sort(values)[100])


def test_a_weight_of_two_is_the_observation_twice():
    values, positive = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, False])
    weights = np.array([[2.0, 1.0, 0.0, 1.0]])
    twice = np.array([1.0, 1.0, 2.0, 4.0]), np.array([True, True, False, False])
    assert auc(values, positive)(weights)[0] == auc(*twice)(np.ones((1, 4)))[0]
    curve = stats.uniform(0, 5).cdf
    assert kolmogorov_smirnov(values, curve)(weights)[0] == pytest.approx(stats.kstest(twice[0], curve).statistic)


def test_groups_are_by_run_agent_or_retriever(entry, write_run):
    one = write_run("one", [entry("t1", "abc", agent="quick"), entry("t2", "abc =a", agent="slow")])
    two = write_run("two", [entry("t1", "abc", agent="slow", retriever={"kind": "dense"})])
    assert [(group.name, len(group.runs)) for group in observe([one, two])] == [("one", 2), ("two", 1)]
    assert [(group.name, len(group.runs)) for group in observe([one, two], by="agent")] == [("quick", 1), ("slow", 2)]
    by_retriever = observe([one, two], by="retriever")
    assert [(group.name, len(group.runs)) for group in by_retriever] == [("bm25", 2), ("dense", 1)]
    assert by_retriever[0].setting.agent == "several"


def test_bad_sources_are_said_in_a_sentence(tmp_path, entry, write_run):
    run = write_run("one", [entry("t1", "abc")])
    with pytest.raises(InputError, match="given twice"):
        observe([run, run])
    with pytest.raises(InputError, match="does not exist"):
        observe([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="--by"):
        observe([run], by="moon")
    with pytest.raises(InputError, match="no trajectory"):
        observe([write_run("empty", [])])
