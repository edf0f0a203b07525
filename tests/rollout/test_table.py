import io
import time
from types import SimpleNamespace

import msgspec
import pytest
from rich.console import Console

from lrat_sim import progress
from lrat_sim.models.client import Client
from lrat_sim.rollout.index import Row
from lrat_sim.rollout.summary import Tally, board

TEXTS = dict.fromkeys(("id", "task_id", "agent", "retriever", "end_reason", "answer"), "x")
NUMBERS = dict.fromkeys(("sample", "seed", "turns", "failed_calls", "reasoning_tokens", "seconds", "offset"), 0)
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 500}
GRADED = {"status": "answered", "error": None, "grade": "correct"}
ROW = Row(**TEXTS, **NUMBERS, **TOKENS, **GRADED, searches=3, browses=1, cost=0.25)


def counted(*rows, graded=True):
    tally = Tally(10, graded=graded)
    for changed in rows:
        tally.add(msgspec.structs.replace(ROW, **changed))
    return tally


def test_totals_are_shown():
    tally = counted({}, {"grade": "incorrect", "searches": 5}, {"status": "unanswered", "grade": None})
    assert tally.fields() == {
        "done": "3/10",
        "success so far": "33.3%",
        "steps": "4.7",
        "unanswered": "1",
        "errors": "0",
        "tokens": "4,500",
        "cost": "$0.75",
    }


def test_an_unknown_cost_is_unknown_never_zero():
    assert counted({}, {"cost": None}).fields()["cost"] == "unknown"
    assert counted({"cost": 0.0}).fields()["cost"] == "$0.00"


def test_ungraded_answers_are_left_out_of_success():
    assert counted({}, {"grade": None}).success == 1.0
    assert counted({"grade": None}).fields()["success so far"] == "-"
    assert counted({}, graded=False).success is None


def test_errors_are_failures_but_not_in_the_mean_of_steps():
    tally = counted({}, {"status": "error", "grade": None, "searches": 100})
    assert (tally.success, tally.mean_steps) == (0.5, 4.0)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_a_table_and_a_pipe_plain_lines_while_it_goes_on(terminal, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    console = Console(file=io.StringIO(), force_terminal=terminal, highlight=False, width=120)
    monkeypatch.setattr(progress, "console", console)
    tally = counted({})
    with board("rollout", tally, console, SimpleNamespace(limiter=SimpleNamespace(taken=17, limit=20), retried=3)):
        tally.add(ROW)
        time.sleep(0.5)
    before, last = console.file.getvalue().rsplit("rollout:", 1)
    assert ("──" in before) == terminal
    assert "17/20" in before
    assert "left 0:" in before.replace("\x1b", "") or terminal
    assert last.startswith(" done 2/10, success so far 100.0%")
    assert "calls" not in last, "what is true at the moment only"


def test_nothing_is_said_where_nobody_listens(capsys):
    with board("rollout", counted(), None, Client()):
        pass
    assert capsys.readouterr() == ("", "")


def test_tokens_of_which_some_are_unknown_are_said_to_be():
    tally = Tally(2, graded=False)
    tally.add(ROW)
    tally.add(msgspec.structs.replace(ROW, prompt_tokens=None, unknown_usage=3))
    assert (tally.tokens, tally.fields()["tokens"]) == (None, "unknown (usage of 3 calls)")
