import io
import re
import time
from types import SimpleNamespace

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lrat_sim import keys, progress
from lrat_sim.progress import Screen, bar, say


@pytest.fixture
def screen(monkeypatch):
    """screen(terminal) replaces the console; returns what is written to it."""

    def replace(terminal):
        written = io.StringIO()
        monkeypatch.setattr(
            progress, "console", Screen(file=written, force_terminal=terminal, width=80, highlight=False)
        )
        return written

    return replace


def test_without_a_terminal_only_the_last_line_of_quick_work_is_said(screen):
    written = screen(False)
    with bar("count") as report:
        for number in range(1, 1001):
            report(number, 1000, "things")
    (line,) = written.getvalue().splitlines()
    assert line.startswith("count: 1,000 things in ")


def test_without_a_terminal_a_line_comes_in_time_though_nothing_is_reported(screen, monkeypatch):
    written = screen(False)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.02)
    with bar("count") as report:
        time.sleep(0.1)
        report(1, 2000, "things")
        time.sleep(0.1)
        report(2, None, "things")
        time.sleep(0.1)
    lines = written.getvalue().splitlines()
    assert lines[0] == "count: 0 s so far"
    assert any(re.fullmatch(r"count: 1 of 2,000 things, \d:\d\d:\d\d left", line) for line in lines)
    assert "count: 2 things" in lines
    assert "\x1b" not in written.getvalue()


def test_what_was_done_before_says_nothing_of_the_time_that_is_left(monkeypatch):
    now = iter([0.0, 10.0])
    # not time.monotonic itself, which the threads of other tests may still ask
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(now)))
    pace = progress.Pace(before=90)
    assert pace.left(90, 100) is None
    assert pace.left(95, 100) == "0:00:10"
    assert pace.left(100, 100) is None


def test_on_a_terminal_a_bar_is_drawn_and_gone_at_the_end(screen):
    written = screen(True)
    with bar("count") as report:
        for number in range(1, 51):
            report(number, 50, "things")
    text = written.getvalue()
    assert "50/50" in text
    assert "━" in text
    assert text.rindex("\x1b[2K") > text.rindex("━"), "the bar is not wiped"
    assert "count: 50 things in " in text[text.rindex("━") :]


@pytest.mark.parametrize("terminal", [False, True])
def test_work_that_failed_is_not_said_to_be_done(screen, terminal):
    written = screen(terminal)

    def work():
        with bar("count") as report:
            report(1, 2, "things")
            raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        work()
    assert "count: 1 things in" not in written.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_titles_with_brackets_are_shown_as_they_are(screen, terminal):
    written = screen(terminal)
    with bar("grade runs/[/a]") as report:
        report(1, 1, "[/b]")
    assert "grade runs/[/a]: 1 [/b] in" in written.getvalue()


def test_progress_goes_to_standard_error(capsys):
    with bar("count") as report:
        report(1, 1, "things")
    out, err = capsys.readouterr()
    assert (out, err.startswith("count: 1 things")) == ("", True)


ACTING = {
    "title of the window": "\x1b]0;mine\x07",
    "colour": "\x1b[38;5;99m",
    "cleared screen": "\x1b[2J",
    "control sequence of one byte": "\x9b2J",
    "backspace": "a\x08b",
    "carriage return": "good\rbad",
    "form feed": "\x0c",
    "null": "\x00",
    "text from the right": "\u202egpj.exe",
    "isolated text": "\u2067x\u2069",
    "half a pair": "\ud83d",
}


@pytest.mark.parametrize("acting", ACTING.values(), ids=ACTING)
def test_no_text_acts_on_the_terminal(screen, acting):
    written = screen(True)
    table = Table("id", acting, title=acting, caption=acting)
    table.add_row("d1", f"before {acting} after")
    table.add_row("d2", Text(f"before {acting} after", "bold"))
    with bar(acting) as report:
        report(1, 1, acting)
        progress.console.print(f"error: {acting}", table, Panel("x", title=Text(acting)))
        progress.console.rule(acting)
    shown = written.getvalue()
    for letter in acting:
        if not letter.isprintable() and letter not in "\x1b\r":  # of these rich writes some itself
            assert letter not in shown
    assert acting not in shown
    assert "before" in shown
    assert "after" in shown
    shown.encode()


def test_texts_are_not_markup_and_tables_keep_their_shape(screen):
    written = screen(False)
    table = Table("id", "title [bold]")
    table.add_row("[red]d[/]", "\x1b[31mx\x1b[0m [/] :smile:")
    progress.console.print(table, "[link=http://x]y[/link]")
    lines = written.getvalue().splitlines()
    for part in ("title [bold]", "[red]d[/]", "[/] :smile:", "[link=http://x]y[/link]"):
        assert part in written.getvalue()
    assert len({len(line) for line in lines[:5]}) == 1, lines


def test_keys_are_not_shown(screen, monkeypatch, capsys):
    monkeypatch.setattr(keys, "_known", set())
    monkeypatch.setattr(keys, "_written", ())
    monkeypatch.setenv("A_KEY", "sesame-0123456789")
    keys.read_key("A_KEY")
    screen(False)
    say("wrong key: sesame-0123456789")
    assert capsys.readouterr().out == "wrong key: [key]\n"


def test_a_line_of_a_result_is_not_broken(capsys):
    say("x" * 300 + " [b] " + "y" * 300)
    assert capsys.readouterr().out == "x" * 300 + " [b] " + "y" * 300 + "\n"
