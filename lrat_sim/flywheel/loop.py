"""The rounds of a flywheel."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from lrat_sim.comparison import Comparison
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.flywheel.exposure import exposure
from lrat_sim.flywheel.identity import claim
from lrat_sim.flywheel.rounds import Figures, Round, Rounds, arm_figures, figures_of, save
from lrat_sim.flywheel.settings import BASE, TRAINED, FlywheelSettings
from lrat_sim.flywheel.stages import Stages
from lrat_sim.grading.relevance import RelevanceJudge
from lrat_sim.progress import console


class FlywheelResult(Struct, frozen=True):
    """The folder, the model in use at the end (the last accepted one, or the base model), the comparisons by
    ``<split>-k<k>``, and what became of every round."""

    folder: Path
    model: Path
    comparisons: dict[str, Comparison]
    rounds: Rounds


def flywheel(
    dataset: Dataset,
    folder: Path | str,
    settings: FlywheelSettings | None = None,
    *,
    judge: RelevanceJudge | None = None,
    command: str | None = None,
) -> FlywheelResult:
    """Improves a retriever from what agents did with it, and measures by how much.

    Args:
        dataset: with a ``train`` split, the splits to evaluate on, and that of the gate where there is one.
        folder: the run folder; the same call again goes on where it was stopped, and says what it reuses.
        settings: what to do; the defaults where None.
        judge: of the relevance of opened documents; by default the offline rules.
        command: the command line that asked for it, for the record.

    Returns:
        Where everything lies, the comparisons, and the rounds.

    Raises:
        InputError: a setting, a file or a name is wrong, training and held-out tasks share a question, or the folder
            holds a flywheel with other settings.
        LimitReached: a limit of ``settings.calls`` ended it; the same call with a higher one goes on from there.
    """
    return Flywheel(dataset, folder, settings, judge=judge).run(command)


class Flywheel(Stages):
    """A flywheel stage by stage: :meth:`run` is :func:`flywheel`.

    The stages are methods (:class:`~lrat_sim.flywheel.stages.Stages`), so that a subclass can do one of them otherwise,
    or something between two of them.
    """

    def run(self, command: str | None = None) -> FlywheelResult:
        """All rounds, and the evaluation; the arguments and the result are those of :func:`flywheel`."""
        settings, made, stopped = self.settings, list[Round](), None
        self.accepted, self._open = [], self.base()
        # not before: a base that cannot be opened binds no folder
        claim(self.folder, settings, self._wanted, command)
        for number in range(1, settings.rounds + 1):
            made.append(self.round(number))
            save(self._rounds(made, None), self.folder)
            refused = number - (self.accepted[-1] if self.accepted else 0)
            if settings.patience is not None and refused >= settings.patience and number < settings.rounds:
                stopped = f"stopped after round {number}: the gate refused {refused} in a row"
                console.print(stopped, markup=False)
                break
        comparisons = self.evaluate()
        rounds = self._evaluated(self._rounds(made, stopped), comparisons)
        save(rounds, self.folder)
        model = self._round(self.accepted[-1]) / "model" if self.accepted else Path(self.base_model)
        return FlywheelResult(self.folder, model, comparisons, rounds)

    def round(self, number: int) -> Round:
        """One round with the model in use, which its own replaces where the gate accepts it."""
        console.rule(f"round {number}: collect, mine, train")
        in_use = self.in_use
        tables = self.collect(number)
        runs = [self._collected(number, name) for name in tables]
        mined = self.mine(number, runs)
        trained_from, replayed = self.train(number)
        retriever = self.index(number)
        guarded = self.remember(number)
        decision = self.gate(number, retriever)
        if decision is None or decision.accepted:
            self.accepted.append(number)
            self._open = retriever
        return Round(
            number=number,
            in_use=in_use,
            tasks={name: len(table) for name, table in tables.items()},
            collected=figures_of({task: row for table in tables.values() for task, row in table.items()}),
            exposure=exposure(runs, len(self.dataset.corpus)),
            mined=mined,
            replayed=replayed,
            trained_from=trained_from,
            gate=decision,
            accepted=decision is None or decision.accepted,
            guard=guarded,
        )

    def _rounds(self, made: list[Round], stopped: str | None) -> Rounds:
        return Rounds(rounds=made, asked=self.settings.rounds, accepted=self.in_use, stopped=stopped)

    def _evaluated(self, rounds: Rounds, comparisons: dict[str, Comparison]) -> Rounds:
        """The same with the figures on held-out tasks, of the model in use after each round."""

        def figures(model: str) -> dict[str, Figures]:
            arm = TRAINED if model == self.in_use != BASE else model
            return {name: arm_figures(comparison, arm) for name, comparison in comparisons.items()}

        evaluated, in_use = [], BASE
        for each in rounds.rounds:
            in_use = f"round-{each.number}" if each.accepted else in_use
            evaluated.append(msgspec.structs.replace(each, evaluated=figures(in_use)))
        return msgspec.structs.replace(rounds, rounds=evaluated, base=figures(BASE))
