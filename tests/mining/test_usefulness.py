"""Which documents a run made use of, and what follows for its pairs."""

from __future__ import annotations

import gzip
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.artifact import read_records, write_records
from lrat_sim.errors import InputError
from lrat_sim.grading.relevance import RuleJudge
from lrat_sim.mining.episodes import episodes
from lrat_sim.mining.recipe import load_recipe
from lrat_sim.mining.run import mine_run
from lrat_sim.mining.usefulness import BY_READING, USEFULNESS, AnalysedRun
from lrat_sim.records import Pair, Task
from lrat_sim.rollout.index import asked_tasks, read_trajectories, record_asked


def taken(run):
    """The browses from whose document a name was taken up."""
    names = AnalysedRun(run)
    return {(turn, position) for turn, position, _ in run.browses() if names.taken_up(turn + 1)}


@pytest.fixture
def hunt(make):
    """Who built the bridge, and whom did the builder marry? Each document is opened after a search of its own."""

    def made(*, first="It was Orla Fenn.", second="No word of it here.", query="wife of orla fenn", answer="Ivo Marsh"):
        run = make.run(
            make.turn(make.search("bridge builder", ["a", "b"]), reasoning="I look for the bridge."),
            make.turn(make.browse("a"), reasoning="Let us open a."),
            make.turn(make.search(query, ["c", "d"]), reasoning=first),
            make.turn(make.browse("c"), reasoning="Now c."),
            make.turn(make.browse("d"), reasoning=second),
            make.turn(reasoning="According to this, the husband was Ivo Marsh."),
        )
        return msgspec.structs.replace(run, answer=answer, question="Whom did the builder of the Bridge marry?")

    return made


def test_name_that_a_later_query_or_the_answer_takes_up_makes_the_document_useful(hunt):
    assert taken(hunt()) == {(1, 0), (4, 0)}


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"first": "Nothing on Orla Fenn."}, {(1, 0), (4, 0)}),  # what it says is the judge's to read
        ({"query": "wife of the builder"}, {(4, 0)}),  # not taken up
        ({"answer": "unknown"}, {(1, 0)}),
        ({"first": "The Bridge was built."}, {(4, 0)}),  # a name of the question
        ({"first": "Fenn. Or was it her? Orla it was."}, {(4, 0)}),  # capitals that begin a sentence
        ({"first": "In 1834 it was.", "query": "wife of a builder of 1834"}, {(1, 0), (4, 0)}),
        ({"first": "orla fenn."}, {(4, 0)}),  # no capital tells a name
        ({"second": "Perhaps Ivo Marsh."}, {(1, 0), (3, 0)}),  # by the first document after which it was written
    ],
)
def test_only_new_names_that_are_used_count(hunt, change, left):
    assert taken(hunt(**change)) == left


def test_answer_of_a_run_that_gave_up_is_none(hunt):
    run = msgspec.structs.replace(hunt(), status="unanswered")
    assert taken(run) == {(1, 0)}


@pytest.fixture
def compared(make):
    """A search with two documents opened, from which no name is taken up; another; and one more document."""

    def made(second, *, noted="b is of 1834", third="elsewhere", end="so it is", status="answered"):
        run = make.run(
            make.turn(make.search("age of Mill Road", ["a", "b"]), reasoning="first"),
            make.turn(make.browse("a"), reasoning="open a"),
            make.turn(make.browse("b"), reasoning="not in a, of 1733"),
            make.turn(make.search(second, ["c"]), reasoning=noted),
            make.turn(make.search(third, ["d"]), reasoning="again"),
            make.turn(make.browse("d"), reasoning="open d"),
            make.turn(reasoning=end),
            status=status,
        )
        return msgspec.structs.replace(run, question="Is Mill Road older than Corn Street?")

    return made


