"""Habits are mechanisms on what was shown; a persona without them is what it was before there were any."""

from __future__ import annotations

import hashlib
import statistics

import pytest

from lrat_sim.agent.simulated import memory
from lrat_sim.agent.simulated.memory import Glimpse, Page, Results
from lrat_sim.agent.simulated.persona import Habits, Persona
from lrat_sim.agent.simulated.policy import Answer, Browse, Search, decide, own_verbosity, replay, take_in
from lrat_sim.agent.simulated.prose import reasoning
from lrat_sim.records import Document, Hop, Plan
from lrat_sim.text import count_tokens, normalise

HOP = Hop(subject="Teren Vald", relation="teacher", object="Mira Osk", phrasings=["who taught {subject}"])
ONE = Plan(hops=[HOP])
ACTIONS = "2d18c05e"


def _habits(**other: float) -> Habits:
    """Without any effect but those given."""
    none = {
        **{"consensus": 0.0, "caution": 2.0, "conviction": 0.0, "momentum": 0.0, "scrutiny": 0.0, "doubt": 0.0},
        **{"diligence": 0.0, "discovery": 1.0, "elaboration": 0.0, "fatigue": 0.0},
    }
    return Habits(**{**none, **other})


def _plain(**traits) -> Persona:
    """Judges snippets without error, believes what it reads, and looks at content alone."""
    settings = {
        "snippet_noise": 0.0,
        "rank_prior": 0.0,
        "recurrence": 0.0,
        "eagerness": 0.0,
        "trust": 1.0,
        "satiety": 0.0,
    }
    return Persona(**{**settings, "patience": 30.0, "credulity": 0.0, "misreading": 0.0, **traits})


def _list(*titles: str, query: str = "q", snippet: str = "He kept bees.") -> Results:
    return Results(query, tuple(Glimpse(title, title, snippet, rank) for rank, title in enumerate(titles, start=1)))


def _after(persona: Persona, *events, plan: Plan = ONE, seed: int = 1):
    return replay(plan, "Who taught him?", list(events), persona, seed)


def test_a_persona_without_habits_keeps_its_runs(converse):
    said = []
    for seed in range(12):
        run = converse(seed=seed, snippet=120)
        run.run()
        said.append(str([getattr(action, "query", None) or str(action) for action in run.actions]))
    assert hashlib.sha256("\n".join(said).encode()).hexdigest()[:8] == ACTIONS


def test_a_hit_is_opened_once_enough_lists_agree_on_it():
    persona = _plain(pickiness=1.5, habits=_habits(consensus=1.0, caution=2.0))
    lists = [_list("Teren Vald", "Harbour tolls", query=f"q{number}") for number in range(4)]
    opened = [isinstance(decide(_after(persona, *lists[:count]), set(), persona, 1), Browse) for count in range(1, 5)]
    # the title is worth 1, and n lists that put it first n / (n + 2)
    assert opened == [False, True, True, True]
    cautious = _plain(pickiness=1.5, habits=_habits(consensus=1.0, caution=4.0))
    assert not isinstance(decide(_after(cautious, *lists[:3]), set(), cautious, 1), Browse)


def test_a_hit_that_stands_low_gains_less_than_one_that_stands_first():
    persona = _plain(pickiness=1.5, habits=_habits(consensus=1.0))
    low = [_list("Harbour tolls", "Wick", "Rope", "Teren Vald", query=f"q{number}") for number in range(3)]
    assert isinstance(decide(_after(persona, *low), set(), persona, 1), Search)


def test_what_was_passed_over_stays_passed_over_by_conviction():
    def opened(conviction: float) -> int:
        count = 0
        for seed in range(60):
            persona = _plain(pickiness=1.6, snippet_noise=0.5, habits=_habits(conviction=conviction))
            lists = [_list("Teren Vald", query=f"q{number}") for number in range(8)]
            thoughts = (_after(persona, *lists[:upto], seed=seed) for upto in range(1, 9))
            count += any(isinstance(decide(thought, set(), persona, seed), Browse) for thought in thoughts)
        return count

    assert opened(1.0) < 15  # once in nine or so, however often it is seen
    assert opened(0.0) > 25


