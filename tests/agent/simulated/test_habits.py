"""Habits are mechanisms on what was shown; a persona without them is what it was before there were any."""

from __future__ import annotations

import hashlib
import statistics

from lrat_sim.agent.simulated.persona import Habits, Persona, verbosity
from lrat_sim.agent.simulated.policy import AnswerAction, BrowseAction, SearchAction, Thought, decide
from lrat_sim.agent.simulated.reading import Glimpse, OpenedDocument, ResultList
from lrat_sim.agent.simulated.writing import reasoning
from lrat_sim.records import Document, Hop, Plan
from lrat_sim.text import count_tokens

HOP = Hop(subject="Teren Vald", relation="teacher", object="Mira Osk", phrasings=["who taught {subject}"])
ONE = Plan(hops=[HOP])
ACTIONS = "bca47fbc"


def _habits(**other: float) -> Habits:
    """Without any effect but those given."""
    zero = ("consensus", "conviction", "momentum", "scrutiny", "doubt", "diligence", "elaboration", "fatigue")
    return Habits(**{**dict.fromkeys(zero, 0.0), "discovery": 1.0, **other})


def _plain(**traits) -> Persona:
    """Judges snippets without error, believes what it reads, and looks at content alone."""
    zero = ("snippet_noise", "rank_prior", "recurrence", "eagerness", "satiety", "credulity", "misreading")
    return Persona(**{**dict.fromkeys(zero, 0.0), "trust": 1.0, "patience": 30.0, **traits})


def _list(*titles: str, query: str = "q", snippet: str = "He kept bees.") -> ResultList:
    return ResultList(query, tuple(Glimpse(title, title, snippet, rank) for rank, title in enumerate(titles, start=1)))


def _after(persona: Persona, *events, plan: Plan = ONE, seed: int = 1) -> Thought:
    thought = Thought(plan=plan, question="Who taught him?", persona=persona, seed=seed)
    for event in events:
        thought.take_in(event)
    return thought


def _said(action) -> str:
    if isinstance(action, BrowseAction):
        return action.glimpse.docid
    return action.query if isinstance(action, SearchAction) else str(action.value)


def test_a_persona_without_habits_keeps_its_runs(converse):
    said = []
    for seed in range(12):
        said.append("|".join(map(_said, converse(seed=seed, snippet=120).finished().actions)))
    assert hashlib.sha256("\n".join(said).encode()).hexdigest()[:8] == ACTIONS


def test_a_hit_is_opened_once_enough_lists_agree_on_it():
    persona = _plain(pickiness=1.5, habits=_habits(consensus=1.0, caution=2.0))
    lists = [_list("Teren Vald", "Harbour tolls", query=f"q{number}") for number in range(4)]
    opened = [isinstance(decide(_after(persona, *lists[:count])), BrowseAction) for count in range(1, 5)]
    # the title is worth 1, and n lists that put it first n / (n + 2)
    assert opened == [False, True, True, True]
    cautious = _plain(pickiness=1.5, habits=_habits(consensus=1.0, caution=4.0))
    assert not isinstance(decide(_after(cautious, *lists[:3])), BrowseAction)


def test_a_hit_that_stands_low_gains_less_than_one_that_stands_first():
    persona = _plain(pickiness=1.5, habits=_habits(consensus=1.0))
    low = [_list("Harbour tolls", "Wick", "Rope", "Teren Vald", query=f"q{number}") for number in range(3)]
    assert isinstance(decide(_after(persona, *low)), SearchAction)


def test_what_was_passed_over_stays_passed_over_by_conviction():
    def opened(conviction: float) -> int:
        count = 0
        for seed in range(60):
            persona = _plain(pickiness=1.6, snippet_noise=0.5, habits=_habits(conviction=conviction))
            lists = [_list("Teren Vald", query=f"q{number}") for number in range(8)]
            thoughts = (_after(persona, *lists[:upto], seed=seed) for upto in range(1, 9))
            count += any(isinstance(decide(thought), BrowseAction) for thought in thoughts)
        return count

    assert opened(1.0) < 15  # once in nine or so, however often it is seen
    assert opened(0.0) > 25


def test_after_a_document_that_brought_nothing_the_next_is_opened_sooner_the_more_was_searched():
    page = OpenedDocument("Teren Vald", "Teren Vald", "Teren Vald\nHe kept bees.")
    lists = [_list("Teren Vald", "Teren Vald: youth", query=f"q{number}") for number in range(6)]
    for momentum, searches, opens in ((0.0, 6, False), (0.4, 1, False), (0.4, 6, True), (0.8, 1, True)):
        persona = _plain(pickiness=1.2, habits=_habits(momentum=momentum, caution=2.0))
        assert isinstance(decide(_after(persona, *lists[:searches])), SearchAction)
        follows = decide(_after(persona, *lists[:searches], page))
        assert isinstance(follows, BrowseAction if opens else SearchAction)


