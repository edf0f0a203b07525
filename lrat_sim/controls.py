"""Checks of the instrument itself, before anything is believed that it shows.

* A retriever trained on positives that were exchanged at random between queries must gain nothing.
* One whose positives were drawn at random from the same result list, which is all that is left when it does not
  matter what an agent opened, must gain nothing either.  It is the harder test: such pairs do not spoil the model, so
  that what it gains would be owed to the loop and not to the labels.
* The oracle, which knows each task's evidence, must bound every other retriever.
* The same seed must give the same trajectories, in canonical form, whatever the concurrency.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.table import Table
from rich.text import Text

from lrat_sim import catalog
from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.artifact import ensure_folder
from lrat_sim.comparison import Comparison
from lrat_sim.comparison.paired import Estimate
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.experiment import runnable
from lrat_sim.flywheel import TRAINED, FlywheelSettings, flywheel, open_base
from lrat_sim.progress import console
from lrat_sim.records import Task, canonical
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.index import RUN, read_trajectories
from lrat_sim.rollout.run import rollout
from lrat_sim.text import minilm_folder
from lrat_sim.training.settings import TrainingSettings


class Control(Struct, frozen=True):
    """One control: what must hold, whether it did, and the figures."""

    what: str
    held: bool
    figures: str


class Controls(Struct, frozen=True):
    """All controls of a run."""

    results: list[Control]

    @property
    def held(self) -> bool:
        """Whether every control held."""
        return all(result.held for result in self.results)

    def __rich__(self) -> Table:
        table = Table("control", "held", "figures", title="controls")
        for result in self.results:
            table.add_row(result.what, Text("yes", "green") if result.held else Text("no", "red"), result.figures)
        return table


def run_controls(
    dataset: Dataset,
    folder: Path,
    *,
    agent: str = "simulated",
    k: int = 5,
    train_tasks: int = 150,
    test_tasks: int = 150,
    seed: int = 0,
    repeats: int = 24,
    base_model: str | None = None,
    training_options: dict[str, object] | None = None,
) -> Controls:
    """Runs every control on a data set.

    Args:
        dataset: with splits ``train`` and ``test``.
        folder: gets the runs; the same call again goes on, but the repeated runs are always made anew.
        agent: name or path of the agent's profile.
        k: hits a search.
        train_tasks: tasks to collect on for the shuffled controls.
        test_tasks: tasks to evaluate on.
        seed: of everything.
        repeats: tasks that are run three times for the control of equality.
        base_model: the encoder to start from, a folder or a hub id; None is all-MiniLM-L6-v2 as installed.
        training_options: fields of the training recipe to set otherwise.
    """
    settings = FlywheelSettings(
        base_model=base_model,
        agent=agent,
        collect_k=k,
        evaluate_k=(k,),
        mining_options={"shuffle_positives": seed + 1},
        training_options=training_options or {},
        train_tasks=train_tasks,
        test_tasks=test_tasks,
        seed=seed,
    )
    drawn = msgspec.structs.replace(
        settings, baselines=(), mining_options={"shuffle_positives": {"within": "list", "seed": seed + 1}}
    )
    ensure_folder(folder)
    console.rule("control: shuffled positives")
    (exchanged,) = flywheel(dataset, folder / "shuffled", settings).comparisons.values()
    console.rule("control: positives drawn from the same list")
    (listed,) = flywheel(dataset, folder / "listed", drawn).comparisons.values()
    profile = load_agent(agent, {"limits.k": k})
    training = catalog.load("recipes", settings.training, TrainingSettings, settings.training_options)
    base = open_base(dataset, base_model or str(minilm_folder()), training)
    tasks = runnable(dataset.tasks("test"), profile, repeats)
    return Controls(
        [
            shuffled_gains_nothing(exchanged),
            shuffled_gains_nothing(listed, "positives drawn from the same list"),
            oracle_bounds_all(exchanged),
            *_equal_runs(base, folder / "equal", profile, tasks, seed),
        ]
    )


def shuffled_gains_nothing(comparison: Comparison, what: str = "shuffled positives") -> Control:
    """The interval of the gain of the retriever trained on such positives reaches 0 or lies below it."""
    (pairing,) = (each for each in comparison.pairings if (each.arm, each.base) == (TRAINED, comparison.base))
    gain = pairing.measures["success"].difference
    held = gain.low is not None and gain.low <= 0
    return Control(f"a retriever trained on {what} gains nothing", held, f"success {_points(gain)}")


def oracle_bounds_all(comparison: Comparison) -> Control:
    """No arm succeeds more often than the oracle."""
    success = {summary.name: summary.means["success"] or 0.0 for summary in comparison.summaries}
    bound = success[comparison.oracle or ""]
    errors = {summary.name: f" ({summary.errors} errors)" for summary in comparison.summaries if summary.errors}
    figures = ", ".join(f"{name} {value:.1%}{errors.get(name, '')}" for name, value in success.items())
    return Control("the oracle bounds all", all(value <= bound for value in success.values()), figures)


def _equal_runs(
    retriever: Retriever, folder: Path, agent: AgentSettings, tasks: Sequence[Task], seed: int
) -> list[Control]:
    forms = {}
    for name, concurrency in (("once", 1), ("again", 1), ("together", 16)):
        if (folder / name).exists() and not (folder / name / RUN).is_file():
            raise InputError(f"{folder / name} is no run folder; give the controls another --out folder.")
        shutil.rmtree(folder / name, ignore_errors=True)  # what an earlier call left would compare with itself
        rollout(tasks, agent, retriever, folder / name, seed=seed, concurrency=concurrency, table=False)
        forms[name] = sorted(canonical(trajectory) for trajectory in read_trajectories(folder / name))
    return [
        Control(what, forms[one] == forms[other] and len(forms[one]) == len(tasks), f"{len(tasks)} runs")
        for what, one, other in (
            ("two runs with one seed are equal", "once", "again"),
            ("concurrency 1 and 16 give the same runs", "once", "together"),
        )
    ]


def _points(estimate: Estimate) -> str:
    value, low, high = (
        "unknown" if end is None else f"{100 * end:+.1f}" for end in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} points ({low} to {high})"