@pytest.mark.parametrize(
    ("change", "first", "last"),
    [
        ({"second": "age of Corn Street"}, "unclear", "used"),  # the search for Mill Road ended with b
        ({"second": "age of Corn Street beside Mill Road"}, "unclear", "used"),  # it went on to the other half
        ({"second": "age of Corn Street", "noted": "on to the other"}, "unclear", "unclear"),  # nothing new
        ({"second": "building of Mill Road"}, "unused", "unused"),  # it looked for Mill Road again
        ({"second": "age of Corn Street", "third": "building of Mill Road"}, "unused", "unused"),  # if only later
    ],
)
def test_last_document_is_used_where_the_search_ended_with_it(compared, change, first, last):
    found = AnalysedRun(compared(**change)).uses()
    assert (found[1, 0], found[2, 0]) == (first, last)


@pytest.mark.parametrize(
    ("change", "use"),
    [
        ({}, "unclear"),  # nothing new, so that the answer may have been forced
        ({"end": None}, "unclear"),
        ({"end": "It dates from 1655."}, "used"),
        ({"end": "It is as old as Mill Road."}, "unclear"),
        ({"end": "It dates from 1655.", "third": "year of Corn Street"}, "unclear"),  # asked a second time
        ({"end": "It dates from 1655.", "status": "unanswered"}, "unused"),
    ],
)
def test_document_before_the_end_is_used_where_the_first_wording_found_something_new(compared, change, use):
    assert AnalysedRun(compared("age of Corn Street", **change)).uses()[5, 0] == use


def test_queries_without_capitals_are_told_apart_by_their_longer_words(make):
    run = make.run(
        make.turn(make.search("age of the mill", ["a"])),
        make.turn(make.browse("a")),
        make.turn(make.search("date of the mill", ["b"]), reasoning="of 1733"),
        make.turn(make.browse("b")),
        make.turn(make.search("year of the road", ["c"]), reasoning="of 1834"),
    )
    assert AnalysedRun(run).uses() == {(1, 0): "unused", (3, 0): "used"}


@pytest.mark.parametrize(
    ("later", "relation"),
    [
        ("who made the Corn Mill", "rewording"),
        ("Owen Mott", "other"),
        ("Owen Mott of the Corn Mill", "unclear"),  # the question's other name
        ("Orla Fenn of the Corn Mill", "unclear"),  # a name that was taken up since
        ("orla of the Corn Mill", "unclear"),  # and is written small
        ("Ivo Marsh of the Corn Mill", "rewording"),  # a guess
    ],
)
def test_rewordings_share_a_name_and_hold_none_that_leads_elsewhere(make, later, relation):
    run = make.run(
        make.turn(make.search("builder of the Corn Mill", ["a"])),
        make.turn(make.search(later, ["b"]), reasoning="The list says that it was Orla Fenn."),
    )
    run = msgspec.structs.replace(run, question="Did Owen Mott know the builder of the Corn Mill?")
    first, second = (episode.searches for episode in episodes(run))
    assert AnalysedRun(run).relation(first, second) == relation


def test_document_whose_use_is_unclear_is_neither_positive_nor_negative(mine, compared, judged):
    run = compared("age of Corn Street", noted="on to the other")
    recipe = load_recipe("mine-paper", {"useful": "used", "negatives": "[{rule: rejected}, {rule: unbrowsed}]"})
    pairs, report = mine([run], judged(run), recipe)
    assert [pair.positive for pair in pairs] == []
    assert report.browses == {"unjudged": 3}


def test_document_that_was_not_used_becomes_a_negative(mine, make, judged):
    run = make.run(
        make.turn(make.search("builder of the Corn Mill", ["a", "b"])),
        make.turn(make.browse("b"), reasoning="open b"),
        make.turn(make.search("who made the Corn Mill", ["c", "a"]), reasoning="b may do, or not"),
        make.turn(make.browse("c"), reasoning="open c"),
        make.turn(reasoning="That says that it was Orla Fenn."),
    )
    run = msgspec.structs.replace(run, question="Who built the Corn Mill?", answer="Orla Fenn")
    recipe = load_recipe("mine-recommended")
    pairs, report = mine([run], judged(run), recipe)
    found = [(pair.query, pair.positive, [(each.docid, each.tier) for each in pair.negatives]) for pair in pairs]
    assert found == [
        ("builder of the Corn Mill", "c", [("b", "rejected"), ("a", "unbrowsed")]),
        ("who made the Corn Mill", "c", [("a", "unbrowsed")]),
    ]
    assert report.browses == {"kept": 2, "irrelevant": 1}  # c serves both wordings


