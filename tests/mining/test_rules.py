"""Document states, ITER's tiers, query texts, thirds of runs, parallel searches, and query chains."""

from __future__ import annotations

import pytest

from lrat_sim.mining.episodes import DocumentHistory, episodes
from lrat_sim.mining.recipe import MiningRecipe, NegativeRule, load_recipe


@pytest.fixture
def long_run(make):
    """Three searches; the second lists documents of every standing."""
    return make.run(
        make.turn(make.search("first", ["useful", "rejected", "seen", "silent", "failed"]), reasoning="plan"),
        make.turn(make.browse("useful")),
        make.turn(make.browse("rejected"), reasoning="good"),
        make.turn(make.browse("silent"), make.failed("failed"), reasoning="bad"),
        make.turn(
            make.search(
                "second",
                ["now", "useful", "rejected", "seen", "silent", "failed", "later", "new", "new2", "no"],
            ),
            reasoning=None,
        ),
        make.turn(make.browse("now"), make.browse("no"), reasoning="think"),
        make.turn(make.search("third", ["later"]), reasoning="this says it"),
        make.turn(make.browse("later"), reasoning="go on"),
        make.turn(reasoning="found"),
    )


@pytest.fixture
def verdicts(long_run, judged):
    return judged(long_run, _2_0="irrelevant", _5_1="irrelevant")


def test_documents_stand_by_what_the_run_did_before_does_now_and_does_later(long_run, verdicts):
    parts = episodes(long_run)

    def state(browse):
        return verdicts[long_run.id, browse.turn, browse.call] if browse.reasoning else "unjudged"

    history = DocumentHistory(parts, state)
    assert {hit.docid: history.at(hit.docid, 1)[0] for hit in parts[1].searches[0].hits} == {
        "now": "useful_now",
        "no": "rejected_now",
        "useful": "useful_before",
        "rejected": "rejected_before",
        "seen": "seen_before",
        "silent": "unjudged_before",
        "failed": "unjudged_before",
        "later": "opened_later",
        "new": "new",
        "new2": "new",
    }


def test_iter_takes_its_tiers_and_leaves_the_rest_unlabelled(mine, long_run, verdicts):
    pairs, report = mine([long_run], verdicts, load_recipe("mine-iter"))
    second = next(pair for pair in pairs if pair.positive == "now")
    assert [(n.docid, n.weight, n.tier) for n in second.negatives] == [
        ("useful", 3.0, "redundant"),
        ("rejected", 1.0, "hard"),
        ("new", 0.3, "weak"),
        ("new2", 0.3, "weak"),
    ]
    assert report.unlabelled["seen_before"] == 1
    assert report.unlabelled["opened_later"] == 1
    assert report.negatives == {"redundant": 1, "hard": 1, "weak": 3}


def test_iter_limits_redundant_and_hard_to_three_and_all_to_nine(mine, make, judged):
    first, second = [f"u{n}" for n in range(4)], [f"r{n}" for n in range(4)]
    fresh = [f"n{n}" for n in range(8)]
    run = make.run(
        make.turn(make.search("one", [*first, *second])),
        make.turn(*(make.browse(docid) for docid in first)),
        make.turn(*(make.browse(docid) for docid in second), reasoning="good"),
        make.turn(make.search("two", [*fresh, *second, *first, "p"]), reasoning="bad"),
        make.turn(make.browse("p")),
        make.turn(reasoning="found"),
    )
    rejected = {f"_2_{number}": "irrelevant" for number in range(4)}
    pairs, report = mine([run], judged(run, **rejected), load_recipe("mine-iter"))
    [pair] = [pair for pair in pairs if pair.positive == "p"]
    assert [n.docid for n in pair.negatives] == ["u0", "u1", "u2", "r0", "r1", "r2", "n0", "n1", "n2"]
    assert report.unlabelled["over_limit"] == 1 + 1 + 5


def test_iter_query_holds_question_reasoning_query_and_earlier_queries(mine, long_run, verdicts):
    pairs, _ = mine([long_run], verdicts, load_recipe("mine-iter"))
    assert [pair.query for pair in pairs if pair.positive == "later"] == [
        "Main Question: ?\nCurrent Reasoning: this says it\nCurrent Subquery: third\nPrevious Interactions:\n"
        "Previous SubQuery 1: first\nPrevious SubQuery 2: second"
    ]
    assert pairs[0].query == (
        "Main Question: ?\nCurrent Reasoning: plan\nCurrent Subquery: first\nPrevious Interactions: <empty>"
    )


def test_agentir_query_is_reasoning_followed_by_query_and_says_where_there_is_none(mine, long_run, verdicts):
    pairs, _ = mine([long_run], verdicts, load_recipe("mine-agentir"))
    assert {pair.positive: pair.query for pair in pairs} == {
        "useful": "Reasoning: plan\n\nQuery: first",
        "now": "Reasoning: Empty\n\nQuery: second",
        "later": "Reasoning: this says it\n\nQuery: third",
    }
    paper, _ = mine([long_run], verdicts, load_recipe("mine-paper"))
    assert [(p.positive, p.negatives) for p in pairs] == [(p.positive, p.negatives) for p in paper]


