"""Plans that are read out of two gold passages and a question, in every shape that HotpotQA has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrat_sim.corpus.annotations import NoPlan
from lrat_sim.corpus.plans import Passage, references, stands_in
from lrat_sim.corpus.supporting_facts import called, named, names, plan_from_supporting_facts

KADISH = Passage("Jon Kadish", "Jon Kadish was a photographer who documented the Kovel Ghetto with a hidden camera.")
GHETTO = Passage("Kovel Ghetto", "The Kovel Ghetto was set up in 1941. It held 29,000 people at its peak.")


@pytest.mark.parametrize("passages", [(KADISH, GHETTO), (GHETTO, KADISH)])
def test_a_bridge_is_read_in_the_passage_that_the_question_names_and_the_answer_in_the_other(passages):
    question = "The ghetto that Jon Kadish documented held how many people at its peak?"
    plan = plan_from_supporting_facts(question, "29,000", passages, comparison=False)
    assert [(hop.subject, hop.object) for hop in plan.hops] == [("Jon Kadish", "Kovel Ghetto"), ("#1", "29,000")]
    assert plan.hops[0].phrasings[0] == "{subject} documented"
    assert plan.hops[1].phrasings[0] == "The ghetto that {subject} held how many people at its peak"


def test_a_passage_that_the_question_only_describes_is_found_by_the_words_they_share():
    question = "How many people were in the ghetto that was shown with a hidden camera?"
    plan = plan_from_supporting_facts(question, "29,000", [KADISH, GHETTO], comparison=False)
    assert [(hop.subject, hop.object) for hop in plan.hops] == [("hidden camera", "Kovel Ghetto"), ("#1", "29,000")]


def test_an_answer_that_the_first_passage_names_is_checked_against_what_the_question_says_of_it():
    passages = [
        Passage("Rory Kost", "Rory Kost is a footballer who played for Moor Storm."),
        Passage("Moor Storm", "Moor Storm is a team based in Moor, Victoria."),
    ]
    question = "Which team that Rory Kost played for is based in Moor, Victoria?"
    plan = plan_from_supporting_facts(question, "Moor Storm", passages, comparison=False)
    assert [hop.object for hop in plan.hops] == ["Moor Storm", "Moor Storm"]
    assert plan.hops[1].subject == "based in Moor, Victoria"
    assert references(plan.hops, 1) == {1}, "it is asked with the name that was found"
    assert all(text.startswith("#1 ") for text in plan.hops[1].phrasings)


def test_passages_that_are_both_named_are_both_asked_for():
    passages = [
        Passage("Air Lore", "Air Lore is a jazz album by Air with pieces by Scott Opal."),
        Passage("Ida Holm", "Ida Holm is an actress and rapper."),
    ]
    question = "Ida Holm is a rapper who was heard on Air Lore with pieces by who?"
    plan = plan_from_supporting_facts(question, "Scott Opal", passages, comparison=False)
    assert [(hop.subject, hop.object) for hop in plan.hops] == [("Ida Holm", "rapper"), ("Air Lore", "Scott Opal")]


def test_no_wording_holds_what_is_to_be_found():
    question = "Ida Holm is a rapper who was heard on Air Lore with pieces by who?"
    passages = [Passage("Air Lore", "Air Lore: pieces by Scott Opal."), Passage("Ida Holm", "Ida Holm, a rapper.")]
    plan = plan_from_supporting_facts(question, "Scott Opal", passages, comparison=False)
    said = [text for hop in plan.hops for text in (hop.subject, hop.relation, *hop.phrasings)]
    assert not any("rapper" in text or "Opal" in text for text in said)


def compared(question, answer, first, second):
    passages = [Passage("Arthur's Post", first), Passage("First Times (magazine)", second)]
    return plan_from_supporting_facts(question, answer, passages, comparison=True)


def test_a_comparison_is_one_of_dates_or_numbers_where_the_question_asks_for_one():
    texts = "Arthur's Post is a magazine founded in 1844.", "First Times is a magazine of 1989."
    plan = compared("Which magazine came first, Arthur's Post or First Times?", "Arthur's Post", *texts)
    assert plan.operator == "earlier"
    found = [(hop.subject, hop.object) for hop in plan.hops]
    assert found == [("Arthur's Post", "1844"), ("First Times", "1989")]
    assert not any("First" in text for text in plan.hops[0].phrasings), "the other name is no part of the query"


def test_yes_and_no_follow_from_what_the_two_passages_say():
    question = "Are both Arthur's Post and First Times women's magazines?"
    yes = compared(question, "yes", "Arthur's Post is a women's weekly.", "First Times is for women's eyes.")
    assert (yes.operator, [hop.object for hop in yes.hops]) == ("same", ["women's", "women's"])
    no = compared(question, "no", "Arthur's Post is a women's weekly.", "First Times is a fishing paper.")
    assert no.operator == "same"
    assert [hop.object for hop in no.hops] == ["women's", "fishing paper"]


def test_one_of_two_is_chosen_by_what_its_passage_alone_says():
    question = "Which one is about angling, Arthur's Post or First Times?"
    plan = compared(question, "First Times", "Arthur's Post is a women's weekly.", "First Times is about angling.")
    assert plan.operator is None
    assert (plan.hops[1].subject, plan.hops[1].object) == ("angling", "First Times")
    assert all(text.startswith("First Times ") for text in plan.hops[1].phrasings), "it is asked for by its name"


def test_what_both_have_in_common_is_read_in_both():
    question = "Arthur's Post and First Times are what?"
    plan = compared(question, "magazine", "Arthur's Post is a magazine.", "First Times is a magazine.")
    assert [(hop.subject, hop.object) for hop in plan.hops] == [
        ("Arthur's Post", "magazine"),
        ("First Times", "magazine"),
    ]


@pytest.mark.parametrize(
    ("question", "answer", "comparison", "says"),
    [
        ("How many did Jon Kadish see?", "12", False, "answer cannot be read"),
        ("Who?", "29,000", False, "no way leads"),
        ("Which is older, Jon Kadish or the Kovel Ghetto?", "Moor", True, "compared facts"),
    ],
)
def test_where_nothing_leads_to_the_answer_there_is_no_plan_and_the_reason_is_said(question, answer, comparison, says):
    with pytest.raises(NoPlan, match=says):
        plan_from_supporting_facts(question, answer, [KADISH, GHETTO], comparison)
    with pytest.raises(NoPlan, match="two gold passages"):
        plan_from_supporting_facts(question, answer, [KADISH], comparison)


def test_a_number_sign_of_the_question_is_not_taken_for_a_reference():
    question = "Jon Kadish, who took #1 shots, documented the ghetto that held how many people?"
    plan = plan_from_supporting_facts(question, "29,000", [KADISH, GHETTO], comparison=False)
    assert [references(plan.hops, index) for index in range(2)] == [set(), {1}]
    assert any("number 1" in text for text in plan.hops[0].phrasings)


def test_people_are_called_by_their_title_by_the_name_their_text_begins_with_and_without_middle_names():
    person = Passage("J. Kadish (photographer)", "Jon Albert Kadish (born 1910) was a photographer.")
    assert names(person)[:3] == ["J. Kadish (photographer)", "J. Kadish", "Jon Albert Kadish"]
    assert named(person, "When was jon kadish born?") == "Jon Kadish"
    assert called(person, "It shows Jon Albert Kadish.") == ["Jon Albert Kadish", "Kadish"]
    assert named(Passage("Charmed", "Charmed is a series."), "Who was charmed by her?") is None


WORDS = st.sampled_from(
    [
        "Moor",
        "Storm",
        "The",
        "of",
        "{x}",
        "#2",
        "(b)",
        "is",
        "a",
        "1921",
        "who",
        "rapper",
        ",",
        "or",
        "&quot;",
        "?",
        "é",
    ]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


@given(TEXTS, TEXTS, st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS), st.booleans())
def test_whatever_is_asked_a_plan_is_sound_or_refused(question, answer, first, second, comparison):
    passages = [Passage(*first), Passage(*second)]
    try:
        plan = plan_from_supporting_facts(question, answer, passages, comparison)
    except NoPlan:
        return
    for index, hop in enumerate(plan.hops):
        assert hop.phrasings
        assert all("{subject}" in phrasing for phrasing in hop.phrasings)
        assert references(plan.hops, index) <= set(range(1, index + 1))
        hidden = [hop.object for hop in plan.hops if not stands_in(hop.object, question.replace("#2", "number 2"))]
        assert not any(stands_in(value, text) for value in hidden for text in (hop.relation, *hop.phrasings))
