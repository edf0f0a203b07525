"""A search that failed gets what a rewording of it led to."""

from __future__ import annotations

import pytest

from lrat_sim.mining.mine import mine
from lrat_sim.mining.recipe import load_recipe


@pytest.fixture
def reworded(make):
    """Three wordings of one question, the second after a document of no use; then another question."""
    return make.run(
        make.turn(make.search("cashier of Rabava", ["a", "b"]), reasoning="first"),
        make.turn(make.search("money of Rabava", ["a", "b", "x"]), reasoning="again"),
        make.turn(make.browse("x"), reasoning="x may do"),
        make.turn(make.search("treasurer of Rabava", ["found", "a"]), reasoning="x is of no use"),
        make.turn(make.browse("found"), reasoning="that is it"),
        make.turn(make.search("birthplace of Uloran", ["home", "a"]), reasoning="found says it"),
        make.turn(make.browse("home"), reasoning="and home"),
        make.turn(reasoning="home says it"),
    )


def rows(run, verdicts, **options):
    options = {"walk": "chain", "negatives": "[{rule: rejected}, {rule: unbrowsed}]", **options}
    pairs, report = mine([run], verdicts, load_recipe("mine-paper", options))
    found = [
        (pair.query, pair.positive, pair.provenance.rank, [each.docid for each in pair.negatives]) for pair in pairs
    ]
    return found, report


def test_failed_wordings_get_the_document_that_a_later_one_found(reworded, judged):
    found, report = rows(reworded, judged(reworded, _2_0="irrelevant"))
    assert found == [
        ("cashier of Rabava", "found", 0, ["a", "b"]),
        ("money of Rabava", "found", 0, ["x", "a", "b"]),
        ("treasurer of Rabava", "found", 1, ["a"]),
        ("birthplace of Uloran", "home", 1, ["a"]),
    ]
    assert report.searches == 4


def test_search_with_a_useful_document_of_its_own_gets_no_other(reworded, judged):
    found, _ = rows(reworded, judged(reworded))
    assert [row[:2] for row in found] == [
        ("cashier of Rabava", "x"),
        ("money of Rabava", "x"),
        ("treasurer of Rabava", "found"),
        ("birthplace of Uloran", "home"),
    ]


def test_search_gets_nothing_from_one_that_shares_no_word_with_it(reworded, judged):
    found, _ = rows(reworded, judged(reworded, _2_0="irrelevant", _4_0="irrelevant"))
    assert [row[:2] for row in found] == [("birthplace of Uloran", "home")]


def test_search_gets_nothing_from_the_next_hop(make, judged):
    """The list itself told the name, so that what the next search found answers another question."""
    run = make.run(
        make.turn(make.search("builder of the Corn Mill", ["a"])),
        make.turn(make.search("Orla Fenn of the Corn Mill born", ["b"]), reasoning="The list names Orla Fenn."),
        make.turn(make.browse("b"), reasoning="open b"),
        make.turn(reasoning="b says it"),
    )
    found, _ = rows(run, judged(run))
    assert [row[:2] for row in found] == [("Orla Fenn of the Corn Mill born", "b")]


def test_of_several_searches_a_turn_only_the_one_that_found_it_counts(make, judged):
    run = make.run(
        make.turn(make.search("cashier of Rabava", ["a"]), make.search("mayor of Uloran", ["a"])),
        make.turn(make.search("money of Rabava", ["b"]), make.search("head of Uloran", ["c"])),
        make.turn(make.browse("c"), reasoning="open c"),
        make.turn(reasoning="c says it"),
    )
    found, _ = rows(run, judged(run))
    assert [row[:2] for row in found] == [("mayor of Uloran", "c"), ("head of Uloran", "c")]


def test_provenance_names_the_browse_that_answered(reworded, judged):
    pairs, _ = mine([reworded], judged(reworded, _2_0="irrelevant"), load_recipe("mine-paper", {"walk": "chain"}))
    first = next(iter(pairs)).provenance
    assert (first.turn, first.browse_turn, first.browse_call) == (0, 4, 0)
