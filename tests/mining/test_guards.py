from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.mining.guards import drawn_from_list, exchange
from lrat_sim.mining.recipe import Guards, MiningRecipe, NearPositive, load_recipe
from lrat_sim.records import Document, Negative


def ids(pair):
    return [negative.docid for negative in pair.negatives]


@pytest.fixture(scope="session")
def guarded(mine):
    """Mines as the paper does, with some guards."""
    return lambda runs, verdicts, guards, **more: mine(runs, verdicts, MiningRecipe(guards=guards), **more)


def test_look_ahead_spares_what_the_run_opens_later(guarded, make, judged):
    run = make.run(
        make.turn(make.search("one", ["a", "b", "c"])),
        make.turn(make.browse("a")),
        make.turn(make.search("two", ["d", "b"]), reasoning="fine"),
        make.turn(make.browse("b")),
        make.turn(reasoning="fine"),
    )
    assert [ids(pair) for pair in guarded([run], judged(run), Guards())[0]] == [["b", "c"], ["d"]]
    pairs, report = guarded([run], judged(run), Guards(look_ahead=True))
    assert [ids(pair) for pair in pairs] == [["c"], ["d"]]
    assert report.unlabelled["opened_later"] == 1


def test_positive_of_a_question_is_no_negative_of_it_in_any_run(guarded, make, judged):
    runs = [
        make.opening(["a", "b", "c"], "a", id="t1"),
        make.opening(["a", "b", "c"], "b", id="t2"),
        make.opening(["a", "b", "c"], "c", task="q2", id="t3"),
    ]
    pairs, report = guarded(runs, judged(*runs), Guards(question_positives=True))
    assert [ids(pair) for pair in pairs] == [["c"], ["c"], ["a", "b"]]
    assert report.unlabelled["question_positive"] == 2


def test_of_repeated_pairs_the_one_with_the_longest_reasoning_stays(guarded, make, judged):
    runs = [
        make.opening(["a", "b"], "a", tokens=3, id="t1"),
        make.opening(["a", "c"], "a", tokens=9, id="t2"),
        make.opening(["a", "d"], "a", query="other", tokens=1, id="t3"),
        make.opening(["a", "e"], "e", tokens=1, id="t4"),
    ]
    for order in (runs, runs[::-1]):
        pairs, report = guarded(order, judged(*runs), Guards(deduplicate=True))
        assert sorted(pair.provenance.trajectory for pair in pairs) == ["t2", "t3", "t4"]
        assert report.dropped == {"duplicate": 1}
        assert report.pairs == 3
        assert sum(pair.weight for pair in pairs) == pytest.approx(3)


def test_document_is_the_positive_of_so_many_pairs_at_most_whatever_the_order(guarded, make, judged):
    runs = [make.opening(["a", "b"], "a", query=f"q{n}", id=f"t{n}") for n in range(8)] + [
        make.opening(["b", "c"], "b", id="t9")
    ]
    kept = []
    for order in (runs, runs[::-1]):
        pairs, report = guarded(order, judged(*runs), Guards(pairs_per_document=3))
        assert report.dropped == {"pairs_per_document": 5}
        kept.append(sorted(pair.provenance.trajectory for pair in pairs))
    assert kept[0] == kept[1]
    assert len(kept[0]) == 4
    assert "t9" in kept[0]


def test_document_is_a_negative_of_so_many_pairs_at_most_whatever_the_order(guarded, make, judged):
    runs = [make.opening([f"p{n}", "hub", f"n{n}"], f"p{n}", id=f"t{n}") for n in range(8)]
    with_hub = []
    for order in (runs, runs[::-1]):
        pairs, report = guarded(order, judged(*runs), Guards(negatives_per_document=2))
        assert all(f"n{pair.positive[1]}" in ids(pair) for pair in pairs)
        with_hub.append(sorted(pair.positive for pair in pairs if "hub" in ids(pair)))
        assert report.unlabelled["negatives_per_document"] == 6
        assert report.negatives == {"unbrowsed": 10}
    assert with_hub[0] == with_hub[1]
    assert len(with_hub[0]) == 2


class Angles:
    """Texts and queries are angles in degrees; what an encoder says of them is their cosine."""

    def _vector(self, text):
        angle = np.radians(float(text))
        return np.array([np.cos(angle), np.sin(angle)], np.float32)

    def documents(self, texts):
        return np.stack([self._vector(text) for text in texts])

    def queries(self, texts):
        return self.documents(texts)


@pytest.fixture
def corpus(tmp_path):
    texts = {"p": "30", "near": "33", "same": "30", "better": "10", "far": "40", "worse": "120", "behind": "150"}
    return Corpus.build(tmp_path / "corpus", [Document(id=docid, text=text) for docid, text in texts.items()])


