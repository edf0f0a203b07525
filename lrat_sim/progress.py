"""Progress of long work, drawn where there is a terminal and said in plain lines where there is none.

Long functions take ``progress``, a callback of (done, total or None, what); :func:`bar` makes one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining

ProgressCallback = Callable[[int, int | None, str], None]

console = Console(stderr=True, highlight=False)
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
