"""Which documents a run made use of, and what follows for its pairs."""

from __future__ import annotations

import msgspec
import pytest

from lrat_sim.mining.episodes import episodes
from lrat_sim.mining.recipe import load_recipe
from lrat_sim.mining.usefulness import AnalysedRun


def taken(run):
    """The browses from whose document a name was taken up."""
    names = AnalysedRun(run)
    return {(turn, position) for turn, position, _ in run.browses() if names.taken_up(turn + 1)}


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
    assert taken(hunt()) == {(1, 0), (4, 0)}


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
    assert taken(hunt(**change)) == left


def test_answer_of_a_run_that_gave_up_is_none(hunt):
    run = msgspec.structs.replace(hunt(), status="unanswered")
    assert taken(run) == {(1, 0)}


@pytest.fixture
def compared(make):
    """A search with two documents opened, from which no name is taken up; another; and one more document."""

    def made(second, *, noted="b is of 1834", third="elsewhere", end="so it is", status="answered"):
        run = make.run(
            make.turn(make.search("age of Mill Road", ["a", "b"]), reasoning="first"),
            make.turn(make.browse("a"), reasoning="open a"),
            make.turn(make.browse("b"), reasoning="not in a, of 1733"),
            make.turn(make.search(second, ["c"]), reasoning=noted),
            make.turn(make.search(third, ["d"]), reasoning="again"),
            make.turn(make.browse("d"), reasoning="open d"),
            make.turn(reasoning=end),
            status=status,
        )
        return msgspec.structs.replace(run, question="Is Mill Road older than Corn Street?")

    return made


@pytest.mark.parametrize(
    ("change", "first", "last"),
    [
        ({"second": "age of Corn Street"}, "unclear", "used"),  # the search for Mill Road ended with b
        ({"second": "age of Corn Street beside Mill Road"}, "unclear", "used"),  # it went on to the other half
        ({"second": "age of Corn Street", "noted": "on to the other"}, "unclear", "unclear"),  # nothing new
        ({"second": "building of Mill Road"}, "unused", "unused"),  # it looked for Mill Road again
        ({"second": "age of Corn Street", "third": "building of Mill Road"}, "unused", "unused"),  # if only later
    ],
)
def test_last_document_is_used_where_the_search_ended_with_it(compared, change, first, last):
    found = AnalysedRun(compared(**change)).uses()
    assert (found[1, 0], found[2, 0]) == (first, last)


@pytest.mark.parametrize(
    ("change", "use"),
    [
        ({}, "unclear"),  # nothing new, so that the answer may have been forced
        ({"end": None}, "unclear"),
        ({"end": "It dates from 1655."}, "used"),
        ({"end": "It is as old as Mill Road."}, "unclear"),
        ({"end": "It dates from 1655.", "third": "year of Corn Street"}, "unclear"),  # asked a second time
        ({"end": "It dates from 1655.", "status": "unanswered"}, "unused"),
    ],
)
def test_document_before_the_end_is_used_where_the_first_wording_found_something_new(compared, change, use):
    assert AnalysedRun(compared("age of Corn Street", **change)).uses()[5, 0] == use


def test_queries_without_capitals_are_told_apart_by_their_longer_words(make):
    run = make.run(
        make.turn(make.search("age of the mill", ["a"])),
        make.turn(make.browse("a")),
        make.turn(make.search("date of the mill", ["b"]), reasoning="of 1733"),
        make.turn(make.browse("b")),
        make.turn(make.search("year of the road", ["c"]), reasoning="of 1834"),
    )
    assert AnalysedRun(run).uses() == {(1, 0): "unused", (3, 0): "used"}


@pytest.mark.parametrize(
    ("later", "relation"),
    [
        ("who made the Corn Mill", "rewording"),
        ("Owen Mott", "other"),
        ("Owen Mott of the Corn Mill", "unclear"),  # the question's other name
        ("Orla Fenn of the Corn Mill", "unclear"),  # a name that was taken up since
        ("orla of the Corn Mill", "unclear"),  # and is written small
        ("Ivo Marsh of the Corn Mill", "rewording"),  # a guess
    ],
)
def test_rewordings_share_a_name_and_hold_none_that_leads_elsewhere(make, later, relation):
    run = make.run(
        make.turn(make.search("builder of the Corn Mill", ["a"])),
        make.turn(make.search(later, ["b"]), reasoning="The list says that it was Orla Fenn."),
    )
    run = msgspec.structs.replace(run, question="Did Owen Mott know the builder of the Corn Mill?")
    first, second = (episode.searches for episode in episodes(run))
    assert AnalysedRun(run).relation(first, second) == relation


def test_document_whose_use_is_unclear_is_neither_positive_nor_negative(mine, compared, judged):
    run = compared("age of Corn Street", noted="on to the other")
    recipe = load_recipe("mine-paper", {"useful": "used", "negatives": "[{rule: rejected}, {rule: unbrowsed}]"})
    pairs, report = mine([run], judged(run), recipe)
    assert [pair.positive for pair in pairs] == []
    assert report.browses == {"unjudged": 3}


def test_document_that_was_not_used_becomes_a_negative(mine, make, judged):
    run = make.run(
        make.turn(make.search("builder of the Corn Mill", ["a", "b"])),
        make.turn(make.browse("b"), reasoning="open b"),
        make.turn(make.search("who made the Corn Mill", ["c", "a"]), reasoning="b may do, or not"),
        make.turn(make.browse("c"), reasoning="open c"),
        make.turn(reasoning="That says that it was Orla Fenn."),
    )
    run = msgspec.structs.replace(run, question="Who built the Corn Mill?", answer="Orla Fenn")
    recipe = load_recipe("mine-recommended")
    pairs, report = mine([run], judged(run), recipe)
    found = [(pair.query, pair.positive, [(each.docid, each.tier) for each in pair.negatives]) for pair in pairs]
    assert found == [
        ("builder of the Corn Mill", "c", [("b", "rejected"), ("a", "unbrowsed")]),
        ("who made the Corn Mill", "c", [("a", "unbrowsed")]),
    ]
    assert report.browses == {"kept": 2, "irrelevant": 1}  # c serves both wordings


def test_judge_still_rejects_what_was_taken_up(mine, hunt, judged):
    run = hunt()
    pairs, _ = mine([run], judged(run, _1_0="irrelevant"), load_recipe("mine-paper", {"useful": "used"}))
    assert [pair.positive for pair in pairs] == ["d"]
