"""How model calls are sent, and what all the rollouts of an experiment may cost together."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from lrat_sim.models.budget import LimitReached
from lrat_sim.rollout.calls import CallSettings

CallOptions = CallSettings


class Allowance:
    """What is left of the cost and the time that several rollouts may take together."""

    def __init__(self, options: CallOptions):
        self._options, self._began, self._spent = options, time.monotonic(), 0.0

    def next(self) -> dict[str, Any]:
        """The arguments of the next rollout.

        Raises:
            LimitReached: nothing is left.
        """
        options = msgspec.structs.asdict(self._options)
        taken = {"cost": self._spent, "seconds": time.monotonic() - self._began}
        for limit, gone in taken.items():
            if options[limit] is not None:
                options[limit] -= gone
                if options[limit] <= 0:
                    raise LimitReached("cost" if limit == "cost" else "seconds", stopped(limit))
        return options

    def spend(self, cost: float | None) -> None:
        """Counts what the runs of one folder cost, those of earlier calls included."""
        self._spent += cost or 0.0


def stopped(limit: str) -> str:
    """The sentence of a limit that was reached."""
    return f"stopped by the limit on {limit}; the same command with a higher one goes on from there."
