"""Writers put the same run into other words: its calls and its answer are the same, its reasoning is not."""

from __future__ import annotations

from typing import get_args

import pytest
import yaml

from lrat_sim.agent import load_agent
from lrat_sim.agent.simulated import writing
from lrat_sim.agent.simulated.persona import Habits, Persona, Writer
from lrat_sim.agent.simulated.policy import think
from lrat_sim.agent.simulated.reading import OpenedDocument
from lrat_sim.agent.simulated.writing import reasoning
from lrat_sim.errors import InputError
from lrat_sim.rollout import read_trajectories, rollout
from lrat_sim.text import count_tokens

WRITERS: tuple[Writer, ...] = get_args(Writer)


def turns(converse, writer, seeds=range(30), **traits):
    """Every turn of some runs: what the agent thinks, and what the writer writes about it."""
    traits = {"pickiness": 0.6, "credulity": 0.0, **traits, "writer": writer}
    found = []
    for seed in seeds:
        run = converse(seed=seed, **traits).finished()
        for end in range(1, len(run.messages) + 1, 2):
            thought, action = think(run.messages[:end], run.plan, Persona(**traits), seed, tools=True)
            found.append((thought, reasoning(thought, action)))
    return found


def after_browses(converse, writer, **traits):
    """Those that follow an opened document: whether it brought a fact, its title and the text."""
    return [
        (bool(thought.gained), thought.events[-1].title, text, thought)
        for thought, text in turns(converse, writer, **traits)
        if thought.events and isinstance(thought.events[-1], OpenedDocument)
    ]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("traits", [{}, {"habits": Habits()}])
def test_a_writer_changes_the_reasoning_and_no_call_and_no_answer(converse, writer, traits):
    changed = False
    for seed in range(8):
        usual, other = (converse(seed=seed, **traits, writer=by).finished() for by in (None, writer))
        assert [str(action) for action in usual.actions] == [str(action) for action in other.actions]
        assert usual.messages == other.messages
        texts = [[text for _, text in turns(converse, by, [seed], **traits)] for by in (None, writer)]
        changed = changed or texts[0] != texts[1]
    assert changed


@pytest.mark.parametrize("writer", ["vague", "silent"])
def test_recorded_runs_differ_in_reasoning_alone(small_world, writer, tmp_path):
    calls, written = [], []
    for by in (None, writer):
        retriever = agent_retriever(small_world)
        settings = load_agent("simulated", {"simulation.writer": by} if by else {})
        rollout(small_world.tasks("train")[:6], settings, retriever, tmp_path / str(by))
        runs = sorted(read_trajectories(tmp_path / str(by)), key=lambda run: run.task_id)
        calls.append([(run.answer, [(call.tool, call.executed, call.output) for call in run.calls()]) for run in runs])
        written.append([turn.reasoning for run in runs for turn in run.turns])
    assert calls[0] == calls[1]
    assert written[0] != written[1]
    assert None not in written[0]
    assert (None in written[1]) == (writer == "silent")


def agent_retriever(dataset):
    from lrat_sim.retrieval import open_retriever

    return open_retriever("bm25", dataset.corpus, dataset.folder / "bm25-of-writers")


def test_a_persona_without_a_writer_keeps_its_fingerprint():
    """Of a file that says nothing of writers, as before there were any."""
    described = load_agent("simulated").describe()
    assert "writer" not in described["simulation"]
    assert load_agent("simulated", {"simulation.writer": "terse"}).describe()["fingerprint"] != described["fingerprint"]
    with pytest.raises(InputError, match="writer"):
        load_agent("simulated", {"simulation.writer": "nosuch"})


def test_every_writer_is_described_and_replaces_phrases_that_there_are():
    writers = yaml.safe_load((writing.files(writing.__package__) / "writers.yaml").read_text("utf-8"))
    assert set(writers) == set(WRITERS)
    usual = writing.writing(None).phrases
    for writer in WRITERS:
        assert writing.writing(writer).description
        assert set(writing.writing(writer).phrases) - set(usual) <= {"praised"}


def test_the_terse_write_little_and_the_verbose_much(converse):
    lengths = {
        writer: [count_tokens(text) for *_, text, _ in after_browses(converse, writer)]
        for writer in (None, "terse", "verbose")
    }
    mean = {writer: sum(tokens) / len(tokens) for writer, tokens in lengths.items()}
    assert mean["terse"] < mean[None] / 2
    assert mean["verbose"] > 1.3 * mean[None]  # as far as the pages have something to quote


def test_the_vague_name_neither_document_nor_finding_nor_say_whether_it_helped(converse):
    said = {True: set(), False: set()}
    for helped, title, text, thought in after_browses(converse, "vague"):
        said[helped].add(text.split(".")[0])
        names = [title, *(belief.value for belief in thought.beliefs.values()), *(h.subject for h in thought.plan.hops)]
        assert not any(name in text for name in names)
    assert said[True] & said[False]


def test_the_wrong_dismiss_half_of_what_helped_and_praise_half_of_what_did_not(converse):
    phrases = writing.writing("wrong").phrases

    def opens_with(text, kind):
        starts = [phrase.split("{")[0] or phrase.split("}")[1].split("{")[0] for phrase in phrases[kind]]
        return any(start.strip() in text for start in starts)

    found = after_browses(converse, "wrong", seeds=range(60))
    dismissed = [opens_with(text, "rejected") for helped, _, text, _ in found if helped]
    praised = [opens_with(text, "praised") for helped, _, text, _ in found if not helped]
    assert len(dismissed) > 30 < len(praised)
    assert 0.3 < sum(dismissed) / len(dismissed) < 0.7
    assert 0.3 < sum(praised) / len(praised) < 0.7
    # what it found is not in what it writes on a document that it dismisses
    for helped, _, text, thought in found:
        if helped and opens_with(text, "rejected"):
            about = text.split("Next I", 1)[0]
            assert not any(f"is {thought.beliefs[hop].value}" in about for hop in thought.gained)


def test_the_silent_leave_out_half_of_their_turns(converse):
    texts = [text for _, text in turns(converse, "silent")]
    assert 0.35 < sum(text is None for text in texts) / len(texts) < 0.65
    assert "" not in texts
