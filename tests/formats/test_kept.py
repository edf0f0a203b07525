"""What each format keeps of a run, as the table of the documentation says: every cell is tried."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from lrat_sim.formats import FORMATS, About, format_named, read_any
from lrat_sim.records import Usage
from lrat_sim.rollout.spans import CAPTURE

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "formats.md"


def of_turns(*fields):
    return lambda entry: [[getattr(turn, field) for field in fields] for turn in entry.trajectory.turns]


def of_calls(*fields):
    return lambda entry: [[getattr(call, field) for field in fields] for call in entry.trajectory.calls()]


COLUMNS = {
    "reasoning": (lambda entry: [turn.reasoning for turn in entry.trajectory.turns if turn.reasoning], "First I look."),
    "calls, outputs": (of_calls("tool", "arguments", "output"), "A search for 'q one' found 2 results"),
    "results": (lambda entry: [[hit.docid for hit in call.hits or ()] for call in entry.trajectory.calls()], "d1"),
    "scores": (of_calls("hits"), "8.5"),
    "tokens": (
        lambda entry: [entry.trajectory.usage.prompt_tokens, entry.trajectory.usage.completion_tokens],
        "1234567",
    ),
    "tokens by turn": (lambda entry: [turn.usage.prompt_tokens for turn in entry.trajectory.turns], "7654321"),
    "seconds": (of_calls("seconds"), "1782918002000000000"),
    "end": (lambda entry: (entry.trajectory.status, entry.trajectory.end_reason), "turn_limit"),
    "answers": (lambda entry: entry.task and entry.task.answers, "azure"),
    "grade": (lambda entry: entry.grade and entry.grade.state, "incorrect"),
    "settings": (lambda entry: (entry.trajectory.agent, entry.trajectory.retriever), "answer_prompt"),
    "raw": (of_turns("raw"), "thinking_blocks"),
}
"""What is asked of an entry that was read back; and, where a format is only written, a text that says it."""


def entry_of(make):
    entry = make(
        "t1", started=1_782_918_000.0, end_reason="turn_limit", usage=Usage(prompt_tokens=1234567, completion_tokens=5)
    )
    turns = list(entry.trajectory.turns)
    turns[0] = msgspec.structs.replace(turns[0], usage=Usage(prompt_tokens=7654321, completion_tokens=5))
    return entry.changed(turns=turns)


def table():
    """The cells of the table: a row a format."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index("| keeps |") :].split("\n\n")[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {re.sub("`", "", row[0]): dict(zip(head[1:], row[1:], strict=True)) for row in rows}


@pytest.mark.parametrize("name", [name for name in FORMATS if format_named(name).write is not None])
def test_the_table_says_what_a_format_keeps(name, make, tmp_path, monkeypatch):
    monkeypatch.setenv(CAPTURE, "true")
    entry = entry_of(make)
    form = format_named(name)
    form.write(iter([entry]), tmp_path / "out", About())
    if form.read is not None:
        (back,) = read_any(tmp_path / "out", name)
        kept = {column: read(back) == read(entry) for column, (read, _) in COLUMNS.items()}
    else:
        files = [tmp_path / "out"] if (tmp_path / "out").is_file() else [*(tmp_path / "out").rglob("*")]
        text = "".join(file.read_text() for file in files)
        kept = {
            column: re.search(rf"(?<![\w.]){re.escape(told)}(?![\w.])", text) is not None
            for column, (_, told) in COLUMNS.items()
        }
    assert {column: cell == "✓" for column, cell in table()[name].items()} == kept


def test_the_table_has_every_format_that_is_written():
    assert list(table()) == [name for name in FORMATS if format_named(name).write is not None]
    assert all(list(row) == list(COLUMNS) for row in table().values())
