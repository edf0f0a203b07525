"""What is shown in a terminal: results, and the progress of long work.

Texts of documents, models, servers and file names are shown as they are, but no control character of theirs reaches the
terminal, nor a key: :class:`Screen` sees to that, for everything that is printed through it.

Progress is drawn where there is a terminal and said in plain lines where there is none.  Long functions take
``progress``, a callback of (done, total or None, what); :func:`bar` makes one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.segment import Segment
from rich.text import Text

from lrat_sim.keys import redact

ProgressCallback = Callable[[int, int | None, str], None]

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of all text after them, and halves of surrogate pairs."""


def shown(text: str) -> str:
    """A text as it may be shown: without keys, and with a mark for each character that would act instead of showing."""
    return _UNSEEN.sub("\ufffd", redact(text))


class Screen(Console):
    """rich's console for texts from anywhere: there is no markup in them, and they pass :func:`shown`."""

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Before it is measured, so that tables keep their shape."""
        return super().render_str(shown(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Whatever else makes text; rich's own control codes are segments of their own kind."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown(segment.text))


def say(text: str) -> None:
    """Prints a line of a result, of any length."""
    Screen().print(text, soft_wrap=True, highlight=False)


console = Screen(stderr=True, highlight=False)
"""Where progress goes: the standard error, so that results can be piped."""

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_WORTH_A_LINE = 1.0


@contextmanager
def bar(title: str) -> Iterator[ProgressCallback]:
    """A progress bar as a callback; gone from the screen, but for one line with the time it took, when done.

    Work that reported nothing and took no time, such as opening an index that is there, gets no line.
    """
    started = time.monotonic()
    last: tuple[int, int | None, str] = (0, None, "")

    def finish() -> None:
        (done, _, what), took = last, time.monotonic() - started
        if done or took >= _SECONDS_WORTH_A_LINE:
            counted = f" {done:,} {what}" if done else ""
            console.print(f"{title}:{counted} in {took:.1f} s", markup=False, soft_wrap=True)

    if not console.is_terminal:
        said = started

        def say(done: int, total: int | None, what: str) -> None:
            nonlocal said, last
            last = (done, total, what)
            if time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                console.print(
                    f"{title}: {done:,}{f' of {total:,}' if total else ''} {what}", markup=False, soft_wrap=True
                )

        yield say
        finish()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}", markup=False),
        TimeElapsedColumn(),
        Remaining(),
    )
    with Progress(*columns, console=console, transient=True) as drawn:
        task = drawn.add_task(title, total=None, what="")

        def draw(done: int, total: int | None, what: str) -> None:
            nonlocal last
            last = (done, total, what)
            drawn.update(task, completed=done, total=total, what=what)

        yield draw
    finish()
