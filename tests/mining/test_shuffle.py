from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.mining.mine import mine
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.mining.shuffle import drawn_from_list, exchange
from lrat_sim.records import Negative


@settings(max_examples=50, deadline=None)
@given(st.integers(4, 40), st.integers(0, 9))
def test_no_pair_gets_a_positive_of_its_own_task(tasks, seed):
    positives = [f"d{task}.{place}" for task in range(tasks) for place in range(2)]
    owners = [f"q{task}" for task in range(tasks) for _ in range(2)]
    result = exchange(positives, owners, seed)
    assert sorted(result) == sorted(positives)
    assert all(docid.split(".")[0] != f"d{owner[1:]}" for docid, owner in zip(result, owners, strict=True))


def test_too_few_tasks_still_move_every_positive():
    result = exchange(["a", "b", "c"], ["q", "q", "q"], 1)
    assert sorted(result) == ["a", "b", "c"]
    assert all(new != old for new, old in zip(result, ["a", "b", "c"], strict=True))


def test_one_seed_gives_one_exchange_and_another_seed_another():
    positives, tasks = [f"d{n}" for n in range(30)], [f"q{n}" for n in range(30)]
    assert exchange(positives, tasks, 1) == exchange(positives, tasks, 1) != exchange(positives, tasks, 2)


def test_a_document_in_more_than_half_of_the_pairs_cannot_be_exchanged():
    with pytest.raises(InputError, match="more than half"):
        exchange(["a", "a", "b"], ["q1", "q2", "q3"], 0)


def listed(*docids):
    return [Negative(docid=docid, weight=0.5 + place, tier=f"tier {place}") for place, docid in enumerate(docids)]


def test_a_positive_drawn_from_the_list_changes_places_with_the_one_it_was():
    negatives = listed("a", "b", "c")
    drawn = [drawn_from_list("p", negatives, seed, "run", 3) for seed in range(40)]
    assert {positive for positive, _ in drawn} == {"p", "a", "b", "c"}
    for positive, rest in drawn:
        assert sorted([positive, *(each.docid for each in rest)]) == ["a", "b", "c", "p"]
        assert [(each.weight, each.tier) for each in rest] == [(each.weight, each.tier) for each in negatives]


def test_all_documents_of_a_list_are_drawn_alike_often():
    drawn = Counter(drawn_from_list("p", listed("a", "b", "c"), 1, pair)[0] for pair in range(4000))
    assert all(900 < count < 1100 for count in drawn.values())


def test_a_draw_depends_on_its_own_pair_alone():
    negatives = listed("a", "b", "c", "d")
    first = [drawn_from_list("p", negatives, 7, "run", turn) for turn in range(20)]
    assert [drawn_from_list("p", negatives, 7, "run", turn) for turn in range(20)] == first
    assert [drawn_from_list("p", negatives, 8, "run", turn) for turn in range(20)] != first


def test_a_pair_without_negatives_keeps_its_positive():
    assert drawn_from_list("p", [], 0, "run") == ("p", [])


def test_the_gentle_control_keeps_each_querys_documents_and_says_so(make, judged):
    runs = [
        make.run(
            make.turn(make.search(f"query {n}", list("abcde"))),
            make.turn(make.browse("c")),
            make.turn(reasoning="fine " * (n + 1)),
            id=f"t{n}",
            task=f"q{n}",
        )
        for n in range(30)
    ]
    verdicts = judged(*runs)
    plain = list(mine(runs, verdicts, MiningRecipe())[0])
    options = {"shuffle_positives.within": "list", "shuffle_positives.seed": "4"}  # as the command line gives them
    drawn = list(mine(runs, verdicts, load_recipe("mine-paper", options))[0])
    assert [(pair.query, pair.weight) for pair in drawn] == [(pair.query, pair.weight) for pair in plain]
    assert {pair.positive for pair in drawn} == set("abcde")
    for pair in drawn:
        assert sorted([pair.positive, *(each.docid for each in pair.negatives)]) == list("abcde")
        assert pair.provenance.rule == "relevant, shuffled"


def test_a_seed_alone_still_means_an_exchange_between_pairs():
    assert MiningRecipe(shuffle_positives=3).shuffle.within == "pairs"
    assert MiningRecipe().shuffle is None
    # the identity of a recipe is written in every folder made by it
    assert MiningRecipe().fingerprint == "c3954f7c58f075dc"
