import json

import pytest
from msgspec.structs import replace

from lrat_sim.records import Task
from lrat_sim.viewer.arms import matches
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.transcript import Divergence, Transcript, divergence


@pytest.fixture
def first(make):
    return make.run(
        make.turn(make.search("who", ["a", "b"])), make.turn(make.browse("a")), make.turn(text="Exact Answer: x")
    )


def with_turn(run, number, turn):
    return replace(run, turns=[*run.turns[:number], turn, *run.turns[number + 1 :]])


def test_runs_diverge_where_the_same_search_finds_something_else(first, make):
    other = with_turn(first, 0, make.turn(make.search("who", ["b", "a"]), reasoning="Other words."))
    assert divergence(first, other) == Divergence(1, None, "same call, different results")
    other = with_turn(other, 1, make.turn(make.browse("b")))
    assert divergence(first, other) == Divergence(1, 2, "same call, different results")


def test_runs_diverge_where_they_act_otherwise(first, make):
    assert divergence(first, with_turn(first, 1, make.turn(make.browse("b")))) == Divergence(2, 2, "different calls")
    search = with_turn(first, 1, make.turn(make.search("again", [])))
    assert divergence(first, search) == Divergence(2, 2, "A makes get_document, B search")
    assert divergence(search, first).why == "A makes search, B get_document"


def test_runs_diverge_where_one_has_ended_and_never_by_reasoning_alone(first, make):
    shorter = replace(first, turns=first.turns[:2])
    assert divergence(first, shorter) == Divergence(3, 3, "B has ended")
    thoughts = with_turn(first, 1, make.turn(make.browse("a"), reasoning="In other words."))
    assert divergence(first, thoughts).turn is None


def test_matches_agree_with_the_comparison_of_the_same_runs(wheel):
    evaluated = wheel.folder / "evaluate" / "test-k5"
    comparison = json.loads((evaluated / "comparison.json").read_text())
    table = Library(wheel.folder).table
    asked = 0
    for pairing in comparison["pairings"]:
        # by the names of the study: the trained arm lies in the folder of its round
        found = matches(table, *(f"evaluate/test-k5/{pairing[side]}" for side in ("base", "arm")))
        for result in ("won", "tied", "lost"):
            assert [match.task for match in found if match.result == result] == sorted(pairing[result])
        asked += len(pairing["won"])
    assert asked > 0


def test_a_transcript_marks_evidence_what_was_opened_and_what_came_before(make):
    run = make.run(
        make.turn(make.search("who", ["a", "b"], output="A search:\nDocID:a\n[Title a]\nText a\n\nDocID:b\nText b")),
        make.turn(make.search("whom", ["b", "c"])),
        make.turn(make.browse("b")),
    )
    transcript = Transcript(run, Task(id="t1", question="?", evidence=["b", "z"]))
    assert transcript.evidence == ["b", "z"]
    assert transcript.listed == {"a": 1, "b": 1, "c": 2}
    assert transcript.opened == {"b": 3}
    assert [(turn.number, turn.evidence) for turn in transcript.turns] == [(1, True), (2, True), (3, True)]
    documents = transcript.turns[0].calls[0].documents
    assert [(each.title, each.text) for each in documents.values()] == [("Title a", "Text a"), ("", "Text b")]


def test_a_search_knows_what_the_other_runs_same_search_found(first, make):
    other = with_turn(first, 0, make.turn(make.search("who", ["b", "c"])))
    assert Transcript(first, other=other).turns[0].calls[0].others == {"b", "c"}
    elsewhere = with_turn(first, 0, make.turn(make.search("what", ["c"])))
    assert Transcript(first, other=elsewhere).turns[0].calls[0].others is None
