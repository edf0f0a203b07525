"""The simulated agent reads, searches, opens and answers from what it was shown alone."""

from __future__ import annotations

import pytest

from lrat_sim.agent.simulated.persona import Habits
from lrat_sim.agent.simulated.policy import AnswerAction
from lrat_sim.agent.simulated.reading import (
    Glimpse,
    OpenedDocument,
    ResultList,
    likeness,
    mistaken_value,
    promise,
    read_event,
    recall,
)
from lrat_sim.records import Document, Hit, Hop, Plan
from lrat_sim.retrieval.result_format import show_document, show_hits

FOUND = "Thornmouth"


def _careful(converse, **settings):
    return converse(credulity=0.0, misreading=0.0, bluff=0.0, **settings)


def test_a_run_finds_both_hops_and_answers(converse):
    runs = [_careful(converse, seed=seed, patience=30.0) for seed in range(20)]
    answers = [run.run().value for run in runs]
    assert answers.count(FOUND) >= 18
    assert set(answers) <= {FOUND, None}


@pytest.mark.parametrize("traits", [{}, {"patience": 12.0, "habits": Habits(doubt=1.0)}])
@pytest.mark.parametrize("seed", range(12))
def test_no_object_of_a_hop_enters_a_query_or_an_answer_before_it_was_read(converse, seed, traits):
    run = _careful(converse, seed=seed, **traits).finished()
    assert run.said_before_read() == []


def test_a_document_that_does_not_hold_the_fact_is_never_understood_to(converse):
    without = [Document(id="d1", title="The Salt Lantern", text="The Salt Lantern is a novel of the coast. " * 4)]
    run = _careful(converse, documents=without, pickiness=0.5)
    assert run.run().value is None
    assert run.browses()


def test_a_credulous_reader_takes_a_look_alike_and_answers_wrongly(converse):
    lookalikes = [
        Document(
            id=f"d{number}",
            title=f"The Salted Lantern {number}",
            text=f"The Salted Lantern is a play. Its author was Orrin Fell{number}. Its birthplace is Wick{number}.",
        )
        for number in range(6)
    ]
    plan = Plan(hops=[Hop(subject="The Salt Lantern", relation="author", object="Ysolde Marrick")])

    def answers(**traits):
        setting = {"plan": plan, "documents": lookalikes, "pickiness": 0.3}
        return [converse(seed=seed, **setting, **traits).run() for seed in range(8)]

    fooled, wary = answers(credulity=1.0), answers(credulity=0.0, bluff=0.0)
    assert any(answer.value is not None and "Orrin" in answer.value for answer in fooled)
    assert all(answer.value is None for answer in wary)


def test_giving_up_comes_after_the_patience_of_the_run(converse):
    empty = [Document(id="d4", title="Harbour tolls", text="Tolls were paid in salt.")]
    run = _careful(converse, documents=empty, patience=4.0, patience_spread=0.0, pickiness=9.0)
    answer = run.run()
    assert answer.value is None
    assert not answer.sure
    assert len(run.queries()) == 4


def test_without_tools_it_answers_at_once(converse):
    run = _careful(converse)
    assert isinstance(run.run(turns=1), AnswerAction)


def test_queries_vary_and_do_not_repeat_while_there_are_wordings(converse):
    traits = {"pickiness": 9.0, "patience": 6.0, "patience_spread": 0.0}
    queries = _careful(converse, documents=DISTRACTORS, **traits).finished().queries()
    assert len(set(queries)) == len(queries) == 6
    assert any(word in query for query in queries for word in ("Tolls", "quay", "coast", "Lantern"))


DISTRACTORS = [Document(id="d3", title="Salt Lantern quay", text="Tolls of the Salt Lantern quay on the long coast.")]


def test_longer_snippets_mean_fewer_opened_documents(converse):
    def browses(snippet: int) -> int:
        runs = (_careful(converse, seed=seed, snippet=snippet, trust=0.8) for seed in range(20))
        return sum(run.finished().browses() for run in runs)

    assert browses(2000) < browses(20)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(converse):
    first, again = (_careful(converse, seed=3).finished().actions for _ in range(2))
    assert first == again
    assert len({str(_careful(converse, seed=seed).finished().actions) for seed in range(10)}) > 1


def test_a_comparison_is_computed_from_what_was_read(converse):
    plan = Plan(
        hops=[
            Hop(subject="Mill A", relation="opening date", object="3 May 1802", phrasings=["when did {subject} open"]),
            Hop(subject="Mill B", relation="opening date", object="1 June 1799", phrasings=["when did {subject} open"]),
        ],
        operator="earlier",
    )
    documents = [
        Document(id="a", title="Mill A", text="Mill A stands by the weir. It opened on 3 May 1802."),
        Document(id="b", title="Mill B", text="Mill B stands on the hill. It opened on 1 June 1799."),
    ]
    assert _careful(converse, plan=plan, documents=documents).run().value == "Mill B"


