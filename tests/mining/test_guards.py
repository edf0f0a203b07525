from __future__ import annotations

import numpy as np
import pytest

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.mining.mine import mine
from lrat_sim.mining.recipe import Guards, MiningRecipe, NearPositive, load_recipe
from lrat_sim.records import Document


def mined(runs, verdicts, guards, **more):
    pairs, report = mine(runs, verdicts, MiningRecipe(guards=guards), **more)
    return list(pairs), report


def ids(pair):
    return [negative.docid for negative in pair.negatives]


@pytest.fixture
def found(make):
    """A run that opens one document of one list."""

    def build(name, listed, opened, *, task="q1", query="q", tokens=5):
        return make.run(
            make.turn(make.search(query, listed)),
            make.turn(make.browse(opened)),
            make.turn(reasoning="fine", tokens=tokens),
            id=name,
            task=task,
        )

    return build


def test_look_ahead_spares_what_the_run_opens_later(make, judged):
    run = make.run(
        make.turn(make.search("one", ["a", "b", "c"])),
        make.turn(make.browse("a")),
        make.turn(make.search("two", ["d", "b"]), reasoning="fine"),
        make.turn(make.browse("b")),
        make.turn(reasoning="fine"),
    )
    assert [ids(pair) for pair in mined([run], judged(run), Guards())[0]] == [["b", "c"], ["d"]]
    pairs, report = mined([run], judged(run), Guards(look_ahead=True))
    assert [ids(pair) for pair in pairs] == [["c"], ["d"]]
    assert report.unlabelled["opened_later"] == 1


def test_positive_of_a_question_is_no_negative_of_it_in_any_run(found, judged):
    runs = [
        found("t1", ["a", "b", "c"], "a"),
        found("t2", ["a", "b", "c"], "b"),
        found("t3", ["a", "b", "c"], "c", task="q2"),
    ]
    pairs, report = mined(runs, judged(*runs), Guards(question_positives=True))
    assert [ids(pair) for pair in pairs] == [["c"], ["c"], ["a", "b"]]
    assert report.unlabelled["question_positive"] == 2


def test_of_repeated_pairs_the_one_with_the_longest_reasoning_stays(found, judged):
    runs = [
        found("t1", ["a", "b"], "a", tokens=3),
        found("t2", ["a", "c"], "a", tokens=9),
        found("t3", ["a", "d"], "a", query="other", tokens=1),
        found("t4", ["a", "e"], "e", tokens=1),
    ]
    for order in (runs, runs[::-1]):
        pairs, report = mined(order, judged(*runs), Guards(deduplicate=True))
        assert sorted(pair.provenance.trajectory for pair in pairs) == ["t2", "t3", "t4"]
        assert report.dropped == {"duplicate": 1}
        assert report.pairs == 3
        assert sum(pair.weight for pair in pairs) == pytest.approx(3)


def test_document_is_the_positive_of_so_many_pairs_at_most_whatever_the_order(found, judged):
    runs = [found(f"t{n}", ["a", "b"], "a", query=f"q{n}") for n in range(8)] + [found("t9", ["b", "c"], "b")]
    kept = []
    for order in (runs, runs[::-1]):
        pairs, report = mined(order, judged(*runs), Guards(pairs_per_document=3))
        assert report.dropped == {"pairs_per_document": 5}
        kept.append(sorted(pair.provenance.trajectory for pair in pairs))
    assert kept[0] == kept[1]
    assert len(kept[0]) == 4
    assert "t9" in kept[0]


def test_document_is_a_negative_of_so_many_pairs_at_most_whatever_the_order(found, judged):
    runs = [found(f"t{n}", [f"p{n}", "hub", f"n{n}"], f"p{n}") for n in range(8)]
    with_hub = []
    for order in (runs, runs[::-1]):
        pairs, report = mined(order, judged(*runs), Guards(negatives_per_document=2))
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

    def query(self, text):
        return self._vector(text)


@pytest.fixture
def corpus(tmp_path):
    texts = {"p": "30", "near": "33", "same": "30", "better": "10", "far": "40", "worse": "120", "behind": "150"}
    return Corpus.build(tmp_path / "corpus", [Document(id=docid, text=text) for docid, text in texts.items()])


def test_negative_above_the_share_of_the_positives_score_is_dropped(found, judged, corpus):
    run = found("t1", ["p", "near", "same", "better", "far"], "p", query="0")
    pairs, report = mined([run], judged(run), Guards(near_positive=NearPositive()), corpus=corpus, encoder=Angles())
    assert [ids(pair) for pair in pairs] == [["far"]]  # cos 33 / cos 30 is .968, cos 40 / cos 30 is .885
    assert report.unlabelled["near_positive"] == 3
    lenient = Guards(near_positive=NearPositive(share=0.97))
    assert [ids(pair) for pair in mined([run], judged(run), lenient, corpus=corpus, encoder=Angles())[0]] == [
        ["near", "far"]
    ]


def test_share_of_a_score_below_zero_still_leaves_only_what_is_worse(found, judged, corpus):
    run = found("t1", ["worse", "behind", "p"], "worse", query="0")
    pairs, _ = mined([run], judged(run), Guards(near_positive=NearPositive()), corpus=corpus, encoder=Angles())
    assert [ids(pair) for pair in pairs] == [["behind"]]


def test_scores_without_encoder_or_corpus_are_refused(found, judged, corpus):
    run = found("t1", ["p", "far"], "p", query="0")
    guards = Guards(near_positive=NearPositive())
    for given in ({}, {"encoder": Angles()}, {"corpus": corpus}):
        with pytest.raises(InputError, match="needs an encoder and the corpus"):
            mined([run], judged(run), guards, **given)


def test_document_that_the_scoring_corpus_lacks_is_named(found, judged, corpus):
    run = found("t1", ["p", "far"], "p", query="0")
    small = Corpus.build(corpus.folder.parent / "small", [Document(id="p", text="30")])
    pairs, _ = mined([run], judged(run), Guards(near_positive=NearPositive()), corpus=small, encoder=Angles())
    assert [ids(pair) for pair in pairs] == [[]]  # a document outside the corpus counts for nothing


def test_documents_outside_the_corpus_are_neither_positive_nor_negative(found, judged):
    runs = [found("t1", ["a", "b", "c"], "a"), found("t2", ["x", "b"], "x")]
    pairs, report = mined(runs, judged(*runs), Guards(), corpus={"a", "b"})
    assert [(pair.positive, ids(pair)) for pair in pairs] == [("a", ["b"])]
    assert report.browses == {"kept": 1, "not_in_corpus": 1}
    assert report.unlabelled["not_in_corpus"] == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"guards.pairs_per_document": "0"}, "guards.pairs_per_document is 0"),
        ({"guards.near_positive": "{share: 1.5}"}, "guards.near_positive.share is 1.5"),
        ({"guards.near_positive": "{share: .nan}"}, "share is nan"),
        ({"guards.lookahead": "true"}, "lookahead"),
        ({"outcome_weights": "{correct: .nan}"}, "outcome_weights.correct is nan"),
        ({"outcome_weights": "{right: 1}"}, "right"),
        ({"negatives": "[{weight: .nan}]"}, "negatives.weight is nan"),
        ({"negatives": "[{up_to: 0}]"}, "negatives.up_to is 0"),
        ({"walk": "random"}, "walk is 'random'; it must be one of chain, search, since_useful"),
        ({"searches": "end"}, "searches is 'end'; it must be one of all, back, front, middle"),
    ],
)
def test_option_that_is_not_allowed_is_named(option, message):
    with pytest.raises(InputError, match=message):
        load_recipe("mine-paper", option)
