import json

import msgspec
import pytest

from lrat_sim.records import Task
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.transcript import Transcript
from lrat_sim.viewer.versus import Divergence, divergence, matches


@pytest.fixture
def first(make):
    return make.run(
        make.turn(make.search("who", ["a", "b"])), make.turn(make.browse("a")), make.turn(text="Exact Answer: x")
    )


def with_turn(run, number, turn):
    turns = [*run.turns[:number], turn, *run.turns[number + 1 :]]
    return msgspec.structs.replace(run, turns=turns)


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
    shorter = msgspec.structs.replace(first, turns=first.turns[:2])
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
        named = {
            result: [match.task for match in found if match.result == result] for result in ("won", "tied", "lost")
        }
        assert named == {result: sorted(pairing[result]) for result in ("won", "tied", "lost")}
        asked += len(pairing["won"])
    assert asked > 0


def test_a_transcript_marks_evidence_what_was_opened_and_what_came_before(make):
    run = make.run(
        make.turn(make.search("who", ["a", "b"], output="A search:\nDocID:a\n[Title a]\nText a\n\nDocID:b\nText b")),
        make.turn(make.search("whom", ["b", "c"])),
        make.turn(make.browse("b")),
    )
    transcript = Transcript(run, Task(id="t1", question="?", evidence=["b", "z"]), None)
    turns = transcript.turns
    (a, b), (again, c) = turns[0].calls[0].hits, turns[1].calls[0].hits
    assert [(hit.evidence, hit.opened, hit.before) for hit in (a, b, again, c)] == [
        (False, None, None),
        (True, 3, None),
        (True, 3, 1),
        (False, None, None),
    ]
    assert [(hit.title, hit.text) for hit in (a, b)] == [("Title a", "Text a"), ("", "Text b")]
    assert turns[2].calls[0].evidence
    assert [(turn.number, turn.evidence) for turn in turns] == [(1, True), (2, True), (3, True)]
    assert [(each.docid, each.listed, each.opened) for each in transcript.evidence] == [("b", 1, 3), ("z", None, None)]


def test_a_hit_is_only_here_where_the_other_runs_same_search_lacks_it(first, make):
    other = with_turn(first, 0, make.turn(make.search("who", ["b", "c"])))
    hits = Transcript(first, None, None, other=other).turns[0].calls[0].hits
    assert [(hit.hit.docid, hit.only_here) for hit in hits] == [("a", True), ("b", False)]
    elsewhere = with_turn(first, 0, make.turn(make.search("what", ["c"])))
    assert not any(hit.only_here for hit in Transcript(first, None, None, other=elsewhere).turns[0].calls[0].hits)