def test_a_list_without_results_is_read_as_one_and_the_query_reworded(converse):
    run = _careful(converse, patience=3.0)
    run.documents = {}
    assert run.run().value is None
    queries = run.queries()
    assert len(queries) == len(set(queries)) > 1
    assert recall(run.messages) == [ResultList(query, ()) for query in queries]


def test_ids_may_hold_spaces_and_colons():
    names = ("my file: 3", "plain")
    shown = show_hits("q", [Hit(docid=name, score=1.0, rank=rank) for rank, name in enumerate(names, 1)], _titled, 8)
    assert [glimpse.docid for glimpse in read_event(shown).glimpses] == [*names]
    assert read_event(show_document(names[0], _titled, 8)) == OpenedDocument(names[0], "title", "title\ntext")


def _titled(docid, tokens):
    return "title", "text"


# --- reading ----------------------------------------------------------------------------------------------------------

HOP = Hop(subject="Teren Vald", relation="teacher", object="Mira Osk", phrasings=["who taught {subject}"])


def test_likeness_is_full_for_the_name_and_partial_for_a_look_alike():
    assert likeness("Teren Vald: early years", "Teren Vald") == 1.0
    assert 0.0 < likeness("Teren Moor", "Teren Vald") < 1.0
    assert likeness("Harbour tolls", "Teren Vald") == 0.0


def test_a_snippet_that_states_the_fact_promises_most_and_one_that_names_the_relation_more_than_one_that_does_not():
    stated = promise(Glimpse("1", "Teren Vald", "Mira Osk taught him.", 1), "Teren Vald", HOP)
    topical = promise(Glimpse("2", "Teren Vald", "His teacher was strict.", 1), "Teren Vald", HOP)
    plain = promise(Glimpse("3", "Teren Vald", "He kept bees.", 1), "Teren Vald", HOP)
    other = promise(Glimpse("4", "Harbour tolls", "Paid in salt.", 1), "Teren Vald", HOP)
    assert stated > topical > plain > other == 0.0


def test_a_mistaken_value_is_a_name_from_the_sentence_on_the_relation_and_not_the_titles_own():
    text = "Teren Moor\nTeren Moor kept bees at Wick. In youth Teren Moor was taught by Orrin Fell of the guild."
    assert mistaken_value("Teren Moor", text, "Teren Vald", HOP) == "Orrin Fell"
    assert mistaken_value("Teren Moor", "Teren Moor\nTeren Moor kept bees.", "Teren Vald", HOP) is None


def test_events_are_read_from_the_tool_messages_text():
    event = read_event(
        "A search for 'it's a' found 2 results:\n\n## Web Results\nDocID:7\n[T one]\nfirst\nline\n\nDocID:x-9\nno title"
    )
    assert event == ResultList("it's a", (Glimpse("7", "T one", "first\nline", 1), Glimpse("x-9", "", "no title", 2)))
    assert read_event("Document 7:\nT one\nfirst line") == OpenedDocument("7", "T one", "T one\nfirst line")
    assert read_event("no such document") is None


BRANCHING = Plan(
    hops=[
        Hop(subject="Lake Orm", relation="country", object="Erland", phrasings=["{subject} country"]),
        Hop(subject="The Salt Lantern", relation="author", object="Ysolde Marrick", phrasings=["{subject} author"]),
        Hop(subject="#2", relation="office", object="Warden", phrasings=["office of {subject} in #1"]),
        Hop(subject="#3", relation="seat", object="Moor", phrasings=["seat of the {subject} of #1"]),
    ]
)
BRANCHES = [
    Document(id="d1", title="Lake Orm", text="Lake Orm lies in Erland."),
    Document(id="d2", title="The Salt Lantern", text="The Salt Lantern is by Ysolde Marrick."),
    Document(id="d3", title="Ysolde Marrick", text="In Erland, Ysolde Marrick was Warden for a year."),
    Document(id="d4", title="Warden", text="The Warden of Erland sits at Moor."),
]


@pytest.mark.parametrize("seed", range(8))
def test_a_hop_that_needs_two_answers_is_asked_for_once_both_are_read(converse, seed):
    settings = {"plan": BRANCHING, "seed": seed, "rambling": 0.0, "trust": 0.0, "snippet": 9}
    run = _careful(converse, documents=BRANCHES, patience=30.0, **settings)
    assert run.run().value == "Moor"
    assert run.said_before_read() == []
    assert "office of Ysolde Marrick in Erland" in run.queries()
    assert not any("#" in query for query in run.queries())
    without = _careful(converse, documents=BRANCHES[1:], patience=3.0, **settings)
    assert without.run().value is None
    assert not any("office" in query for query in without.queries())


def test_a_number_sign_that_names_no_earlier_hop_is_part_of_the_query(converse):
    hop = Hop(subject="The Salt Lantern", relation="sales", object="Ysolde Marrick", phrasings=["#1 book {subject} #3"])
    run = _careful(converse, plan=Plan(hops=[hop]), rambling=0.0).finished()
    assert run.queries()[0] == "#1 book The Salt Lantern #3"
