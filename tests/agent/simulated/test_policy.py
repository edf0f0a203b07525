"""The simulated agent reads, searches, opens and answers from what it was shown alone."""

from __future__ import annotations

import pytest

from lrat_sim.agent.simulated import memory
from lrat_sim.agent.simulated.policy import Answer, Browse, Search
from lrat_sim.records import Document, Hit, Hop, Plan
from lrat_sim.retrieval.result_format import show_document, show_hits
from lrat_sim.text import normalise

FOUND = "Thornmouth"


def _careful(converse, **settings):
    return converse(credulity=0.0, misreading=0.0, bluff=0.0, **settings)


def test_a_run_finds_both_hops_and_answers(converse):
    runs = [_careful(converse, seed=seed, patience=30.0) for seed in range(20)]
    answers = [run.run().value for run in runs]
    assert answers.count(FOUND) >= 18
    assert set(answers) <= {FOUND, None}


@pytest.mark.parametrize("seed", range(25))
def test_no_object_of_a_hop_enters_a_query_or_an_answer_before_it_was_read(converse, seed):
    run = _careful(converse, seed=seed)
    run.run()
    shown = normalise(run.messages[0]["content"])
    events = iter(memory.recall(run.messages))
    for action in run.actions:
        said = action.query if isinstance(action, Search) else action.value if isinstance(action, Answer) else ""
        for hop in run.plan.hops:
            if f" {normalise(hop.object)} " in f" {normalise(said or '')} ":
                assert normalise(hop.object) in shown, (seed, said)
        event = next(events, None)
        if isinstance(event, memory.Page):
            shown += " " + normalise(event.text)
        elif isinstance(event, memory.Results):
            shown += " " + normalise(" ".join(f"{hit.title} {hit.snippet}" for hit in event.glimpses))


def test_a_document_that_does_not_hold_the_fact_is_never_understood_to(converse):
    without = [Document(id="d1", title="The Salt Lantern", text="The Salt Lantern is a novel of the coast. " * 4)]
    run = _careful(converse, documents=without, pickiness=0.5)
    assert run.run().value is None
    assert any(isinstance(action, Browse) for action in run.actions)


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
    fooled = [
        converse(plan=plan, documents=lookalikes, seed=seed, credulity=1.0, pickiness=0.3).run() for seed in range(8)
    ]
    wary = [
        converse(plan=plan, documents=lookalikes, seed=seed, credulity=0.0, pickiness=0.3, bluff=0.0).run()
        for seed in range(8)
    ]
    assert any(answer.value is not None and "Orrin" in answer.value for answer in fooled)
    assert all(answer.value is None for answer in wary)


def test_giving_up_comes_after_the_patience_of_the_run(converse):
    empty = [Document(id="d4", title="Harbour tolls", text="Tolls were paid in salt.")]
    run = _careful(converse, documents=empty, patience=4.0, patience_spread=0.0, pickiness=9.0)
    answer = run.run()
    assert answer.value is None
    assert not answer.sure
    assert sum(isinstance(action, Search) for action in run.actions) == 4


def test_without_tools_it_answers_at_once(converse):
    run = _careful(converse)
    assert isinstance(run.run(turns=1), Answer)


def test_queries_vary_and_do_not_repeat_while_there_are_wordings(converse):
    run = _careful(converse, documents=DISTRACTORS, pickiness=9.0, patience=6.0, patience_spread=0.0)
    run.run()
    queries = [action.query for action in run.actions if isinstance(action, Search)]
    assert len(set(queries)) == len(queries) == 6
    assert any(word in query for query in queries for word in ("Tolls", "quay", "coast", "Lantern"))


DISTRACTORS = [Document(id="d3", title="Salt Lantern quay", text="Tolls of the Salt Lantern quay on the long coast.")]


def test_longer_snippets_mean_fewer_opened_documents(converse):
    def browses(snippet: int) -> int:
        runs = [_careful(converse, seed=seed, snippet=snippet, trust=0.8) for seed in range(20)]
        for run in runs:
            run.run()
        return sum(isinstance(action, Browse) for run in runs for action in run.actions)

    assert browses(2000) < browses(20)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(converse):
    first, again = _careful(converse, seed=3), _careful(converse, seed=3)
    first.run()
    again.run()
    assert first.actions == again.actions
    others = []
    for seed in range(10):
        other = _careful(converse, seed=seed)
        other.run()
        others.append([str(action) for action in other.actions])
    assert len({tuple(other) for other in others}) > 1


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
    queries = [action.query for action in run.actions if isinstance(action, Search)]
    assert len(queries) == len(set(queries)) > 1
    assert memory.recall(run.messages) == [memory.Results(query, ()) for query in queries]


def test_ids_may_hold_spaces_and_colons():
    names = ("my file: 3", "plain")
    shown = show_hits("q", [Hit(docid=name, score=1.0, rank=rank) for rank, name in enumerate(names, 1)], _titled, 8)
    assert [glimpse.docid for glimpse in memory.read_event(shown).glimpses] == [*names]
    assert memory.read_event(show_document(names[0], _titled, 8)) == memory.Page(names[0], "title", "title\ntext")


def _titled(docid, tokens):
    return "title", "text"