def test_a_long_snippet_that_does_not_state_the_fact_spares_opening():
    persona = _plain(pickiness=0.9, habits=_habits(scrutiny=0.5))
    short, long = _list("Teren Vald", snippet="He kept bees."), _list("Teren Vald", snippet="He kept bees. " * 40)
    assert isinstance(decide(_after(persona, short)), BrowseAction)
    assert isinstance(decide(_after(persona, long)), SearchAction)


def test_a_run_that_thinks_more_opens_more():
    seeds = sorted(range(40), key=verbosity)
    persona = _plain(pickiness=1.2, habits=_habits(diligence=0.5))
    opens = [isinstance(decide(_after(persona, _list("Teren Vald"), seed=seed)), BrowseAction) for seed in seeds]
    assert opens == sorted(opens)
    assert 0 < sum(opens) < 40


def test_a_fact_in_doubt_is_checked_by_a_query_that_holds_it_and_then_the_run_goes_on():
    persona = _plain(habits=_habits(doubt=1.0))
    stated = _list("Teren Vald", snippet="Mira Osk taught him.")
    thought = _after(persona, stated)
    check = decide(thought)
    assert check == SearchAction("who taught Teren Vald Mira Osk", 0, check=True)
    assert "Mira Osk" in reasoning(thought, check)
    thought.take_in(_list("Harbour tolls"))
    assert decide(thought) == AnswerAction("Mira Osk", sure=True)
    assert isinstance(decide(_after(_plain(habits=_habits()), stated)), AnswerAction)


def test_without_tools_a_doubtful_fact_is_answered_at_once():
    persona = _plain(habits=_habits(doubt=1.0))
    thought = _after(persona, _list("Teren Vald", snippet="Mira Osk taught him."))
    assert decide(thought, must_answer=True) == AnswerAction("Mira Osk", sure=True)


def test_a_check_puts_a_mistake_right_where_a_result_states_the_fact():
    persona = _plain(credulity=1.0, habits=_habits(doubt=1.0))
    wrong = OpenedDocument("x", "Teren Moor", "Teren Moor\nIn youth he went out. His teacher was Orrin Fell.")
    thought = _after(persona, _list("Teren Moor"), wrong)
    assert thought.beliefs[0].value == "Orrin Fell"
    assert "Orrin Fell" in decide(thought).query
    unhelpful = _after(persona, _list("Teren Moor"), wrong, _list("Harbour tolls"))
    assert decide(unhelpful) == AnswerAction("Orrin Fell", sure=True)
    thought.take_in(_list("Teren Vald", snippet="Mira Osk taught him."))
    assert decide(thought) == AnswerAction("Mira Osk", sure=True)


def test_a_check_does_not_count_as_a_search_for_the_next_step():
    plan = Plan(hops=[HOP, Hop(subject="#1", relation="place of birth", object="Thornmouth")])
    persona = _plain(habits=_habits(doubt=1.0))
    stated = _list("Teren Vald", snippet="Mira Osk taught him.")
    assert _after(persona, stated, _list("Harbour tolls"), plan=plan).searches == {0: 1}


def _length(habits: Habits, *events, plan: Plan = ONE) -> float:
    """Mean tokens of reasoning after the last event, over seeds."""
    persona = _plain(verbosity=120.0, habits=habits)
    lengths = []
    for seed in range(60):
        thought = _after(persona, *events, plan=plan, seed=seed)
        lengths.append(count_tokens(reasoning(thought, decide(thought))))
    return statistics.mean(lengths)


BODY = " ".join(f"In the year {1700 + year} he sold a good many jars of honey at the market." for year in range(40))
NOTHING = OpenedDocument("b", "Teren Vald", f"Teren Vald\n{BODY}")
FACT = OpenedDocument("a", "Teren Vald", f"Teren Vald\nMira Osk taught him. {BODY}")


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
            assert said in reasoning(thought, decide(thought))


def test_long_snippets_of_a_practised_searcher_mean_fewer_opened_documents(converse):
    text = "Teren Vald sold jars of honey. " * 20
    documents = [Document(id=f"d{number}", title="Teren Vald", text=text) for number in range(6)]

    def browses(snippet: int) -> int:
        setting = {"plan": ONE, "documents": documents, "snippet": snippet}
        habits = Habits(scrutiny=1.0, consensus=0.3)
        return sum(converse(seed=seed, habits=habits, **setting).finished().browses() for seed in range(15))

    assert browses(500) < 0.6 * browses(40)
