"""One vocabulary of failures, by the boundary they crossed.

*Bad input* (:class:`InputError`) is the caller's.  It is raised where it is first known, in one sentence that says what
is wrong, where, and what to do; the command line prints it and exits with code 2.  Nothing on disk is lost.

*Nothing came* (:class:`NothingCame`): every task or judgement of a command failed.  What was recorded stays; exit code
1.

*A failed run* (:class:`BoundaryError`) belongs to one task.  It is recorded on that task's trajectory with the boundary
it crossed, never stops the neighbours, is never counted as done, and is run again on resume.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar, Literal

Boundary = Literal["model", "retriever", "judge", "task"]


class LratSimError(Exception):
    """Base of every error that lrat-sim raises on purpose."""


class InputError(LratSimError):
    """Something that the caller gave cannot be used; the message is one sentence with the remedy."""


class RecordError(InputError):
    """A line of a file does not hold the record it should; ``line`` counts ``unit`` from 1, 0 where there are none."""

    def __init__(
        self, path: str | Path, line: int, problem: str, remedy: str = "correct or delete that line", unit: str = "line"
    ):
        self.path, self.line, self.problem, self.remedy, self.unit = Path(path), line, problem, remedy, unit
        place = f"{path}, {unit} {line}" if line else str(path)
        super().__init__(f"{place}: {problem}; {remedy}.")

    def __reduce__(self) -> tuple[type[RecordError], tuple[Path, int, str, str, str]]:
        """By its arguments, not by its message: so that it survives the way back from another process."""
        return type(self), (self.path, self.line, self.problem, self.remedy, self.unit)


class UnknownName(InputError):
    """A name on the command line or in a setting that nothing answers to."""

    def __init__(self, kind: str, name: str, known: list[str]):
        self.kind, self.name, self.known = kind, name, known
        close = get_close_matches(name, known, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        super().__init__(f"no {kind} is called {name!r}{hint}; known are {', '.join(known) or 'none'}, or give a path.")

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, list[str]]]:
        """As :meth:`RecordError.__reduce__`."""
        return type(self), (self.kind, self.name, self.known)


class FingerprintMismatch(InputError):
    """An artefact was made from something other than what it is now used with."""


class NothingCame(LratSimError):
    """Every run or judgement that was asked for failed; the message gives the first cause and what to try."""


class BoundaryError(LratSimError):
    """A failure of one task, recorded on it."""

    boundary: ClassVar[Boundary] = "task"


class ModelError(BoundaryError):
    """The language model did not answer, or answered what cannot be used."""

    boundary = "model"


class RetrieverError(BoundaryError):
    """The retriever failed on a query or a document."""

    boundary = "retriever"


class UnknownDocument(RetrieverError):
    """A document id that the corpus does not hold."""


class JudgeError(BoundaryError):
    """A judge failed; the item stays unjudged or ungraded."""

    boundary = "judge"


class TaskError(BoundaryError):
    """The task itself cannot be run, for example because it has no plan for a simulated agent."""


_PLAIN = {
    "Object missing required field ": "it lacks ",
    "Object contains unknown field ": "there is no ",
    "Expected ": "expected ",
    "Invalid enum value ": "it cannot be ",
}
"""How msgspec begins its messages, and how ours do."""
_FOUND = re.compile(r"\A(.*?)(?: - at (`key` in )?`\$(.*)`)?\Z", re.DOTALL)


def said_plainly(error: Exception, within: str = "") -> str:
    """What msgspec found wrong, with the place before it, as in "`limits.k`: expected `int` >= 1".

    Args:
        error: its message is in msgspec's form; any other is returned as it is.
        within: the name of what was read.
    """
    problem, key, place = _FOUND.findall(str(error))[0]
    for begin, plain in _PLAIN.items():
        if problem.startswith(begin):
            problem = plain + problem.removeprefix(begin)
    place = f"{within}{place}".strip(".")
    return f"{'a key of ' if key else ''}`{place}`: {problem}" if place else problem