def test_judge_still_rejects_what_was_taken_up(mine, hunt, judged):
    run = hunt()
    pairs, _ = mine([run], judged(run, _1_0="irrelevant"), load_recipe("mine-paper", {"useful": "used"}))
    assert [pair.positive for pair in pairs] == ["d"]


# --- what the opened texts say ---

BORN = "Where was Orla Fenn born?"


@pytest.fixture
def one_hop(make):
    """one_hop(documents, ...) opens each document of one list, whose texts are given by their ids, and answers."""

    def made(texts, *, question=BORN, query="Orla Fenn birthplace", answer="Leeds", after="I see.", status="answered"):
        opened = [msgspec.structs.replace(make.browse(docid), output=text) for docid, text in texts.items()]
        run = make.run(
            make.turn(make.search(query, list(texts)), reasoning="I search."),
            *(make.turn(call, reasoning=after) for call in opened),
            make.turn(reasoning=after),
            status=status,
        )
        return msgspec.structs.replace(run, question=question, answer=answer if status == "answered" else None)

    return made


def useful(signal, run, answers=()):
    """The documents that a signal calls relevant, whatever the judge says of them."""
    states = USEFULNESS[signal](AnalysedRun(run, answers, by_reading=signal in BY_READING), {})
    return {call.docid for turn, position, call in run.browses() if states.get((turn, position)) == "relevant"}


TEXTS = {
    "right": "Orla Fenn was born in Harrow.",
    "namesake": "Orla Fennet was born in Harrow.",
    "other": "Orla Fenn kept bees in Leeds.",
}


@pytest.mark.parametrize("status", ["answered", "unanswered"])
def test_confirmed_document_states_an_accepted_answer_about_what_was_searched_for(one_hop, status):
    run = one_hop(TEXTS, status=status)
    assert useful("confirmed", run, ["Harrow"]) == {"right"}
    assert useful("confirmed", run, ["York"]) == set()


@pytest.mark.parametrize(
    ("answer", "text", "states"),
    [
        ("12 March 1834", "Orla Fenn came into the world on March 12th, 1834.", True),
        ("12 March 1834", "Orla Fenn was baptised in 1834.", False),
        ("1834", "Orla Fenn was born in 1834.", False),  # most texts hold some year
        ("yes", "Orla Fenn said yes.", False),
        ("Harrow on the Hill", "Orla Fenn of Harrow-on-the-Hill", True),
    ],
)
def test_dates_confirm_in_any_notation_and_bare_numbers_do_not(one_hop, answer, text, states):
    assert useful("confirmed", one_hop({"d": text}), [answer]) == ({"d"} if states else set())


def test_name_by_which_the_run_searched_on_confirms_and_one_that_only_its_answer_takes_up_does_not(hunt):
    assert useful("confirmed", hunt(), ["Ada Cole"]) == {"a"}
    assert taken(hunt()) == {(1, 0), (4, 0)}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Whom did the builder of the Bridge marry, Ivo Marsh or Ada Cole?", "Ivo Marsh"),
        ("Did the builder of the Bridge marry?", "yes"),
        ("How many children had the builder of the Bridge?", "3"),
        ("When was the Bridge built?", "1834"),
    ],
)
def test_use_decides_where_no_document_can_confirm_an_answer(hunt, question, answer):
    run = msgspec.structs.replace(hunt(), question=question)
    judged = {(turn, position): "relevant" for turn, position, _ in run.browses()}
    analysed = AnalysedRun(run, [answer])
    assert USEFULNESS["confirmed"](analysed, judged) == USEFULNESS["used"](analysed, judged)