def test_negative_above_the_share_of_the_positives_score_is_dropped(guarded, make, judged, corpus):
    run = make.opening(["p", "near", "same", "better", "far"], "p", query="0", id="t1")
    pairs, report = guarded([run], judged(run), Guards(near_positive=NearPositive()), corpus=corpus, encoder=Angles())
    assert [ids(pair) for pair in pairs] == [["far"]]  # cos 33 / cos 30 is .968, cos 40 / cos 30 is .885
    assert report.unlabelled["near_positive"] == 3
    lenient = Guards(near_positive=NearPositive(share=0.97))
    assert [ids(pair) for pair in guarded([run], judged(run), lenient, corpus=corpus, encoder=Angles())[0]] == [
        ["near", "far"]
    ]


def test_share_of_a_score_below_zero_still_leaves_only_what_is_worse(guarded, make, judged, corpus):
    run = make.opening(["worse", "behind", "p"], "worse", query="0", id="t1")
    pairs, _ = guarded([run], judged(run), Guards(near_positive=NearPositive()), corpus=corpus, encoder=Angles())
    assert [ids(pair) for pair in pairs] == [["behind"]]


def test_scores_without_encoder_or_corpus_are_refused(guarded, make, judged, corpus):
    run = make.opening(["p", "far"], "p", query="0", id="t1")
    guards = Guards(near_positive=NearPositive())
    for missing in ({}, {"encoder": Angles()}, {"corpus": corpus}):
        with pytest.raises(InputError, match="needs an encoder and the corpus"):
            guarded([run], judged(run), guards, **missing)


def test_document_that_the_scoring_corpus_lacks_is_named(guarded, make, judged, corpus):
    run = make.opening(["p", "far"], "p", query="0", id="t1")
    small = Corpus.build(corpus.folder.parent / "small", [Document(id="p", text="30")])
    pairs, _ = guarded([run], judged(run), Guards(near_positive=NearPositive()), corpus=small, encoder=Angles())
    assert [ids(pair) for pair in pairs] == [[]]  # a document outside the corpus counts for nothing


def test_documents_outside_the_corpus_are_neither_positive_nor_negative(guarded, make, judged):
    runs = [make.opening(["a", "b", "c"], "a", id="t1"), make.opening(["x", "b"], "x", id="t2")]
    pairs, report = guarded(runs, judged(*runs), Guards(), corpus={"a", "b"})
    assert [(pair.positive, ids(pair)) for pair in pairs] == [("a", ["b"])]
    assert report.browses == {"kept": 1, "not_in_corpus": 1}
    assert report.unlabelled["not_in_corpus"] == 1


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


LISTED = [Negative(docid=docid, weight=0.5 + place, tier=f"tier {place}") for place, docid in enumerate("abc")]


def test_a_positive_drawn_from_the_list_changes_places_with_the_one_it_was():
    drawn = [drawn_from_list("p", LISTED, 1, "run", turn) for turn in range(4000)]
    for positive, rest in drawn[:50]:
        assert sorted([positive, *(negative.docid for negative in rest)]) == ["a", "b", "c", "p"]
        assert [(negative.weight, negative.tier) for negative in rest] == [(n.weight, n.tier) for n in LISTED]
    counts = Counter(positive for positive, _ in drawn)
    assert set(counts) == {"p", "a", "b", "c"}
    assert all(900 < count < 1100 for count in counts.values()), "all alike often"


def test_a_draw_depends_on_its_own_pair_and_the_seed_alone():
    first = [drawn_from_list("p", LISTED, 7, "run", turn) for turn in range(20)]
    assert [drawn_from_list("p", LISTED, 7, "run", turn) for turn in range(20)] == first
    assert [drawn_from_list("p", LISTED, 8, "run", turn) for turn in range(20)] != first
    assert drawn_from_list("p", [], 0, "run") == ("p", [])


def test_the_gentle_control_keeps_each_querys_documents_and_says_so(mine, make, judged):
    runs = [make.opening("abcde", "c", query=f"query {n}", tokens=n + 1, id=f"t{n}", task=f"q{n}") for n in range(30)]
    verdicts = judged(*runs)
    plain = list(mine(runs, verdicts, MiningRecipe())[0])
    options = {"shuffle_positives.within": "list", "shuffle_positives.seed": "4"}  # as the command line gives them
    drawn = list(mine(runs, verdicts, load_recipe("mine-paper", options))[0])
    assert [(pair.query, pair.weight) for pair in drawn] == [(pair.query, pair.weight) for pair in plain]
    assert {pair.positive for pair in drawn} == set("abcde")
    for pair in drawn:
        assert sorted([pair.positive, *(each.docid for each in pair.negatives)]) == list("abcde")
        assert pair.provenance.rule == "relevant, shuffled"


def test_a_seed_alone_means_an_exchange_between_pairs():
    assert MiningRecipe(shuffle_positives=3).shuffle.within == "pairs"
    assert MiningRecipe().shuffle is None
