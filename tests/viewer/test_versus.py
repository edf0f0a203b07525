import json

import msgspec
import pytest

from lrat_sim.records import Task
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.story import story
from lrat_sim.viewer.versus import Parting, matches, parting


@pytest.fixture
def first(make):
    return make.run(
        make.turn(make.search("who", ["a", "b"])), make.turn(make.browse("a")), make.turn(text="Exact Answer: x")
    )


def with_turn(run, number, turn):
    turns = [*run.turns[:number], turn, *run.turns[number + 1 :]]
    return msgspec.structs.replace(run, turns=turns)


def test_runs_part_where_the_same_search_finds_something_else(first, make):
    other = with_turn(first, 0, make.turn(make.search("who", ["b", "a"]), reasoning="Other words."))
    assert parting(first, other) == Parting(0, None, "the same call, another result")
    other = with_turn(other, 1, make.turn(make.browse("b")))
    assert parting(first, other) == Parting(0, 1, "the same call, another result")


def test_runs_part_where_they_act_otherwise(first, make):
    assert parting(first, with_turn(first, 1, make.turn(make.browse("b")))) == Parting(1, 1, "another call")
    search = with_turn(first, 1, make.turn(make.search("again", [])))
    assert parting(first, search) == Parting(1, 1, "A makes get_document, B search")
    assert parting(search, first).why == "A makes search, B get_document"


def test_runs_part_where_one_has_ended_and_never_by_reasoning_alone(first, make):
    shorter = msgspec.structs.replace(first, turns=first.turns[:2])
    assert parting(first, shorter) == Parting(2, 2, "B has ended")
    thoughts = with_turn(first, 1, make.turn(make.browse("a"), reasoning="In other words."))
    assert parting(first, thoughts).turn is None


def test_matches_agree_with_the_comparison_of_the_same_runs(wheel):
    evaluated = wheel.folder / "evaluate" / "test-k5"
    comparison = json.loads((evaluated / "comparison.json").read_text())
    table = Library(wheel.folder).table
    folders = {"trained": "round-1"}  # the arm of the last round lies in the folder of its round
    asked = 0
    for pairing in comparison["pairings"]:
        ends = [folders.get(name, name) for name in (pairing.get("base", comparison["base"]), pairing["arm"])]
        found = matches(table, *(f"evaluate/test-k5/{end}" for end in ends))
        named = {
            result: [match.task for match in found if match.result == result] for result in ("won", "tied", "lost")
        }
        assert named == {result: sorted(pairing[result]) for result in ("won", "tied", "lost")}
        asked += len(pairing["won"])
    assert asked > 0


def test_a_story_marks_evidence_what_was_opened_and_what_came_before(make):
    run = make.run(
        make.turn(make.search("who", ["a", "b"], output="A search:\nDocID:a\n[Title a]\nText a\n\nDocID:b\nText b")),
        make.turn(make.search("whom", ["b", "c"])),
        make.turn(make.browse("b")),
    )
    turns = story(run, Task(id="t1", question="?", evidence=["b"]), None)
    (a, b), (again, c) = turns[0].calls[0].hits, turns[1].calls[0].hits
    assert [(hit.evidence, hit.opened, hit.before) for hit in (a, b, again, c)] == [
        (False, None, None),
        (True, 2, None),
        (True, 2, 0),
        (False, None, None),
    ]
    assert [(hit.title, hit.text) for hit in (a, b)] == [("Title a", "Text a"), ("", "Text b")]
    assert turns[2].calls[0].evidence
    assert [turn.evidence for turn in turns] == [True, True, True]


def test_a_hit_is_only_here_where_the_other_runs_same_search_lacks_it(first, make):
    other = with_turn(first, 0, make.turn(make.search("who", ["b", "c"])))
    hits = story(first, None, None, other=other)[0].calls[0].hits
    assert [(hit.docid, hit.only_here) for hit in hits] == [("a", True), ("b", False)]
    elsewhere = with_turn(first, 0, make.turn(make.search("what", ["c"])))
    assert not any(hit.only_here for hit in story(first, None, None, other=elsewhere)[0].calls[0].hits)