@pytest.mark.parametrize(
    ("answer", "documents"),
    [
        ("Leeds", {"other"}),
        ("She was born in Harrow.", {"right"}),
        ("She was born in a town.", set()),  # nothing new
        ("Orla Fenn's place", set()),  # a form of the question's words
        ("The text does not say whether it was Leeds.", set()),
        ("Possibly Leeds", set()),
        ("1834", set()),  # the question asks for no number
        (None, set()),
    ],
)
def test_supported_document_states_what_the_run_answers(one_hop, answer, documents):
    status = "unanswered" if answer is None else "answered"
    assert useful("supported", one_hop(TEXTS, answer=answer, status=status)) == documents


def test_supported_by_the_numbers_where_the_question_asks_for_a_time(one_hop):
    texts = {"year": "Orla Fenn, born 12 March 1834", "place": "Orla Fenn, born in Harrow"}
    run = one_hop(texts, question="When was Orla Fenn born?", answer="She was born in March 1834 in Harrow.")
    assert useful("supported", run) == {"year"}


@pytest.fixture
def journey(make):
    """Where was the builder of the Bridge born? One document names the builder, the next query asks about her."""

    def made(*, query="Orla Fenn birthplace", reasoning="I read.", text="The Bridge is the work of Orla Fenn."):
        def opened(docid, text):
            return make.turn(msgspec.structs.replace(make.browse(docid), output=text), reasoning=reasoning)

        run = make.run(
            make.turn(make.search("Bridge builder", ["toll", "bridge"]), reasoning=reasoning),
            opened("toll", "The toll was paid to Ada Cole."),
            opened("bridge", text),
            make.turn(make.search(query, ["born"]), reasoning=reasoning),
            opened("born", "Orla Fenn came from Harrow."),
            make.turn(reasoning=reasoning),
        )
        return msgspec.structs.replace(run, question="Where was the builder of the Bridge born?", answer="Harrow")

    return made


@pytest.mark.parametrize(
    ("change", "documents"),
    [
        ({}, {"bridge", "born"}),
        ({"reasoning": None}, {"bridge", "born"}),
        ({"reasoning": "The toll by Ada Cole is exactly what I needed. The Bridge is no help."}, {"bridge", "born"}),
        ({"query": "Ada Cole birthplace"}, set()),  # by a document that is not about its query; born is about another
        ({"query": "Bridge Orla Fenn"}, set()),  # the same thing again, in words that were read
        ({"text": "Orla Fenn was a builder of toll houses."}, {"born"}),  # not about what was searched for
    ],
)
def test_read_document_led_to_a_query_about_something_else_whatever_was_written(journey, change, documents):
    assert useful("read", journey(**change)) == documents


def test_a_recipe_by_reading_mines_the_same_pairs_from_runs_that_differ_in_reasoning(journey, tmp_path):
    mined = []
    for number, reasoning in enumerate(("I read.", None, "Ada Cole it is.")):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_records(folder / "trajectories.jsonl", [journey(reasoning=reasoning)])
        mine_run(folder, load_recipe("mine-read"), judge=RuleJudge())
        pairs = read_records(folder / "pairs.jsonl", Pair)
        mined.append([(pair.query, pair.positive, [negative.docid for negative in pair.negatives]) for pair in pairs])
    assert mined[0] == mined[1] == mined[2]
    assert mined[0] == [("Bridge builder", "bridge", ["toll"]), ("Orla Fenn birthplace", "born", [])]


