from __future__ import annotations

import pytest

from lrat_sim.corpus.annotations import (
    Draft,
    NoPlan,
    SubQuestion,
    draft_from_subquestion,
    lay,
    operator_of,
    plan_from_subquestions,
    plan_from_triples,
    wordings,
)
from lrat_sim.corpus.plans import (
    REFERENCE,
    Passage,
    branches,
    compare,
    fill,
    reference,
    references,
    same_name,
    stands_in,
    states,
)
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


def test_comparison_needs_two_branches_and_one_that_is_before_all():
    assert compare("same", [("A", ["x"])]) is None
    assert compare("earlier", [("A", ["1901"]), ("B", ["1900"]), ("C", ["1902"])]) == "B"
    assert compare("earlier", [("A", ["1900"]), ("B", ["1900"]), ("C", ["1902"])]) is None


def test_branches_open_at_names_and_end_where_nothing_follows():
    two_films = [hop("Film A"), hop("Film B"), hop("#1"), hop("#2")]
    assert branches(two_films) == [("Film A", [2]), ("Film B", [3])]
    two_dates_each = [hop("A"), hop("a"), hop("B"), hop("B")]
    assert branches(two_dates_each) == [("A", [0, 1]), ("B", [2, 3])]


def test_references_are_told_from_names_which_are_compared_without_brackets_and_marks():
    assert [reference(name) for name in ("#12", "#hashtag", "Number #1")] == [12, None, None]
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


def test_a_chain_or_comparison_that_gives_another_answer_is_no_plan():
    draft = Draft("Song", "composer", ["Jay-Z"], [], [Passage("Song", "by Jay-Z")])
    with pytest.raises(NoPlan, match="do not end at the answer"):
        lay([draft], "Kanye")
    drafts = [Draft(n, "born", [y], [], [Passage(n, f"born {y}")]) for n, y in (("A b", "1900"), ("C d", "1910"))]
    assert lay(drafts, "A b", "earlier").operator == "earlier"
    with pytest.raises(NoPlan, match="comparison"):
        lay(drafts, "C d", "earlier")


# --- from annotations

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


@pytest.mark.parametrize(
    ("question", "says"),
    [("Where was the performer of Get Low born?", "cannot be read"), ("Where was she born?", "not in the question")],
)
def test_a_fact_that_the_passages_do_not_state_or_of_a_name_not_in_the_question_gives_no_plan(question, says):
    facts = [["Get Low", "performer", "Dillon Francis"], ["Dillon Francis", "place of birth", "Los Angeles"]]
    with pytest.raises(NoPlan, match=says):
        plan_from_triples(question, "Los Angeles", facts, [GET_LOW, FRANCIS], False)


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


@pytest.mark.parametrize(("asked", "operator"), [("has more species", "later"), ("is smaller", "earlier")])
def test_a_comparison_of_size_is_one_of_numbers(asked, operator):
    assert operator_of(f"Which {asked}, Aichryson or Polypodium?", ["Aichryson", "Polypodium"]) == operator


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
    passage = Passage("Green (album)", "Green is by Steve Hillage.")
    draft = draft_from_subquestion(SubQuestion("Green >> performer", "Steve Hillage", passage))
    assert (draft.subject, draft.relation, list(draft.phrasings)) == ("Green", "performer", wordings("performer"))


def test_a_free_subquestion_is_its_own_wording():
    passage = Passage("Paris", "Paris lies on the Seine.")
    referring = draft_from_subquestion(SubQuestion("Which river runs through #1?", "Seine", passage), [["Paris"]])
    assert (referring.subject, list(referring.phrasings)) == ("#1", ["Which river runs through {subject}?"])
    titled = draft_from_subquestion(SubQuestion("Which river runs through Paris?", "Seine", passage))
    assert (titled.subject, list(titled.phrasings)) == ("Paris", ["Which river runs through {subject}?"])
    irish = Passage("Irish banks", "The Bank of Ireland, in 1783")
    named = draft_from_subquestion(SubQuestion("When was Bank of Ireland founded?", "1783", irish))
    assert named.subject == "Bank of Ireland"


