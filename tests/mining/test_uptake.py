"""Which documents a run made use of, and what follows for its pairs."""

from __future__ import annotations

import msgspec
import pytest

from lrat_sim.errors import InputError
from lrat_sim.mining.mine import mine
from lrat_sim.mining.recipe import load_recipe
from lrat_sim.mining.runs import run_of
from lrat_sim.mining.uptake import taken_up, uses


@pytest.fixture
def hunt(make):
    """Who built the bridge, and whom did the builder marry? Each document is opened after a search of its own."""

    def made(*, first="It was Orla Fenn.", second="No word of it here.", query="wife of orla fenn", answer="Ivo Marsh"):
        run = make.run(
            make.turn(make.search("bridge builder", ["a", "b"]), reasoning="I look for the bridge."),
            make.turn(make.browse("a"), reasoning="Let us open a."),
            make.turn(make.search(query, ["c", "d"]), reasoning=first),
            make.turn(make.browse("c"), reasoning="Now c."),
            make.turn(make.browse("d"), reasoning=second),
            make.turn(reasoning="According to this, the husband was Ivo Marsh."),
        )
        return msgspec.structs.replace(run, answer=answer, question="Whom did the builder of the Bridge marry?")

    return made


def test_name_that_a_later_query_or_the_answer_takes_up_makes_the_document_useful(hunt):
    assert taken_up(run_of(hunt())) == {(1, 0), (4, 0)}


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"first": "Nothing on Orla Fenn."}, {(1, 0), (4, 0)}),  # what it says is the judge's to read
        ({"query": "wife of the builder"}, {(4, 0)}),  # not taken up
        ({"answer": "unknown"}, {(1, 0)}),
        ({"first": "The Bridge was built."}, {(4, 0)}),  # a name of the question
        ({"first": "Fenn. Or was it her? Orla it was."}, {(4, 0)}),  # capitals that begin a sentence
        ({"first": "In 1834 it was.", "query": "wife of a builder of 1834"}, {(1, 0), (4, 0)}),
        ({"first": "orla fenn."}, {(4, 0)}),  # no capital tells a name
        ({"second": "Perhaps Ivo Marsh."}, {(1, 0), (3, 0)}),  # by the first document after which it was written
    ],
)
def test_only_new_names_that_are_used_count(hunt, change, left):
    assert taken_up(run_of(hunt(**change))) == left


def test_answer_of_a_run_that_gave_up_is_none(hunt):
    run = msgspec.structs.replace(run_of(hunt()), status="unanswered")
    assert taken_up(run) == {(1, 0)}


@pytest.fixture
def compared(make):
    """Two searches with two documents each opened, from which no name is taken up, and a third."""

    def made(second, *, third="elsewhere", status="answered"):
        return make.run(
            make.turn(make.search("age of Mill Road", ["a", "b"]), reasoning="first"),
            make.turn(make.browse("a"), reasoning="open a"),
            make.turn(make.browse("b"), reasoning="not in a"),
            make.turn(make.search(second, ["c"]), reasoning="b it is"),
            make.turn(make.search(third, ["d"]), reasoning="again"),
            make.turn(make.browse("d"), reasoning="open d"),
            make.turn(reasoning="so it is"),
            status=status,
        )

    return made


@pytest.mark.parametrize(
    ("second", "use"),
    [
        ("age of Corn Street", "used"),  # the search for Mill Road ended with b
        ("building of Mill Road", "unused"),
        ("age of Corn Street beside Mill Road", "unclear"),
    ],
)
def test_last_document_is_used_where_the_search_ended_with_it(compared, second, use):
    run = msgspec.structs.replace(run_of(compared(second)), question="Is Mill Road older than Corn Street?")
    assert uses(run) == {(1, 0): "unused", (2, 0): use, (5, 0): "unclear"}


def test_last_document_of_a_run_that_gave_up_is_unused(compared):
    assert uses(run_of(compared("else")))[5, 0] == "unclear"
    assert uses(run_of(compared("else", status="unanswered")))[5, 0] == "unused"


def test_queries_without_capitals_are_told_apart_by_their_longer_words(make):
    run = make.run(
        make.turn(make.search("age of the mill", ["a"])),
        make.turn(make.browse("a")),
        make.turn(make.search("date of the mill", ["b"])),
        make.turn(make.browse("b")),
        make.turn(make.search("year of the road", ["c"])),
    )
    assert uses(run_of(run)) == {(1, 0): "unused", (3, 0): "used"}


def test_document_whose_use_is_unclear_is_neither_positive_nor_negative(compared, judged):
    run = compared("age of Corn Street beside Mill Road")
    run = msgspec.structs.replace(run, question="Is Mill Road older than Corn Street?")
    recipe = load_recipe("mine-paper", {"useful": "used", "negatives": "[{rule: rejected}, {rule: unbrowsed}]"})
    pairs, report = mine([run], judged(run), recipe)
    assert [pair.positive for pair in pairs] == []
    assert report.browses == {"irrelevant": 1, "unjudged": 2}


def test_document_that_was_not_used_becomes_a_negative(hunt, judged):
    run = hunt()
    recipe = load_recipe("mine-paper", {"useful": "used", "negatives": "[{rule: rejected}, {rule: unbrowsed}]"})
    pairs, report = mine([run], judged(run), recipe)
    assert [(pair.positive, [(each.docid, each.tier) for each in pair.negatives]) for pair in pairs] == [
        ("a", [("b", "unbrowsed")]),
        ("d", [("c", "rejected")]),
    ]
    assert report.browses == {"kept": 2, "irrelevant": 1}


def test_judge_still_rejects_what_was_taken_up(hunt, judged):
    run = hunt()
    pairs, _ = mine([run], judged(run, _1_0="irrelevant"), load_recipe("mine-paper", {"useful": "used"}))
    assert [pair.positive for pair in pairs] == ["d"]


def test_unanswered_runs_are_mined_only_where_asked_for(make, judged):
    run = make.run(
        make.turn(make.search("q", ["a", "b"])),
        make.turn(make.browse("a")),
        make.turn(reasoning="this"),
        status="unanswered",
    )
    pairs, report = mine([run], judged(run), load_recipe("mine-paper"))
    assert not list(pairs)
    assert report.left_out == {"not_answered": 1}
    pairs, report = mine([run], judged(run), load_recipe("mine-paper", {"unanswered": "true"}))
    assert [pair.positive for pair in pairs] == ["a"]
    assert report.left_out == {}
    with pytest.raises(InputError, match="unanswered is true and runs is 'correct'"):
        load_recipe("mine-paper", {"unanswered": "true", "runs": "correct"})


def test_recipes_from_before_these_fields_keep_their_fingerprint():
    assert load_recipe("mine-paper").fingerprint == "c3954f7c58f075dc"
    assert load_recipe("mine-paper", {"useful": "used"}).fingerprint != "c3954f7c58f075dc"
