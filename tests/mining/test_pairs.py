from __future__ import annotations

from math import exp, log

import pytest

from lrat_sim.errors import InputError
from lrat_sim.mining.recipe import MiningRecipe, load_recipe

NAIVE = load_recipe("mine-naive")


def negatives(pair):
    return [negative.docid for negative in pair.negatives]


def test_paper_preset_by_hand(mine, make, judged):
    """Two searches, three pairs of lengths 2, 4 and 8: beta 4, raw .293, .5, .75."""
    run = make.run(
        make.turn(make.search("first", ["a", "b", "c", "d"]), reasoning="plan"),
        make.turn(make.browse("b"), reasoning="open b", tokens=50),
        make.turn(make.browse("d"), reasoning="b helps", tokens=2),
        make.turn(make.search("second", ["e", "a", "f"]), reasoning="d says more than that", tokens=4),
        make.turn(make.browse("e"), reasoning="open e", tokens=60),
        make.turn(reasoning="e settles it", tokens=8),
    )
    pairs, report = mine([run], judged(run))

    assert [(p.query, p.positive, negatives(p), p.length) for p in pairs] == [
        ("first", "b", ["a", "c"], 2),
        ("first", "d", ["a", "c"], 4),
        ("second", "e", ["a", "f"], 8),
    ]
    raw = [1 - exp(-log(2) * length / 4) for length in (2, 4, 8)]
    mean = sum(raw) / 3
    assert [p.raw_weight for p in pairs] == pytest.approx(raw)
    assert [p.weight for p in pairs] == pytest.approx([each / mean for each in raw])
    assert (report.beta, report.mean_raw) == (4, pytest.approx(mean))
    first = pairs[0].provenance
    assert (first.task, first.trajectory, first.turn, first.rank, first.rule) == ("q1", "t1", 0, 2, "relevant")
    assert pairs[2].provenance.turn == 3
    assert report.browses == {"kept": 3}
    assert (report.searches, report.searches_with_pairs, report.negatives) == (2, 2, {"unbrowsed": 6})


def test_irrelevant_and_unjudged_browses_are_neither_positive_nor_negative(mine, make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b", "c", "d"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("b"), reasoning="not about it"),
        make.turn(make.browse("c"), reasoning="hm"),
        make.turn(reasoning="c helps"),
    )
    pairs, report = mine([run], judged(run, _1_0="irrelevant", _2_0="unjudged"))
    assert [(p.positive, negatives(p)) for p in pairs] == [("c", ["d"])]
    assert report.browses == {"kept": 1, "irrelevant": 1, "unjudged": 1}


def test_missing_or_blank_reasoning_is_unjudged_whatever_the_verdict_says(mine, make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b", "c"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("b"), reasoning="  \n"),
        make.turn(reasoning=None),
    )
    pairs, report = mine([run], judged(run))
    assert pairs == []
    assert report.browses == {"no_reasoning": 2}
    assert (report.beta, report.mean_raw, report.weights) == (None, None, None)


def test_browse_without_a_verdict_is_counted_apart(mine, make):
    pairs, report = mine([make.opening("a", "a")], {})
    assert pairs == []
    assert report.browses == {"no_verdict": 1}


def test_browse_from_an_older_list_is_dropped_and_still_no_negative(mine, make, judged):
    run = make.run(
        make.turn(make.search("one", ["a", "b"])),
        make.turn(make.search("two", ["c", "d"])),
        make.turn(make.browse("a"), make.browse("c")),
        make.turn(reasoning="fine"),
    )
    pairs, report = mine([run], judged(run))
    assert [(p.query, p.positive, negatives(p)) for p in pairs] == [("two", "c", ["d"])]
    assert report.browses == {"kept": 1, "older_list": 1}


def test_document_opened_twice_is_one_pair_by_its_first_relevant_browse(mine, make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("a"), reasoning="no", tokens=3),
        make.turn(reasoning="yes", tokens=9),
    )
    pairs, report = mine([run], judged(run, _1_0="irrelevant"))
    assert [(p.positive, p.length) for p in pairs] == [("a", 9)]
    assert report.browses == {"kept": 1, "repeated": 1}


def test_failed_browse_is_counted_and_its_document_is_no_negative(mine, make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b", "c"])),
        make.turn(make.failed("b"), make.browse("a")),
        make.turn(reasoning="fine"),
    )
    pairs, report = mine([run], judged(run))
    assert [negatives(p) for p in pairs] == [["c"]]
    assert report.browses == {"kept": 1, "failed": 1}


def test_search_with_an_empty_query_makes_no_pair(mine, make, judged):
    run = make.opening("a", "a", query="")
    assert mine([run], judged(run))[1].browses == {"no_query": 1}


def test_naive_takes_every_browse_and_weighs_alike(mine, make):
    run = make.run(
        make.turn(make.search("q", ["a", "b", "c"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("b"), reasoning="no"),
        make.turn(),
    )
    pairs, report = mine([run], {("t1", 1, 0): "irrelevant"}, NAIVE)
    assert [(p.positive, p.weight, p.raw_weight) for p in pairs] == [("a", 1.0, 1.0), ("b", 1.0, 1.0)]
    assert report.beta is None


def test_only_runs_of_the_outcome_asked_for_are_mined(mine, make, judged):
    runs = [make.opening("a", "a", id=name) for name in ("right", "wrong", "unknown")]
    runs += [make.opening("a", "a", id=name, status=name) for name in ("unanswered", "error")]
    grades = {"right": "correct", "wrong": "incorrect", "unknown": "ungraded"}
    verdicts = judged(*runs)

    def ids(outcome, unanswered=False):
        recipe = MiningRecipe(runs=outcome, unanswered=unanswered)
        pairs, report = mine(runs, verdicts, recipe, grades=grades)
        return [p.provenance.trajectory for p in pairs], report.left_out

    assert ids("all") == (["right", "wrong", "unknown"], {"not_answered": 1, "error": 1})
    left_out = {"not_answered": 1, "error": 1, "other_outcome": 1, "ungraded": 1}
    assert ids("correct") == ids("correct", unanswered=True) == (["right"], left_out)
    assert ids("all", unanswered=True) == (["right", "wrong", "unknown", "unanswered"], {"error": 1})
    assert ids("incorrect") == (["wrong"], left_out)


def test_shuffled_control_moves_every_positive_to_another_task(mine, make, judged):
    runs = [
        make.opening([f"p{n}", f"p{(n + 1) % 20}", f"n{n}"], f"p{n}", tokens=n + 1, id=f"t{n}", task=f"q{n}")
        for n in range(20)
    ]
    plain, _ = mine(runs, judged(*runs))
    shuffled, report = mine(runs, judged(*runs), MiningRecipe(shuffle_positives=3))
    again, _ = mine(runs, judged(*runs), MiningRecipe(shuffle_positives=3))

    assert shuffled == again
    assert sorted(p.positive for p in shuffled) == sorted(p.positive for p in plain)
    assert all(a.positive != b.positive for a, b in zip(plain, shuffled, strict=True))
    assert all(p.positive not in negatives(p) for p in shuffled)
    assert [(p.query, p.weight) for p in shuffled] == [(p.query, p.weight) for p in plain]
    assert report.negatives["unbrowsed"] == sum(len(p.negatives) for p in shuffled)


def test_shuffle_of_one_document_is_refused(mine, make, judged):
    run = make.opening("a", "a")
    with pytest.raises(InputError, match="cannot be exchanged"):
        mine([run], judged(run), MiningRecipe(shuffle_positives=0))