@pytest.mark.parametrize(
    ("text", "says"), [("which one is it?", "nothing to ask about"), ("#1 >> sibling of #2", "comes later")]
)
def test_a_subquestion_about_nothing_or_about_a_later_answer_gives_no_hop(text, says):
    with pytest.raises(NoPlan, match=says):
        draft_from_subquestion(SubQuestion(text, "x", Passage("Other", "x")), [["y"]])


ORM = SubQuestion("Lake Orm >> country", "Erland", Passage("Lake Orm", "Lake Orm lies in Erland."))
REVIEW = SubQuestion("Who founded Tarn Review?", "Ida Holm", Passage("Tarn Review", "It was founded by Ida Holm."))
OFFICE = Passage("Wardens", "Ida Holm was elected Warden of Erland in 1921.")


def test_a_subquestion_that_needs_two_answers_is_about_the_one_its_passage_names_and_asks_for_both():
    step = SubQuestion("When did #1 elect #2?", "1921", OFFICE._replace(text="Ida Holm was elected Warden in 1921."))
    plan = plan_from_subquestions([ORM, REVIEW, step], "1921")
    assert [hop.subject for hop in plan.hops] == ["Lake Orm", "Tarn Review", "#2"]
    assert plan.hops[2].phrasings == ["When did #1 elect {subject}?"]
    assert references(plan.hops, 2) == {1, 2}
    assert (
        fill(plan.hops[2].phrasings[0], "Ida Holm", {1: "Erland", 2: "Ida Holm"}) == "When did Erland elect Ida Holm?"
    )


@pytest.mark.parametrize(
    ("texts", "needs"),
    [
        (["#1 >> capital", "#2 >> mayor", "#3 >> sibling"], [set(), {1}, {2}, {3}]),  # a chain
        (["#1 >> capital", "Tarn Review >> editor", "who is #3 to #2?"], [set(), {1}, set(), {2, 3}]),
        (["Tarn Review >> editor", "#2 >> city in #1", "#3 >> sibling"], [set(), set(), {1, 2}, {3}]),
    ],
)
def test_decompositions_of_four_steps_and_any_shape_become_plans(texts, needs):
    answers = ["Erland", "Moor", "Ida Holm", "Ulla Holm"]
    everything = Passage("Everything", "Lake Orm, Erland, Moor, Tarn Review, Ida Holm and Ulla Holm.")
    texts = ["Lake Orm >> country", *texts]
    steps = [SubQuestion(text, answer, everything) for text, answer in zip(texts, answers, strict=True)]
    plan = plan_from_subquestions(steps, "Ulla Holm")
    assert [references(plan.hops, index) for index in range(4)] == needs
    assert not any(REFERENCE.search(hop.relation) for hop in plan.hops)


def test_an_answer_that_the_next_passage_does_not_name_stays_in_the_wording():
    step = SubQuestion("What is the highest hill in #1?", "Kell", Passage("Kell", "Kell is the highest hill there."))
    plan = plan_from_subquestions([ORM, step], "Kell")
    assert plan.hops[1].subject == "highest hill"
    assert plan.hops[1].phrasings == ["What is the {subject} in #1?"]
    assert references(plan.hops, 1) == {1}


def test_an_answer_is_spelled_as_the_next_passage_spells_it_where_both_do():
    first = ORM._replace(answer="Republic of Erland", passage=Passage("Lake Orm", "Lake Orm: Republic of Erland."))
    second = SubQuestion("#1 >> capital", "Moor", Passage("Erland", "Its capital is Moor."))
    assert [hop.object for hop in plan_from_subquestions([first, second], "Moor").hops] == ["Erland", "Moor"]


def test_an_unknown_relation_is_worded_by_its_name():
    assert wordings("head_of {state}")[1] == "head of (state) of {subject}"
    assert all(w.count("{subject}") == 1 for relation in ("director", "x") for w in wordings(relation))
