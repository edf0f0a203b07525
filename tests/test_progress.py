import io

import pytest
from rich.console import Console

from lrat_sim import progress
from lrat_sim.progress import bar


@pytest.fixture
def screen(monkeypatch):
    """screen(terminal) replaces the console; returns what is written to it."""

    def replace(terminal):
        written = io.StringIO()
        monkeypatch.setattr(
            progress, "console", Console(file=written, force_terminal=terminal, width=80, highlight=False)
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


def test_without_a_terminal_long_work_is_said_in_plain_lines(screen, monkeypatch):
    written = screen(False)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with bar("count") as report:
        report(1, 2000, "things")
        report(2, None, "things")
    assert written.getvalue().splitlines()[:2] == ["count: 1 of 2,000 things", "count: 2 things"]
    assert "\x1b" not in written.getvalue()


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
