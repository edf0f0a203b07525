"""The colours of plots and pages: each arm has one colour, marker and dashes everywhere, in light and dark.

The eight colours of arms contrast with the page by 3 or more, and with one another also for colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Colour(NamedTuple):
    """A colour by its name in CSS, as it is on a light page and on a dark one."""

    name: str
    light: str
    dark: str


PAPER = Colour("paper", "#ffffff", "#15181c")
INK = Colour("ink", "#1b2026", "#e4e8ec")
MUTED = Colour("muted", "#5b6570", "#98a3ae")
RULE = Colour("line", "#d9dee3", "#343b42")
SOFT = Colour("soft", "#eef1f4", "#22272c")
TIED = Colour("tied", "#b9c1c9", "#59636d")

ARMS = (
    Colour("arm-1", "#1d46e0", "#5577f5"),
    Colour("arm-2", "#e8651a", "#e7790e"),
    Colour("arm-3", "#2ba377", "#64e8b4"),
    Colour("arm-4", "#c944bd", "#bb5e9e"),
    Colour("arm-5", "#895b2b", "#e8c970"),
    Colour("arm-6", "#748b9d", "#b2d1ee"),
    Colour("arm-7", "#790c33", "#e8304a"),
    Colour("arm-8", "#0f4b6e", "#33a8e7"),
)
_MARKERS = ("circle", "square", "diamond", "up", "down", "plus", "cross", "hexagon")
_DASHES = ("", "6 3", "1.5 2.5", "6 2.5 1.5 2.5")


class Look(NamedTuple):
    """How an arm is drawn; ``dashes`` as SVG's stroke-dasharray has them."""

    colour: Colour
    marker: str
    dashes: str


class Looks:
    """Gives every arm its look, in the order in which the arms are named first."""

    def __init__(self, arms: Iterable[str] = ()):
        self._positions: dict[str, int] = {}
        for arm in arms:
            self.of(arm)

    def of(self, arm: str) -> Look:
        """The look of an arm; beyond eight arms colours repeat, with another marker and other dashes."""
        again, colour = divmod(self._positions.setdefault(arm, len(self._positions)), len(ARMS))
        return Look(ARMS[colour], _MARKERS[(colour + again) % len(_MARKERS)], _DASHES[again % len(_DASHES)])

    def variable(self, arm: str) -> str:
        """The colour of an arm in CSS."""
        return f"var(--{self.of(arm).colour.name})"


def variables(dark: bool) -> str:
    """All colours as declarations of CSS."""
    colours = (PAPER, INK, MUTED, RULE, SOFT, TIED, *ARMS)
    return " ".join(f"--{colour.name}: {colour.dark if dark else colour.light};" for colour in colours)
