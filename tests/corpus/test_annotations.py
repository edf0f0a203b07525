from __future__ import annotations

import pytest

from lrat_sim.corpus.annotations import NoPlan, draft_from_subquestion, operator_of, plan_from_triples, wordings
from lrat_sim.corpus.plans import Passage

GET_LOW = Passage("Get Low (Dillon Francis song)", "Get Low is a song by Dillon Francis.")
FRANCIS = Passage("Dillon Francis", "Dillon Francis (born October 5, 1987) is an American DJ.")


def test_a_chain_becomes_hops_that_refer_back():
    plan = plan_from_triples(
        "When was the performer of song Get Low (Dillon Francis Song) born?",
        "October 5, 1987",
        [["Get Low", "performer", "Dillon Francis"], ["Dillon Francis", "date of birth", "October 5, 1987"]],
        [GET_LOW, FRANCIS],
        comparison=False,
    )
    assert [(h.subject, h.object) for h in plan.hops] == [
        ("Get Low (Dillon Francis song)", "Dillon Francis"),
        ("#1", "October 5, 1987"),
    ]
    assert plan.operator is None
    assert all("{subject}" in phrasing for h in plan.hops for phrasing in h.phrasings)


def test_the_bridge_is_named_as_both_passages_name_it():
    plan = plan_from_triples(
        "What nationality is Olive Hilliard's husband?",
        "British",
        [["Olive Hilliard", "spouse", "Brian Laurence Burtt"], ["Brian Burtt", "country of citizenship", "British"]],
        [
            Passage("Olive Hilliard", "She married Brian Burtt."),
            Passage("B. L. Burtt", "Brian Burtt was a British botanist."),
        ],
        comparison=False,
    )
    assert [h.subject for h in plan.hops] == ["Olive Hilliard", "#1"]
    assert plan.hops[0].object == "Brian Burtt"


def test_a_fact_that_the_passages_do_not_state_gives_no_plan():
    facts = [["Get Low", "performer", "Dillon Francis"], ["Dillon Francis", "place of birth", "Los Angeles"]]
    with pytest.raises(NoPlan, match="cannot be read"):
        plan_from_triples("Where was the performer of Get Low born?", "Los Angeles", facts, [GET_LOW, FRANCIS], False)


def test_a_name_that_the_question_does_not_give_is_no_subject():
    with pytest.raises(NoPlan, match="not in the question"):
        plan_from_triples(
            "Who sings it?", "Dillon Francis", [["Get Low", "performer", "Dillon Francis"]], [GET_LOW], False
        )


def comparison(question, answer, first, second, relation="date of birth"):
    plan = plan_from_triples(
        question,
        answer,
        [["Ada Moor", relation, first], ["Max Last", relation, second]],
        [Passage("Ada Moor", f"Ada Moor, {first}."), Passage("Max Last", f"Max Last, {second}.")],
        comparison=True,
    )
    assert [h.subject for h in plan.hops] == ["Ada Moor", "Max Last"]
    return plan.operator


def test_the_operator_comes_from_the_wording_and_has_to_give_the_answer():
    assert comparison("Who was born first, Ada Moor or Max Last?", "Ada Moor", "4 May 1900", "May 5, 1900") == "earlier"
    assert comparison("Who is younger, Ada Moor or Max Last?", "Max Last", "4 May 1900", "May 5, 1900") == "later"
    assert comparison("Are Ada Moor and Max Last of the same nationality?", "no", "Irish", "Thai", "country") == "same"
    with pytest.raises(NoPlan, match="does not give the answer"):
        comparison("Who was born first, Ada Moor or Max Last?", "Max Last", "4 May 1900", "May 5, 1900")
    with pytest.raises(NoPlan, match="names no comparison"):
        comparison("Who of Ada Moor and Max Last?", "Ada Moor", "4 May 1900", "May 5, 1900")


def test_words_inside_the_compared_names_do_not_decide():
    assert operator_of("Which came out later, First Love or The Same Day?", ["First Love", "The Same Day"]) == "later"


def test_lookalike_titles_do_not_take_each_others_place():
    plan = plan_from_triples(
        "Are Gare de Nord and Gare de Namps-au-Val both in the same country?",
        "yes",
        [["Gare de Nord", "country", "France"], ["Gare de Namps-au-Val", "country", "France"]],
        [Passage("Gare de Nord", "It is in France."), Passage("Gare de Namps-au-Val", "It is in France.")],
        comparison=True,
    )
    assert [h.subject for h in plan.hops] == ["Gare de Nord", "Gare de Namps-au-Val"]


def test_a_subquestion_with_an_arrow_names_subject_and_relation():
    draft = draft_from_subquestion("Green >> performer", "Steve Hillage", Passage("Green (album)", "by Steve Hillage"))
    assert (draft.subject, draft.relation, list(draft.phrasings)) == ("Green", "performer", wordings("performer"))


def test_a_free_subquestion_is_its_own_wording():
    passage = Passage("Paris", "Paris lies on the Seine.")
    referring = draft_from_subquestion("Which river runs through #1?", "Seine", passage)
    assert (referring.subject, list(referring.phrasings)) == ("#1", ["Which river runs through {subject}?"])
    titled = draft_from_subquestion("Which river runs through Paris?", "Seine", passage)
    assert (titled.subject, list(titled.phrasings)) == ("Paris", ["Which river runs through {subject}?"])
    named = draft_from_subquestion("When was Bank of Ireland founded?", "1783", Passage("Irish banks", "in 1783"))
    assert named.subject == "Bank of Ireland"


@pytest.mark.parametrize("text", ["When did #1 meet #2?", "which one is it?", "#1 >> sibling of #2"])
def test_a_subquestion_without_one_subject_gives_no_hop(text):
    with pytest.raises(NoPlan):
        draft_from_subquestion(text, "x", Passage("Other", "x"))


def test_an_unknown_relation_is_worded_by_its_name():
    assert wordings("head_of {state}")[1] == "head of (state) of {subject}"
    assert all(w.count("{subject}") == 1 for relation in ("director", "x") for w in wordings(relation))