def test_after_a_document_that_brought_nothing_the_next_is_opened_sooner_the_more_was_searched():
    page = Page("Teren Vald", "Teren Vald", "Teren Vald\nHe kept bees.")
    lists = [_list("Teren Vald", "Teren Vald: youth", query=f"q{number}") for number in range(6)]
    for momentum, searches, follows in ((0.0, 6, Search), (0.4, 1, Search), (0.4, 6, Browse), (0.8, 1, Browse)):
        persona = _plain(pickiness=1.2, habits=_habits(momentum=momentum, caution=2.0))
        assert isinstance(decide(_after(persona, *lists[:searches]), set(), persona, 1), Search)
        assert isinstance(decide(_after(persona, *lists[:searches], page), set(), persona, 1), follows)


def test_a_long_snippet_that_does_not_state_the_fact_spares_opening():
    persona = _plain(pickiness=0.9, habits=_habits(scrutiny=0.5))
    short, long = _list("Teren Vald", snippet="He kept bees."), _list("Teren Vald", snippet="He kept bees. " * 40)
    assert isinstance(decide(_after(persona, short), set(), persona, 1), Browse)
    assert isinstance(decide(_after(persona, long), set(), persona, 1), Search)


def test_a_run_that_thinks_more_opens_more():
    seeds = sorted(range(40), key=own_verbosity)
    persona = _plain(pickiness=1.2, habits=_habits(diligence=0.5))
    opens = [
        isinstance(decide(_after(persona, _list("Teren Vald"), seed=seed), set(), persona, seed), Browse)
        for seed in seeds
    ]
    assert opens == sorted(opens)
    assert 0 < sum(opens) < 40


def test_a_fact_in_doubt_is_checked_by_a_query_that_holds_it_and_then_the_run_goes_on():
    persona = _plain(habits=_habits(doubt=1.0))
    stated = _list("Teren Vald", snippet="Mira Osk taught him.")
    thought = _after(persona, stated)
    check = decide(thought, {"q"}, persona, 1)
    assert check == Search("who taught Teren Vald Mira Osk", 0, check=True)
    assert "Mira Osk" in reasoning(thought, check, persona, 1)
    take_in(thought, _list("Harbour tolls"), persona, 1)
    assert decide(thought, {"q", check.query}, persona, 1) == Answer("Mira Osk", sure=True)
    assert isinstance(decide(_after(_plain(habits=_habits()), stated), {"q"}, _plain(habits=_habits()), 1), Answer)


def test_without_tools_a_doubtful_fact_is_answered_at_once():
    persona = _plain(habits=_habits(doubt=1.0))
    thought = _after(persona, _list("Teren Vald", snippet="Mira Osk taught him."))
    assert decide(thought, set(), persona, 1, must_answer=True) == Answer("Mira Osk", sure=True)


def test_a_check_puts_a_mistake_right_where_a_result_states_the_fact():
    persona = _plain(credulity=1.0, habits=_habits(doubt=1.0))
    wrong = Page("x", "Teren Moor", "Teren Moor\nIn youth he went out. His teacher was Orrin Fell.")
    thought = _after(persona, _list("Teren Moor"), wrong)
    assert thought.beliefs[0].value == "Orrin Fell"
    assert "Orrin Fell" in decide(thought, set(), persona, 1).query
    unhelpful = _after(persona, _list("Teren Moor"), wrong, _list("Harbour tolls"))
    assert decide(unhelpful, set(), persona, 1) == Answer("Orrin Fell", sure=True)
    take_in(thought, _list("Teren Vald", snippet="Mira Osk taught him."), persona, 1)
    assert decide(thought, set(), persona, 1) == Answer("Mira Osk", sure=True)


def test_a_check_does_not_count_as_a_search_for_the_next_step():
    plan = Plan(hops=[HOP, Hop(subject="#1", relation="place of birth", object="Thornmouth")])
    persona = _plain(habits=_habits(doubt=1.0))
    stated = _list("Teren Vald", snippet="Mira Osk taught him.")
    assert _after(persona, stated, _list("Harbour tolls"), plan=plan).searches == {0: 1}