def test_answers_are_those_of_the_tasks_that_were_asked(one_hop, tmp_path):
    write_records(tmp_path / "trajectories.jsonl", [one_hop(TEXTS)])
    record_asked(tmp_path, [Task(id="q1", question=BORN)])
    with pytest.raises(InputError, match=r"accepted answers, and no task of .* has any"):
        mine_run(tmp_path, load_recipe("mine-confirmed"), judge=RuleJudge())
    assert not (tmp_path / "pairs.jsonl").exists()
    write_records(tmp_path / "tasks.jsonl", [Task(id="q1", question=BORN, answers=["Harrow"])])
    mine_run(tmp_path, load_recipe("mine-confirmed"), judge=RuleJudge())
    (pair,) = read_records(tmp_path / "pairs.jsonl", Pair)
    assert (pair.positive, {negative.docid for negative in pair.negatives}) == ("right", {"namesake", "other"})


@pytest.fixture
def real_model_runs(data, tmp_path):
    """Runs of a real, small model on one-hop tasks: half of the tasks chose the rules, the other half measures them."""
    source, folder = data / "real-model-runs", tmp_path / "run"
    folder.mkdir()
    for name in ("run.yaml", "tasks.jsonl"):
        (folder / name).write_bytes((source / name).read_bytes())
    (folder / "trajectories.jsonl").write_bytes(gzip.decompress((source / "trajectories.jsonl.gz").read_bytes()))
    return folder


def test_pairs_of_a_real_models_runs_are_right(real_model_runs, tmp_path):
    tasks = {task.id: task for task in asked_tasks(real_model_runs)}
    held_out = {task for task in tasks if task >= "train-0500"}
    runs = [run for run in read_trajectories(real_model_runs) if run.task_id in held_out]
    opened = {(run.task_id, call.docid) for run in runs for _, _, call in run.browses()}
    evidence = {(task, docid) for task in held_out for docid in tasks[task].evidence}
    mine_run(real_model_runs, load_recipe("mine-confirmed"), tmp_path, judge=RuleJudge())
    pairs = [pair for pair in read_records(tmp_path / "pairs.jsonl", Pair) if pair.provenance.task in held_out]
    right = [pair for pair in pairs if (pair.provenance.task, pair.positive) in evidence]
    assert len(pairs) >= len(opened & evidence) / 2
    assert len(right) >= 0.9 * len(pairs)


WORD = re.compile(r"[^\W_](?:[\w'’-]*\w)?")
PIECES = (
    "Orla|orla|ORLA|Fenn|Fen|1834|O'Neil|o'neil|neil|Neil|Corn-Orla|_Orla|Été|Straße|STRASSE|'|-|_| | | |. |\n|it was "
)
TEXT = st.lists(st.sampled_from(PIECES.split("|")), max_size=12).map("".join)


def noted_by_all_words(run):
    """The turns that note a new name and those whose name is taken up, by the words of everything that was written."""

    def words(text):
        return set(WORD.findall(text.casefold()))

    asked = [" ".join(call.executed["query"] for call in turn.calls) for turn in run.turns]
    noted, taken = set(), set()
    for number, turn in enumerate(run.turns):
        before = words("\n".join([run.question, *(turn.reasoning for turn in run.turns[:number]), *asked[:number]]))
        after = words("\n".join([*asked[number:], run.answer]))
        for match in WORD.finditer(turn.reasoning):
            word, name = match.group(), match.group().casefold()
            just_before = turn.reasoning[max(0, match.start() - 4) : match.start()]
            starts = match.start() == 0 or re.search(r"[.!?:\n][\"”’')*]*\s*\Z", just_before)
            if len(word) >= 3 and name not in before and (word.isdecimal() or (word[0].isupper() and not starts)):
                noted.add(number)
                if name in after:
                    taken.add(number)
    return noted, taken


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), TEXT, TEXT)
def test_new_names_are_those_that_no_word_before_equals(make, turns, question, answer):
    run = make.run(*(make.turn(make.search(query, ["a"]), reasoning=text) for text, query in turns))
    run = msgspec.structs.replace(run, question=question, answer=answer)
    analysed = AnalysedRun(run)
    numbers = range(len(turns))
    found = {n for n in numbers if analysed.noted(n)}, {n for n in numbers if analysed.taken_up(n)}
    assert found == noted_by_all_words(run)
