"""What an ablation does: its settings, checked at the door."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from lrat_sim.ablation.arms import BASE, TABLE
from lrat_sim.errors import InputError
from lrat_sim.experiment import CallOptions
from lrat_sim.settings import Whole

__all__ = ["BASE", "AblationSettings"]


class AblationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an ablation does.

    Args:
        arms: which arms of the table, in order; all where empty.
        table: name or path of the table of arms.
        agent: name or path of the agent's profile.
        agent_options: fields of the profile to set otherwise.
        base_model: the encoder to start from, a folder or a hub id; None is all-MiniLM-L6-v2 as installed.
        k: hits a search, while collecting and evaluating.
        split: held-out tasks to evaluate on: ``dev`` to choose an arm, ``test`` to report it.
        seeds: each decides one training of every arm and its runs on the held-out tasks.
        seed: decides the collected runs, which all arms and seeds share.
        train_tasks: training tasks to collect on; None for all.
        test_tasks: held-out tasks to evaluate on; None for all.
        samples: runs of each training task.
        calls: how the agents' calls are sent, and what all of them may cost.

    Raises:
        InputError: a value is not allowed; names the field, the value and what is allowed.
    """

    arms: tuple[str, ...] = ()
    table: str = TABLE
    agent: str = "simulated"
    agent_options: dict[str, Any] = {}
    base_model: str | None = None
    k: Whole = 5
    split: str = "test"
    seeds: tuple[int, ...] = (0,)
    seed: int = 0
    train_tasks: Whole | None = None
    test_tasks: Whole | None = None
    samples: Whole = 2
    calls: CallOptions = CallOptions()

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            given = ", ".join(map(str, self.seeds)) or "none"
            raise InputError(f"the seeds are {given}; give one or more whole numbers from 0, each once.")
        if self.split == "train":
            raise InputError(
                "split is 'train', which the arms are trained on; name held-out tasks, such as dev or test."
            )