@pytest.mark.parametrize("seed", range(12))
def test_no_object_enters_a_query_or_an_answer_before_it_was_read(converse, seed):
    run = converse(seed=seed, credulity=0.0, misreading=0.0, patience=12.0, habits=Habits(doubt=1.0))
    run.run()
    shown = normalise(run.messages[0]["content"])
    events = iter(memory.recall(run.messages))
    for action in run.actions:
        said = action.query if isinstance(action, Search) else action.value if isinstance(action, Answer) else ""
        for hop in run.plan.hops:
            if f" {normalise(hop.object)} " in f" {normalise(said or '')} ":
                assert normalise(hop.object) in shown, (seed, said)
        event = next(events, None)
        if isinstance(event, Page):
            shown += " " + normalise(event.text)
        elif isinstance(event, Results):
            shown += " " + normalise(" ".join(f"{hit.title} {hit.snippet}" for hit in event.glimpses))


def _length(habits: Habits, *events, plan: Plan = ONE) -> float:
    """Mean tokens of reasoning after the last event, over seeds."""
    persona = _plain(verbosity=120.0, habits=habits)
    lengths = []
    for seed in range(60):
        thought = replay(plan, "Who taught him?", list(events), persona, seed)
        lengths.append(count_tokens(reasoning(thought, decide(thought, set(), persona, seed), persona, seed)))
    return statistics.mean(lengths)


BODY = " ".join(f"In the year {1700 + year} he sold a good many jars of honey at the market." for year in range(40))
NOTHING = Page("b", "Teren Vald", f"Teren Vald\n{BODY}")
FACT = Page("a", "Teren Vald", f"Teren Vald\nMira Osk taught him. {BODY}")


def test_reasoning_is_longer_about_a_discovery_and_shorter_after_many_searches():
    hits = _list("Teren Vald")
    searches = [_list("Harbour tolls", query=f"q{number}") for number in range(15)]
    assert _length(_habits(discovery=2.0), hits, FACT) > 1.4 * _length(_habits(), hits, FACT)
    tired = _length(_habits(fatigue=0.4), *searches, NOTHING)
    assert tired < 0.7 * _length(_habits(fatigue=0.4), hits, NOTHING)
    # the searches that led to a fact count, not those for the step after it
    assert _length(_habits(fatigue=0.4), *searches, FACT) < 0.7 * _length(_habits(fatigue=0.4), hits, FACT)


def test_reasoning_grows_with_what_is_known():
    plan = Plan(hops=[Hop(subject="The Weir", relation="owner", object="Teren Vald"), HOP])
    later = Plan(hops=[HOP, Hop(subject="#1", relation="place of birth", object="Wick")])
    known = _list("The Weir", snippet="Teren Vald owns it.")
    habits = _habits(elaboration=1.0)
    assert _length(habits, known, NOTHING, plan=plan) > 1.3 * _length(habits, known, NOTHING, plan=later)


def test_short_reasoning_still_names_the_page_and_the_fact():
    persona = _plain(verbosity=12.0, habits=_habits())
    for page, said in ((FACT, "Mira Osk"), (NOTHING, "Teren Vald")):
        for seed in range(10):
            thought = _after(persona, _list("Teren Vald"), page, seed=seed)
            assert said in reasoning(thought, decide(thought, set(), persona, seed), persona, seed)


def test_long_snippets_of_a_practised_searcher_mean_fewer_opened_documents(converse):
    text = "Teren Vald sold jars of honey. " * 20
    documents = [Document(id=f"d{number}", title="Teren Vald", text=text) for number in range(6)]

    def browses(snippet: int) -> int:
        habits = Habits(scrutiny=1.0, consensus=0.3)
        runs = [
            converse(plan=ONE, documents=documents, seed=seed, snippet=snippet, habits=habits) for seed in range(15)
        ]
        for run in runs:
            run.run()
        return sum(isinstance(action, Browse) for run in runs for action in run.actions)

    assert browses(500) < 0.6 * browses(40)
