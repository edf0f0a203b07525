"""Templates: a line of text with choices and slots, read once, rendered many times."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
Filling = str | Sequence[str] | Callable[[random.Random], str]
"""What stands in a slot: a text, texts to draw from, or a maker of texts."""

_ARTICLE = re.compile(r"\b([Aa]) (?=[aeio])")  # no slot is filled with a word in u
_SLOT = re.compile(r"\{(\w+)\}")
_GAP = re.compile(rf"{_SLOT.pattern}|\[([^\]]*)\]")


def pick(options: Sequence[T], rng: random.Random) -> T:
    """One of several; unlike ``rng.choice``, the same in every version of Python."""
    return options[int(rng.random() * len(options))]


class Template:
    """One line, in which ``[a|b]`` is a choice and ``{name}`` a slot."""

    def __init__(self, line: str):
        self.line = line
        self._first, *pieces = _GAP.split(line)
        self._rest: list[tuple[str | list[Template], str]] = []
        for slot, choices, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
            self._rest.append((slot or [Template(option) for option in choices.split("|")], text))

    def slots(self) -> set[str]:
        """The names of all slots, those in choices too."""
        return set(_SLOT.findall(self.line))

    def render(self, slots: Mapping[str, Filling], rng: random.Random) -> str:
        """The line with every choice made and every slot filled."""
        out = [self._first]
        for gap, text in self._rest:
            if isinstance(gap, list):
                out.append(pick(gap, rng).render(slots, rng))
            elif isinstance(filling := slots[gap], str):
                out.append(filling)
            else:
                out.append(filling(rng) if callable(filling) else pick(filling, rng))
            out.append(text)
        return "".join(out)

    def sentence(self, slots: Mapping[str, Filling], rng: random.Random) -> str:
        """The same, beginning with a capital, and with "an" where the sound asks for it."""
        text = _ARTICLE.sub(r"\1n ", self.render(slots, rng))
        return text[:1].upper() + text[1:]


class Templates(list[Template]):
    """One template a line of a text; blank lines are passed over."""

    def __init__(self, lines: str):
        super().__init__(Template(line.strip()) for line in lines.splitlines() if line.strip())
