"""What a flywheel does: its settings, checked at the door."""

from __future__ import annotations

import math
from typing import Any, Literal

from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.experiment import ORACLE, CallOptions, named_retriever
from lrat_sim.retrieval.registry import check_retriever
from lrat_sim.settings import Whole

Rule = Literal["none", "mean", "clear"]
BASE, TRAINED = "base", "trained"


class FlywheelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a flywheel does.

    Args:
        rounds: how often to collect, mine and train.
        agent: name or path of the agent's profile.
        agent_options: fields of the profile to set otherwise (``{"limits.turns": 30}``).
        base_model: the encoder to start from, a folder or a hub id; None is all-MiniLM-L6-v2 as installed.
        collect_k: hits a search while collecting, and at the gate.
        collect_with: other retrievers to collect with (``SPEC`` or ``NAME=SPEC``), each with the share of the tasks
            that it gets, ``{"bm25": 0.2}``; the model in use gets the rest.  Which task goes to which is decided by
            task, round and seed.  It keeps a flywheel from seeing only what its own model already shows.
        evaluate_k: hits a search while evaluating; one comparison for each.
        baselines: retrievers to evaluate beside the base and the trained one, as ``SPEC`` or ``NAME=SPEC``.
        evaluate_splits: splits of held-out tasks.
        mining: name or path of the mining recipe.
        mining_options: fields of it to set otherwise.
        training: name or path of the training recipe; its ``max_document_length`` holds for indexing, too.
        training_options: fields of it to set otherwise.
        train_from: what a round's training starts from: the ``base`` model, on the pairs of all rounds so far, or the
            ``last`` accepted one, on the round's own pairs and a share of the earlier ones.  The first forgets nothing
            and takes longer every round; it is the default.
        replay: that share of the earlier rounds' pairs, 0 to 1; only for ``last``.
        gate: when a round's model takes the place of the one in use (:mod:`lrat_sim.flywheel.gate`): always (``none``),
            where it does better on average on the tasks of ``gate_split`` (``mean``), or clearly better (``clear``).
            The default, None, is ``mean`` where there are several rounds; a single one is not gated, since nothing
            comes after it and the evaluation says what it is worth.
        gate_split: held-out tasks for the gate alone; no task of theirs is trained or evaluated on.
        gate_tasks: how many of them; None for all.
        patience: stops after so many rounds in a row that the gate refused; None never does.
        guard: the folder of a general data set in the layout of BEIR, on which every round's model is measured, so
            that forgetting is seen; None for none.
        train_tasks: training tasks to collect on; None for all.
        test_tasks: held-out tasks of each split; None for all.
        samples: runs of each training task.
        seed: decides the runs and the training.
        calls: how the agents' calls are sent, and what all of them may cost.

    Raises:
        InputError: a value is not allowed; names the field, the value and what is allowed.
    """

    rounds: Whole = 1
    agent: str = "simulated"
    agent_options: dict[str, Any] = {}
    base_model: str | None = None
    collect_k: Whole = 5
    collect_with: dict[str, float] = {}
    evaluate_k: tuple[Whole, ...] = (5,)
    baselines: tuple[str, ...] = ("bm25", ORACLE)
    evaluate_splits: tuple[str, ...] = ("test",)
    mining: str = "mine-paper"
    mining_options: dict[str, Any] = {}
    training: str = "train-small"
    training_options: dict[str, Any] = {}
    train_from: Literal["base", "last"] = "base"
    replay: float = 0.3
    gate: Rule | None = None
    gate_split: str = "dev"
    gate_tasks: Whole | None = None
    patience: Whole | None = 2
    guard: str | None = None
    train_tasks: Whole | None = None
    test_tasks: Whole | None = None
    samples: Whole = 2
    seed: int = 0
    calls: CallOptions = CallOptions()

    def __post_init__(self) -> None:
        for spec, share in self.collect_with.items():
            if not (math.isfinite(share) and 0 < share <= 1):
                raise InputError(f"collect_with gives {spec!r} the share {share}; it must be above 0 and at most 1.")
        together = math.fsum(self.collect_with.values())
        if together > 1 + 1e-9:
            raise InputError(f"the shares of collect_with are {together:g} together; they must be 1 or less.")
        for field, value, allowed in (("train_from", self.train_from, ("base", "last")), ("gate", self.gate, _RULES)):
            if value not in allowed:
                raise InputError(f"{field} is {value!r}; it must be one of {', '.join(filter(None, allowed))}.")
        if not (math.isfinite(self.replay) and 0 <= self.replay <= 1):
            raise InputError(f"replay is {self.replay}; it must be a share of the earlier pairs, from 0 to 1.")

    def rule(self, begun: Rule | None = None) -> Rule:
        """The gate's rule.

        Args:
            begun: that with which the folder's flywheel was begun, if there is one.
        """
        if self.gate is not None:
            return self.gate
        return "mean" if self.rounds > 1 else begun or "none"

    def named_baselines(self) -> dict[str, str]:
        """The baselines' specs by name.

        Raises:
            InputError: two have one name, or one has that of an arm that every flywheel has; a spec names nothing.
        """
        return self._named("baselines", self.baselines)

    def named_collectors(self) -> dict[str, tuple[str, float]]:
        """The further retrievers to collect with: spec and share by name.

        Raises:
            InputError: as :meth:`named_baselines`.
        """
        named = self._named("retrievers of collect_with", tuple(self.collect_with))
        return dict(zip(named, zip(named.values(), self.collect_with.values(), strict=True), strict=True))

    def _named(self, what: str, specs: tuple[str, ...]) -> dict[str, str]:
        own = {BASE, TRAINED, *(f"round-{number}" for number in range(1, self.rounds + 1))}
        named = dict(named_retriever(spec) for spec in specs)
        if own & {*named} or len(named) < len(specs):
            raise InputError(
                f"the {what} {', '.join(specs)} need names of their own, other than {', '.join(sorted(own))}; "
                "name them NAME=SPEC."
            )
        for spec in named.values():
            check_retriever(spec)
        return named


_RULES: tuple[Rule | None, ...] = (None, "none", "mean", "clear")
