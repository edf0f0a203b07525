from __future__ import annotations

from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.mining.mine import mine
from lrat_sim.mining.recipe import MiningRecipe, NegativeRule, load_recipe
from lrat_sim.records import Call, Hit, Trajectory, Turn

PAPER = load_recipe("mine-paper")
NAIVE = load_recipe("mine-naive")


def mined(trajectories, verdicts, recipe=PAPER, **more):
    pairs, report = mine(trajectories, verdicts, recipe, **more)
    return list(pairs), report


def negatives(pair):
    return [negative.docid for negative in pair.negatives]


def test_paper_preset_by_hand(make, judged):
    """Two searches, three pairs of lengths 2, 4 and 8: beta 4, raw .293, .5, .75."""
    run = make.run(
        make.turn(make.search("first", ["a", "b", "c", "d"]), reasoning="plan"),
        make.turn(make.browse("b"), reasoning="open b", tokens=50),
        make.turn(make.browse("d"), reasoning="b helps", tokens=2),
        make.turn(make.search("second", ["e", "a", "f"]), reasoning="d says more than that", tokens=4),
        make.turn(make.browse("e"), reasoning="open e", tokens=60),
        make.turn(reasoning="e settles it", tokens=8),
    )
    pairs, report = mined([run], judged(run))

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


def test_irrelevant_and_unjudged_browses_are_neither_positive_nor_negative(make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b", "c", "d"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("b"), reasoning="not about it"),
        make.turn(make.browse("c"), reasoning="hm"),
        make.turn(reasoning="c helps"),
    )
    pairs, report = mined([run], judged(run, _1_0="irrelevant", _2_0="unjudged"))
    assert [(p.positive, negatives(p)) for p in pairs] == [("c", ["d"])]
    assert report.browses == {"kept": 1, "irrelevant": 1, "unjudged": 1}


def test_missing_or_blank_reasoning_is_unjudged_whatever_the_verdict_says(make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b", "c"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("b"), reasoning="  \n"),
        make.turn(reasoning=None),
    )
    pairs, report = mined([run], judged(run))
    assert pairs == []
    assert report.browses == {"no_reasoning": 2}
    assert (report.beta, report.mean_raw, report.weights) == (None, None, None)


def test_browse_without_a_verdict_is_counted_apart(make):
    run = make.run(make.turn(make.search("q", ["a"])), make.turn(make.browse("a")), make.turn(reasoning="good"))
    pairs, report = mined([run], {})
    assert pairs == []
    assert report.browses == {"no_verdict": 1}


def test_browse_from_an_older_list_is_dropped_and_still_no_negative(make, judged):
    run = make.run(
        make.turn(make.search("one", ["a", "b"])),
        make.turn(make.search("two", ["c", "d"])),
        make.turn(make.browse("a"), make.browse("c")),
        make.turn(reasoning="fine"),
    )
    pairs, report = mined([run], judged(run))
    assert [(p.query, p.positive, negatives(p)) for p in pairs] == [("two", "c", ["d"])]
    assert report.browses == {"kept": 1, "older_list": 1}


def test_parallel_browses_share_reasoning_and_length(make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b", "c"])),
        make.turn(make.browse("a"), make.browse("b")),
        make.turn(reasoning="both help", tokens=7),
    )
    pairs, _ = mined([run], judged(run))
    assert [(p.positive, p.length, negatives(p)) for p in pairs] == [("a", 7, ["c"]), ("b", 7, ["c"])]


def test_document_opened_twice_is_one_pair_by_its_first_relevant_browse(make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("a"), reasoning="no", tokens=3),
        make.turn(reasoning="yes", tokens=9),
    )
    pairs, report = mined([run], judged(run, _1_0="irrelevant"))
    assert [(p.positive, p.length) for p in pairs] == [("a", 9)]
    assert report.browses == {"kept": 1, "repeated": 1}


def test_failed_browse_is_counted_and_its_document_is_no_negative(make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b", "c"])),
        make.turn(make.failed("b"), make.browse("a")),
        make.turn(reasoning="fine"),
    )
    pairs, report = mined([run], judged(run))
    assert [negatives(p) for p in pairs] == [["c"]]
    assert report.browses == {"kept": 1, "failed": 1}


