"""What holds of every recipe on any runs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.mining.recipe import Guards, MiningRecipe, load_recipe
from lrat_sim.records import Call, Hit, Trajectory, Turn, encode

PRESETS = ["naive", "paper", "release", "iter", "agentir", "recommended"]
RECIPES = {name: load_recipe(f"mine-{name}") for name in PRESETS}
RECIPES |= {f"{name}, looking ahead": load_recipe(f"mine-{name}", {"guards.look_ahead": "true"}) for name in PRESETS}
RECIPES["every guard"] = MiningRecipe(
    parallel="every",
    weight="length_within_agent",
    guards=Guards(
        look_ahead=True,
        question_positives=True,
        deduplicate=True,
        pairs_per_document=2,
        negatives_per_document=2,
    ),
)

IDS = st.sampled_from("abcdefgh")
SEARCH = st.lists(IDS, unique=True, max_size=6).map(
    lambda ids: Call(
        id="s",
        tool="search",
        arguments={},
        executed={"query": "q" + "".join(ids[:1])},
        hits=[Hit(docid=docid, score=0.0, rank=rank) for rank, docid in enumerate(ids, 1)],
    )
)
BROWSE = IDS.map(lambda docid: Call(id="b", tool="get_document", arguments={}, executed={"docid": docid}, docid=docid))
FAILED = IDS.map(lambda docid: Call(id="f", tool="get_document", arguments={"docid": docid}, error="gone"))
REASONING = st.one_of(st.none(), st.just(""), st.just(" "), st.integers(1, 400).map(lambda n: "word " * n))
TURN = st.builds(
    lambda reasoning, calls: Turn(reasoning=reasoning, reasoning_tokens=len((reasoning or "").split()), calls=calls),
    REASONING,
    st.lists(st.one_of(SEARCH, BROWSE, BROWSE, BROWSE, FAILED), max_size=3),
)
STATES = st.sampled_from(["relevant", "relevant", "irrelevant", "unjudged", None])


@st.composite
def cases(draw):
    """Runs of two questions by two agents, which mostly search first, and verdicts on what they opened."""
    runs, verdicts = [], {}
    for number in range(draw(st.integers(1, 4))):
        searched = draw(st.sampled_from([True, True, True, False]))
        first = [Turn(reasoning=None, reasoning_tokens=0, calls=[draw(SEARCH)])] if searched else []
        run = Trajectory(
            id=f"t{number}",
            task_id=f"q{number % 2}",
            question="?",
            sample=0,
            agent={"name": f"agent {number % 2}"},
            retriever={},
            seed=0,
            status=draw(st.sampled_from(["answered", "answered", "answered", "unanswered", "error"])),
            end_reason="answer",
            answer="x",
            turns=[*first, *draw(st.lists(TURN, max_size=8))],
        )
        runs.append(run)
        for turn, position, _ in run.browses():
            if (state := draw(STATES)) is not None:
                verdicts[run.id, turn, position] = state
    return runs, verdicts


def wanted_after(run, turn, call):
    """What a run opens, or asks for in vain, after a place."""
    return {
        found
        for number, each in enumerate(run.turns)
        for index, other in enumerate(each.calls)
        if (number, index) > (turn, call)
        for found in [other.docid or (isinstance(other.arguments, dict) and other.arguments.get("docid"))]
        if found
    }


@pytest.mark.parametrize("name", RECIPES)
@settings(max_examples=40, deadline=None)
@given(cases())
def test_every_recipe_keeps_its_word(mine, name, case):
    runs, verdicts = case
    recipe = RECIPES[name]
    by_id = {run.id: run for run in runs}
    pairs, report = mine(runs, verdicts, recipe)
    mined = [run for run in runs if run.status in (["answered", "unanswered"] if recipe.unanswered else ["answered"])]

    assert report.mined == len(mined)
    assert report.pairs == len(pairs)
    assert report.flagged == sum(not pair.satisfied for pair in pairs)
    assert sum(report.negatives.values()) == sum(len(pair.negatives) for pair in pairs)
    if recipe.parallel == "latest":
        calls = [call for run in mined for call in run.calls()]
        walk_reads_failed = recipe.walk == "since_useful"
        failed = sum(call.error is not None for call in calls) if walk_reads_failed else report.browses.get("failed", 0)
        assert sum(report.browses.values()) == sum(call.is_browse for call in calls) + failed
    weighed = [pair.weight for pair in pairs if "length" not in recipe.weight or pair.length]
    if weighed:
        assert sum(weighed) / len(weighed) == pytest.approx(1)
    if recipe.weight in ("length", "length_within_agent") and report.beta:
        ordered = [pair.raw_weight for pair in sorted(pairs, key=lambda pair: pair.length) if pair.length]
        assert ordered == sorted(ordered)

    positives = {}
    for pair in pairs:
        if pair.satisfied:
            positives.setdefault(pair.provenance.task, set()).add(pair.positive)
    for pair in pairs:
        where, run = pair.provenance, by_id[pair.provenance.trajectory]
        negatives = [negative.docid for negative in pair.negatives]
        assert pair.positive not in negatives
        assert len(set(negatives)) == len(negatives)
        assert where.task == run.task_id
        browse = run.turns[where.browse_turn].calls[where.browse_call]
        assert pair.positive == (browse.docid or browse.arguments["docid"])
        search = run.turns[where.turn].calls[where.call]
        listed = [hit.docid for hit in search.hits]
        assert where.rank == (listed.index(pair.positive) + 1 if pair.positive in listed else 0)
        state = verdicts.get((run.id, where.browse_turn, where.browse_call))
        if recipe.positives != "browsed":
            assert state == ("relevant" if pair.satisfied else "irrelevant")
        if recipe.positives == "relevant":
            after = run.turn_after(where.browse_turn)
            assert after.reasoning.strip()
            assert pair.length == after.reasoning_tokens
        if recipe.query_text == "query":
            assert pair.query == search.executed["query"]
        shown = {hit.docid for turn in run.turns for call in turn.calls for hit in call.hits or ()}
        assert set(negatives) <= (shown if recipe.walk != "since_useful" else shown | set("abcdefgh"))
        # what is unlabelled is in no pair: neither what was opened from the list, unless rejected for release ...
        if recipe.walk == "search":
            assert not set(negatives) & opened_here(run, where)
        # ... nor what is opened later, or is a positive of the question
        if recipe.guards.look_ahead and recipe.walk == "search":
            assert not set(negatives) & wanted_after(run, where.turn, len(run.turns[where.turn].calls))
        if recipe.guards.look_ahead and recipe.walk == "since_useful":
            assert not set(negatives) & wanted_after(run, *next_search(run, where.browse_turn, where.browse_call))
        if recipe.guards.question_positives:
            assert not set(negatives) & positives.get(where.task, set())


def opened_here(run, where):
    """What is opened, or asked for in vain, between a search and the next turn that searches."""
    found = set()
    for number in range(where.turn + 1, len(run.turns)):
        found |= {call.docid or call.arguments.get("docid") for call in run.turns[number].calls if call.hits is None}
        if any(call.hits is not None for call in run.turns[number].calls):
            break
    return found


def next_search(run, turn, call):
    """The place of the search that follows a browse; beyond the run where none does."""
    searches = (
        (number, index)
        for number, each in enumerate(run.turns)
        for index, other in enumerate(each.calls)
        if other.hits is not None and (number, index) > (turn, call)
    )
    return next(searches, (len(run.turns), 0))


@pytest.mark.parametrize("name", [name for name in RECIPES if not name.endswith("ahead")])
@settings(max_examples=25, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_pairs_do_not_depend_on_the_order_of_the_runs(mine, name, case, draw):
    runs, verdicts = case
    mixed = list(runs)
    draw.shuffle(mixed)

    def found(order):
        pairs, report = mine(order, verdicts, RECIPES[name])
        pairs.sort(key=lambda pair: encode(pair.provenance))
        rows = [(p.provenance, p.query, p.positive, p.satisfied, p.negatives, p.length) for p in pairs]
        return rows, [p.weight for p in pairs], report.browses, report.unlabelled, report.dropped

    one, other = found(runs), found(mixed)
    assert one[0] == other[0]
    assert one[1] == pytest.approx(other[1])
    assert one[2:] == other[2:]
