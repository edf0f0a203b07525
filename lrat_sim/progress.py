"""What is shown in a terminal: results, and the progress of long work.

Whatever is printed passes :class:`Screen`, which lets no control character and no key through.  Progress is a bar where
there is a terminal, and otherwise a line every ten seconds; :func:`bar` makes the callback that long functions take.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
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


console = Screen(stderr=True, highlight=False)  # so that results on the standard output can be piped

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_WORTH_A_LINE = 1.0


class Pace:
    """How fast work goes from its beginning; what was done ``before``, as in an earlier call, took no time."""

    def __init__(self, before: int = 0):
        self._began, self._before = time.monotonic(), before

    @property
    def took(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def left(self, done: int, total: int | None) -> str | None:
        """The estimated time left at the present pace, as ``h:mm:ss``; None if unknown."""
        ran = done - self._before
        if total is None or not ran or done >= total:
            return None
        seconds = self.took / ran * (total - done)
        return f"{seconds // 3600:.0f}:{seconds // 60 % 60:02.0f}:{seconds % 60:02.0f}"


@contextmanager
def every_ten_seconds(line: Callable[[], str]) -> Iterator[None]:
    """Writes a line every ten seconds during the work, whether or not it reports anything."""
    ended = Event()

    def write() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LINES):
            console.print(line(), soft_wrap=True)

    writer = Thread(target=write, daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


@contextmanager
def bar(title: str) -> Iterator[ProgressCallback]:
    """A progress bar as a callback; when done, one line with the time it took stays, unless it was nothing."""
    pace = Pace()
    last: tuple[int, int | None, str] = (0, None, "")

    def line() -> str:
        done, total, what = last
        left = pace.left(done, total)
        counted = f"{done:,}{f' of {total:,}' if total else ''} {what}" if done else f"{pace.took:.0f} s so far"
        return f"{title}: {counted}{f', {left} left' if left else ''}"

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}", markup=False),
        TimeElapsedColumn(),
        Remaining(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as drawn:
        task = drawn.add_task(title, total=None, what="")

        def report(done: int, total: int | None, what: str) -> None:
            nonlocal last
            last = (done, total, what)
            drawn.update(task, completed=done, total=total, what=what)

        if console.is_terminal:
            yield report
        else:
            with every_ten_seconds(line):
                yield report
    done, _, what = last
    if done or pace.took >= _SECONDS_WORTH_A_LINE:
        console.print(f"{title}:{f' {done:,} {what}' if done else ''} in {pace.took:.1f} s", soft_wrap=True)
