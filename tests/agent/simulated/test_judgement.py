"""Reading is lexical, on what was shown."""

from __future__ import annotations

from lrat_sim.agent.simulated.judgement import likeness, mistaken_value, promise
from lrat_sim.agent.simulated.memory import Glimpse, Mishap, Page, Results, read_event
from lrat_sim.records import Hop

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
    assert event == Results("it's a", (Glimpse("7", "T one", "first\nline", 1), Glimpse("x-9", "", "no title", 2)))
    assert read_event("Document 7:\nT one\nfirst line") == Page("7", "T one", "T one\nfirst line")
    assert read_event("no such document") == Mishap("no such document")
