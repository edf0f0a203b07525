"""Templates: a line of text with choices and slots, read once, rendered many times."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

Filling = str | Sequence[str] | Callable[[random.Random], str]
"""What stands in a slot: a text, texts to draw from, or a maker of texts."""

_ARTICLE = re.compile(r"\b([Aa]) (?=[aeio])")  # no slot is filled with a word in u
_PIECE = re.compile(r"\{(\w+)\}|\[([^\]]*)\]")


class Template:
    """One line: ``[a|b]`` is a choice, ``{name}`` a slot.

    Args:
        line: the text as written in the data.
    """

    def __init__(self, line: str):
        self.line = line
        self._parts: list[tuple[str, str | list[Template]]] = []
        end = 0
        for match in _PIECE.finditer(line):
            self._literal(line[end : match.start()])
            slot, choices = match.groups()
            if slot is not None:
                self._parts.append(("slot", slot))
            else:
                self._parts.append(("choice", [Template(option) for option in choices.split("|")]))
            end = match.end()
        self._literal(line[end:])

    def _literal(self, text: str) -> None:
        if text:
            self._parts.append(("text", text))

    def slots(self) -> set[str]:
        """The names of all slots, those in choices too."""
        found: set[str] = set()
        for what, value in self._parts:
            if what == "slot":
                found.add(str(value))
            elif what == "choice":
                for option in value:
                    assert isinstance(option, Template)
                    found |= option.slots()
        return found

    def render(self, slots: Mapping[str, Filling], rng: random.Random) -> str:
        """The line with every choice made and every slot filled.

        Raises:
            KeyError: a slot that ``slots`` does not fill.
        """
        out: list[str] = []
        for what, value in self._parts:
            if what == "text":
                out.append(value)  # type: ignore[arg-type]  # a text part holds a str, by construction
            elif what == "choice":
                out.append(value[int(rng.random() * len(value))].render(slots, rng))  # type: ignore[union-attr]
            else:
                filling = slots[value]  # type: ignore[index]  # a slot part holds a str, by construction
                if isinstance(filling, str):
                    out.append(filling)
                elif callable(filling):
                    out.append(filling(rng))
                else:
                    out.append(filling[int(rng.random() * len(filling))])
        return "".join(out)

    def sentence(self, slots: Mapping[str, Filling], rng: random.Random) -> str:
        """The same, beginning with a capital, and with "an" where the sound asks for it."""
        text = _ARTICLE.sub(r"\1n ", self.render(slots, rng))
        return text[:1].upper() + text[1:]


class Templates(list[Template]):
    """One template a line of a text; blank lines are passed over."""

    def __init__(self, lines: str = ""):
        super().__init__(Template(line.strip()) for line in lines.splitlines() if line.strip())