def test_segments_are_thirds_of_the_turns_and_share_every_pair_once(mine, long_run, verdicts):
    found = {
        part: [p.positive for p in mine([long_run], verdicts, MiningRecipe(searches=part))[0]]
        for part in ("front", "middle", "back", "all")
    }
    assert found == {"front": ["useful"], "middle": ["now"], "back": ["later"], "all": ["useful", "now", "later"]}


def test_a_browse_goes_to_the_latest_or_to_every_parallel_search_that_lists_it(mine, make, judged):
    run = make.run(
        make.turn(make.search("one", ["a", "b"]), make.search("two", ["b", "c"])),
        make.turn(make.browse("a"), make.browse("b")),
        make.turn(reasoning="fine"),
    )

    def found(parallel):
        pairs, report = mine([run], judged(run), MiningRecipe(parallel=parallel))
        return [(p.query, p.positive, [n.docid for n in p.negatives]) for p in pairs], report.browses["kept"]

    assert found("latest") == ([("one", "a", []), ("two", "b", ["c"])], 2)
    # listed by both, the document counts as kept for each
    assert found("every") == ([("one", "a", []), ("one", "b", []), ("two", "b", ["c"])], 3)


def test_a_limit_is_filled_from_the_next_rule_where_rules_overlap(mine, make, judged):
    run = make.opening("abcd", "b")
    rules = [NegativeRule(rule="weak", weight=2.0, limit=1), NegativeRule(rule="unbrowsed", up_to=2)]
    [pair], _ = mine([run], judged(run), MiningRecipe(negatives=rules))
    assert [(n.docid, n.weight) for n in pair.negatives] == [("a", 2.0), ("c", 1.0)]


def test_canary_of_a_benchmark_follows_into_the_pair(mine, make, judged):
    run = make.opening("a", "a")
    run.extra["canary"] = "do not train"
    [pair], _ = mine([run], judged(run), MiningRecipe())
    assert pair.provenance.canary == "do not train"


@pytest.fixture
def reworded(make):
    """Three wordings of one question, the second after a document of no use; then another question."""
    return make.run(
        make.turn(make.search("cashier of Rabava", ["a", "b"]), reasoning="first"),
        make.turn(make.search("money of Rabava", ["a", "b", "x"]), reasoning="again"),
        make.turn(make.browse("x"), reasoning="x may do"),
        make.turn(make.search("treasurer of Rabava", ["found", "a"]), reasoning="x is of no use"),
        make.turn(make.browse("found"), reasoning="that is it"),
        make.turn(make.search("birthplace of Uloran", ["home", "a"]), reasoning="found says it"),
        make.turn(make.browse("home"), reasoning="and home"),
        make.turn(reasoning="home says it"),
    )


CHAIN = MiningRecipe(walk="chain", negatives=[NegativeRule(rule="rejected"), NegativeRule(rule="unbrowsed")])


@pytest.fixture
def chained(mine):
    """Query and positive of each pair of a run."""
    return lambda run, verdicts: [(pair.query, pair.positive) for pair in mine([run], verdicts, CHAIN)[0]]


def test_failed_wordings_get_the_document_that_a_later_one_found(mine, reworded, judged):
    pairs, report = mine([reworded], judged(reworded, _2_0="irrelevant"), CHAIN)
    assert [
        (pair.query, pair.positive, pair.provenance.rank, [each.docid for each in pair.negatives]) for pair in pairs
    ] == [
        ("cashier of Rabava", "found", 0, ["a", "b"]),
        ("money of Rabava", "found", 0, ["x", "a", "b"]),
        ("treasurer of Rabava", "found", 1, ["a"]),
        ("birthplace of Uloran", "home", 1, ["a"]),
    ]
    assert report.searches == 4
    first = pairs[0].provenance
    assert (first.turn, first.browse_turn, first.browse_call) == (0, 4, 0)


def test_search_with_a_useful_document_of_its_own_gets_no_other(reworded, chained, judged):
    assert chained(reworded, judged(reworded)) == [
        ("cashier of Rabava", "x"),
        ("money of Rabava", "x"),
        ("treasurer of Rabava", "found"),
        ("birthplace of Uloran", "home"),
    ]


def test_search_gets_nothing_from_one_that_shares_no_word_with_it(reworded, chained, judged):
    assert chained(reworded, judged(reworded, _2_0="irrelevant", _4_0="irrelevant")) == [
        ("birthplace of Uloran", "home")
    ]


def test_search_gets_nothing_from_the_next_hop(make, chained, judged):
    """The list itself told the name, so that what the next search found answers another question."""
    run = make.run(
        make.turn(make.search("builder of the Corn Mill", ["a"])),
        make.turn(make.search("Orla Fenn of the Corn Mill born", ["b"]), reasoning="The list names Orla Fenn."),
        make.turn(make.browse("b"), reasoning="open b"),
        make.turn(reasoning="b says it"),
    )
    assert chained(run, judged(run)) == [("Orla Fenn of the Corn Mill born", "b")]


def test_of_several_searches_a_turn_only_the_one_that_found_it_counts(make, chained, judged):
    run = make.run(
        make.turn(make.search("cashier of Rabava", ["a"]), make.search("mayor of Uloran", ["a"])),
        make.turn(make.search("money of Rabava", ["b"]), make.search("head of Uloran", ["c"])),
        make.turn(make.browse("c"), reasoning="open c"),
        make.turn(reasoning="c says it"),
    )
    assert chained(run, judged(run)) == [("mayor of Uloran", "c"), ("head of Uloran", "c")]