def test_search_with_an_empty_query_makes_no_pair(make, judged):
    run = make.run(make.turn(make.search("", ["a"])), make.turn(make.browse("a")), make.turn(reasoning="fine"))
    assert mined([run], judged(run))[1].browses == {"no_query": 1}


def test_naive_takes_every_browse_and_weighs_alike(make):
    run = make.run(
        make.turn(make.search("q", ["a", "b", "c"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("b"), reasoning="no"),
        make.turn(),
    )
    pairs, report = mined([run], {("t1", 1, 0): "irrelevant"}, NAIVE)
    assert [(p.positive, p.weight, p.raw_weight) for p in pairs] == [("a", 1.0, 1.0), ("b", 1.0, 1.0)]
    assert report.beta is None


def test_only_runs_of_the_outcome_asked_for_are_mined(make, judged):
    turns = (make.turn(make.search("q", ["a"])), make.turn(make.browse("a")), make.turn(reasoning="fine"))
    runs = [make.run(*turns, id=name) for name in ("right", "wrong", "unknown")]
    runs += [make.run(*turns, id="silent", status="unanswered"), make.run(*turns, id="broken", status="error")]
    grades = {"right": "correct", "wrong": "incorrect", "unknown": "ungraded"}
    verdicts = judged(*runs)

    def ids(outcome):
        pairs, report = mined(runs, verdicts, MiningRecipe(runs=outcome), grades=grades)
        return [p.provenance.trajectory for p in pairs], report.left_out

    assert ids("all") == (["right", "wrong", "unknown"], {"not_answered": 1, "error": 1})
    left_out = {"not_answered": 1, "error": 1, "other_outcome": 1, "ungraded": 1}
    assert ids("correct") == (["right"], left_out)
    assert ids("incorrect") == (["wrong"], left_out)


def test_outcome_without_grades_is_refused(make):
    with pytest.raises(InputError, match="grade the runs first"):
        mine([], {}, MiningRecipe(runs="correct"))


def test_negatives_keep_their_limit_weight_and_tier(make, judged):
    run = make.run(make.turn(make.search("q", list("abcd"))), make.turn(make.browse("b")), make.turn(reasoning="ok"))
    recipe = MiningRecipe(negatives=[NegativeRule(rule="unbrowsed", weight=0.3, limit=2)])
    [pair], _ = mined([run], judged(run), recipe)
    assert [(n.docid, n.weight, n.tier) for n in pair.negatives] == [("a", 0.3, "unbrowsed"), ("c", 0.3, "unbrowsed")]


def test_shuffled_control_moves_every_positive_to_another_task(make, judged):
    runs = [
        make.run(
            make.turn(make.search(f"q{n}", [f"p{n}", f"p{(n + 1) % 20}", f"n{n}"])),
            make.turn(make.browse(f"p{n}")),
            make.turn(reasoning="fine " * (n + 1)),
            id=f"t{n}",
            task=f"q{n}",
        )
        for n in range(20)
    ]
    plain, _ = mined(runs, judged(*runs))
    shuffled, report = mined(runs, judged(*runs), MiningRecipe(shuffle_positives=3))
    again, _ = mined(runs, judged(*runs), MiningRecipe(shuffle_positives=3))

    assert shuffled == again
    assert sorted(p.positive for p in shuffled) == sorted(p.positive for p in plain)
    assert all(a.positive != b.positive for a, b in zip(plain, shuffled, strict=True))
    assert all(p.positive not in negatives(p) for p in shuffled)
    assert [(p.query, p.weight) for p in shuffled] == [(p.query, p.weight) for p in plain]
    assert report.negatives["unbrowsed"] == sum(len(p.negatives) for p in shuffled)


def test_shuffle_of_one_document_is_refused(make, judged):
    run = make.run(make.turn(make.search("q", ["a"])), make.turn(make.browse("a")), make.turn(reasoning="fine"))
    with pytest.raises(InputError, match="cannot be exchanged"):
        mined([run], judged(run), MiningRecipe(shuffle_positives=0))


IDS = st.sampled_from("abcdefgh")
SEARCH = st.lists(IDS, unique=True, max_size=5).map(
    lambda ids: Call(
        id="s",
        tool="search",
        arguments={},
        executed={"query": "q " + "".join(ids)},
        hits=[Hit(docid=docid, score=0.0, rank=rank) for rank, docid in enumerate(ids, 1)],
    )
)
BROWSE = IDS.map(lambda docid: Call(id="b", tool="get_document", arguments={}, executed={"docid": docid}, docid=docid))
FAILED = IDS.map(lambda docid: Call(id="f", tool="get_document", arguments={"docid": docid}, error="gone"))
REASONING = st.one_of(st.none(), st.just(""), st.just(" "), st.integers(1, 400).map(lambda n: "word " * n))
TURN = st.builds(
    lambda reasoning, calls: Turn(reasoning=reasoning, reasoning_tokens=len((reasoning or "").split()), calls=calls),
    REASONING,
    st.lists(st.one_of(SEARCH, BROWSE, BROWSE, FAILED), max_size=3),
)


@st.composite
def judged_runs(draw):
    runs, verdicts = [], {}
    for number in range(draw(st.integers(1, 4))):
        turns = draw(st.lists(TURN, max_size=8))
        status = draw(st.sampled_from(["answered", "answered", "answered", "unanswered", "error"]))
        runs.append(
            Trajectory(
                id=f"t{number}",
                task_id=f"q{number % 2}",
                question="?",
                sample=0,
                agent={},
                retriever={},
                seed=0,
                status=status,
                end_reason="answer",
                answer=None,
                turns=turns,
            )
        )
        for place, turn in enumerate(turns):
            for index, call in enumerate(turn.calls):
                state = draw(st.sampled_from(["relevant", "relevant", "irrelevant", "unjudged", None]))
                if call.docid is not None and state is not None:
                    verdicts[(f"t{number}", place, index)] = state
    return runs, verdicts


@settings(max_examples=50, deadline=None)
@given(judged_runs())
def test_nothing_is_labelled_by_accident(case):
    runs, verdicts = case
    pairs, report = mined(runs, verdicts)
    by_id = {run.id: run for run in runs}
    answered = [run for run in runs if run.status == "answered"]
    browses = sum(
        call.docid is not None or call.error is not None
        for run in answered
        for turn in run.turns
        for call in turn.calls
    )
    assert sum(report.browses.values()) == browses
    assert report.browses.get("kept", 0) == report.pairs == len(pairs)
    assert report.mined == len(answered)

    for pair in pairs:
        # traceable to its turn: that turn has a search with this query and the positive at this rank
        source = by_id[pair.provenance.trajectory]
        searches = [c for c in source.turns[pair.provenance.turn].calls if c.hits is not None]
        lists = [
            c.hits
            for c in searches
            if c.executed["query"] == pair.query.strip() or c.executed["query"].strip() == pair.query
        ]
        assert any(hit.docid == pair.positive and hit.rank == pair.provenance.rank for hits in lists for hit in hits)
        shown = {hit.docid for hits in lists for hit in hits}
        assert pair.positive not in negatives(pair)
        assert set(negatives(pair)) <= shown
        # the positive has a relevant verdict and reasoning after it, of this length
        support = [
            (number, index)
            for number, turn in enumerate(source.turns)
            for index, call in enumerate(turn.calls)
            if call.docid == pair.positive
            and number > pair.provenance.turn
            and verdicts.get((source.id, number, index)) == "relevant"
            and number + 1 < len(source.turns)
            and (source.turns[number + 1].reasoning or "").strip()
            and source.turns[number + 1].reasoning_tokens == pair.length
        ]
        assert support


@settings(max_examples=50, deadline=None)
@given(judged_runs())
def test_weights_have_mean_one_and_half_at_the_median(case):
    pairs, report = mined(*case)
    if not pairs:
        assert report.beta is None
        return
    assert sum(p.weight for p in pairs) / len(pairs) == pytest.approx(1)
    for pair in pairs:
        assert 0 < pair.raw_weight < 1 or pair.raw_weight == pytest.approx(1)
        assert pair.weight < 1 / report.mean_raw + 1e-9
        if pair.length == report.beta:
            assert pair.raw_weight == pytest.approx(0.5)
    ordered = sorted(pairs, key=lambda p: p.length)
    assert [p.weight for p in ordered] == sorted(p.weight for p in pairs)
