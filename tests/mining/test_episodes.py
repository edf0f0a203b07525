from __future__ import annotations

import msgspec

from lrat_sim.mining.episodes import episodes


def shape(trajectory):
    return [
        ([s.query for s in e.searches], [(o.browse.docid, o.origin, o.search) for o in e.chain])
        for e in episodes(trajectory)
    ]


def test_chain_is_every_browse_up_to_the_next_search(make):
    trajectory = make.run(
        make.turn(make.search("one", ["a", "b"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("b")),
        make.turn(make.search("two", ["c"])),
        make.turn(make.browse("c")),
        make.turn(),
    )
    assert shape(trajectory) == [
        (["one"], [("a", "chain", 0), ("b", "chain", 0)]),
        (["two"], [("c", "chain", 0)]),
    ]


def test_browse_of_an_older_or_unseen_document_belongs_to_no_search(make):
    trajectory = make.run(
        make.turn(make.search("one", ["a"])),
        make.turn(make.search("two", ["b"])),
        make.turn(make.browse("a"), make.browse("z")),
    )
    assert shape(trajectory)[1] == (["two"], [("a", "older_list", None), ("z", "never_shown", None)])


def test_browse_beside_a_search_belongs_to_the_search_before(make):
    trajectory = make.run(
        make.turn(make.search("one", ["a", "b"])),
        make.turn(make.search("two", ["a", "c"]), make.browse("a")),
        make.turn(make.browse("c")),
    )
    assert shape(trajectory) == [(["one"], [("a", "chain", 0)]), (["two"], [("c", "chain", 0)])]


def test_rank_is_that_of_the_latest_list_shown_before_the_turn(make):
    trajectory = make.run(
        make.turn(make.search("one", ["a", "b"]), make.search("two", ["b", "a"])),
        make.turn(make.browse("a")),
        make.turn(make.search("three", ["c", "b", "d"]), make.browse("b"), make.browse("d")),
        make.turn(make.browse("a"), make.browse("b"), make.browse("z")),
    )
    found = [[(o.browse.docid, o.rank) for o in episode.chain] for episode in episodes(trajectory)]
    assert found == [[("a", 2), ("b", 1), ("d", None)], [("a", 2), ("b", 2), ("z", None)]]


def test_parallel_searches_share_the_chain_and_the_latest_list_takes_the_browse(make):
    trajectory = make.run(
        make.turn(make.search("one", ["a", "b"]), make.search("two", ["b", "c"])),
        make.turn(make.browse("a"), make.browse("b")),
    )
    assert shape(trajectory) == [(["one", "two"], [("a", "chain", 0), ("b", "chain", 1)])]


def test_browses_before_any_search_form_an_episode_without_searches(make):
    assert shape(make.run(make.turn(make.browse("a")))) == [([], [("a", "never_shown", None)])]


def test_length_is_that_of_the_next_turn_and_zero_where_there_is_none(make):
    trajectory = make.run(
        make.turn(make.search("one", ["a", "b", "c"]), reasoning="not this one", tokens=99),
        make.turn(make.browse("a"), make.browse("b"), tokens=77, reasoning="nor this"),
        make.turn(make.browse("c"), reasoning="the reasoning right after", tokens=5),
    )
    chain = next(iter(episodes(trajectory))).chain
    assert [(o.browse.reasoning, o.browse.length) for o in chain] == [
        ("the reasoning right after", 5),
        ("the reasoning right after", 5),
        (None, 0),
    ]


def test_a_search_that_failed_is_no_failed_browse_by_whatever_name_it_was_called(make):
    for name in ("search", "functions.search", "WebSearch"):
        failed = msgspec.structs.replace(make.browse("a"), tool=name, docid=None, executed=None, error="broken")
        [episode] = episodes(make.run(make.turn(make.search("one", ["a", "b"])), make.turn(failed)))
        assert (episode.failed_browses, episode.wanted) == (0, set())
    failed = msgspec.structs.replace(failed, tool="visit", arguments={"url": "b"})
    [episode] = episodes(make.run(make.turn(make.search("one", ["a", "b"])), make.turn(failed)))
    assert (episode.failed_browses, episode.wanted) == (1, {"b"})
