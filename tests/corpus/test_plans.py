from __future__ import annotations

import pytest

from lrat_sim.corpus.annotations import Draft, NoPlan, lay
from lrat_sim.corpus.plans import Passage, branches, compare, reference, same_name, stands_in, states
from lrat_sim.records import Hop


def hop(subject, found="x"):
    return Hop(subject=subject, relation="r", object=found)


@pytest.mark.parametrize(
    ("operator", "first", "second", "winner"),
    [
        ("earlier", ["July 5, 1945"], ["6 July 1945"], "A"),
        ("later", ["July 5, 1945"], ["6 July 1945"], "B"),
        ("earlier", ["44 BC"], ["1945"], "A"),
        ("later", ["1,300 m"], ["900 m"], "A"),
        ("earlier", ["1945"], ["5 July 1945"], None),
        ("earlier", ["5 July 1945"], ["5 July 1945"], None),
        ("earlier", ["unknown"], ["1945"], None),
        ("earlier", [], ["1945"], None),
        ("earlier", ["1945", "1946"], ["1990"], None),
        ("longer", ["25 April 1925", "19 January 1986"], ["11 December 1888", "1 February 1943"], "A"),
        ("shorter", ["1986", "1925"], ["1888", "1943"], "B"),
        ("longer", ["1900", "1950"], ["1901", "5 May 1951"], None),
        ("longer", ["1900"], ["1901", "1951"], None),
        ("longer", ["6,650 km"], ["1,200 km"], "A"),
        ("same", ["American"], ["american"], "yes"),
        ("same", ["British", "Canadian"], ["Canadian"], "yes"),
        ("same", ["British"], ["Indian"], "no"),
        ("same", ["British"], [], None),
    ],
)
def test_comparison(operator, first, second, winner):
    assert compare(operator, [("A", first), ("B", second)]) == winner


def test_comparison_of_three_needs_one_that_is_before_all():
    assert compare("earlier", [("A", ["1901"]), ("B", ["1900"]), ("C", ["1902"])]) == "B"
    assert compare("earlier", [("A", ["1900"]), ("B", ["1900"]), ("C", ["1902"])]) is None


def test_one_branch_is_no_comparison():
    assert compare("same", [("A", ["x"])]) is None


def test_branches_open_at_names_and_end_where_nothing_follows():
    two_films = [hop("Film A"), hop("Film B"), hop("#1"), hop("#2")]
    assert branches(two_films) == [("Film A", [2]), ("Film B", [3])]
    two_dates_each = [hop("A"), hop("a"), hop("B"), hop("B")]
    assert branches(two_dates_each) == [("A", [0, 1]), ("B", [2, 3])]


def test_references_are_told_from_names():
    assert reference("#12") == 12
    assert reference("#hashtag") is None
    assert reference("Number #1") is None


def test_names_are_compared_without_brackets_and_marks():
    assert same_name("Taxi! (1932 film)", "taxi")
    assert not same_name("...", "!!!")
    assert stands_in("Jay Z", "performed by Jay-Z, in 2003")
    assert not stands_in("Ann", "Annette sang")


def test_a_fact_is_stated_where_subject_and_object_can_be_read():
    passage = Passage("Taxi! (1932 film)", "Taxi! is a film directed by Roy Del Ruth.")
    assert states(passage, "Taxi!", "Roy del Ruth")
    assert not states(passage, "Taxi Driver", "Roy Del Ruth")
    assert not states(passage, "Taxi!", "1932 film"), "the object has to stand in the text itself"


def test_laying_takes_the_spelling_that_both_passages_use():
    passages = [Passage("Song", "Song is by Shawn Carter (Jay-Z)."), Passage("Jay-Z", "Jay-Z married Beyonce.")]
    drafts = [
        Draft("Song", "composer", ["Shawn Carter", "Jay-Z"], ["{subject} composer"], passages),
        Draft("#1", "spouse", ["Beyonce"], ["{subject} spouse"], passages),
    ]
    plan = lay(drafts, "Beyonc\u00e9")
    assert [h.object for h in plan.hops] == ["Jay-Z", "Beyonce"]


def test_a_chain_that_ends_elsewhere_is_no_plan():
    draft = Draft("Song", "composer", ["Jay-Z"], [], [Passage("Song", "by Jay-Z")])
    with pytest.raises(NoPlan, match="do not end at the answer"):
        lay([draft], "Kanye")


def test_a_comparison_that_gives_another_answer_is_no_plan():
    drafts = [Draft(n, "born", [y], [], [Passage(n, f"born {y}")]) for n, y in (("A b", "1900"), ("C d", "1910"))]
    assert lay(drafts, "A b", "earlier").operator == "earlier"
    with pytest.raises(NoPlan, match="comparison"):
        lay(drafts, "C d", "earlier")
