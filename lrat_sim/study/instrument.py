"""Whether the instrument can be trusted, before any of its results is believed: controls of the loop, and a probe of
the agent.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import ensure_folder
from lrat_sim.behaviour.reliability import Degraded, Ordering, Shuffled, ordering
from lrat_sim.behaviour.report import Behaviour, behaviour
from lrat_sim.comparison import Comparison
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.grading.run import judge_run
from lrat_sim.progress import console
from lrat_sim.records import canonical
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.registry import check_retriever
from lrat_sim.rollout.index import RUN, read_trajectories
from lrat_sim.study.arms import TRAINED, open_base, opened, runnable_tasks
from lrat_sim.study.flywheel import flywheel
from lrat_sim.study.settings import ControlsSettings, FlywheelSettings, ProbeSettings
from lrat_sim.study.study import Study, graded_rollout
from lrat_sim.tables import Table, percent, with_interval

NATURAL, SHUFFLED, LONG = "natural", "shuffled", "long-snippets"
LONG_SNIPPETS = 512


class Control(Struct, frozen=True):
    """One control: what must hold, whether it did, and the figures."""

    what: str
    held: bool
    figures: str


class Controls(Struct, frozen=True):
    """All controls of a run, and its folder."""

    results: list[Control]
    folder: Path = Path()

    @property
    def held(self) -> bool:
        """Whether every control held."""
        return all(result.held for result in self.results)

    @property
    def answer(self) -> str:
        """In a sentence."""
        broken = [result.what for result in self.results if not result.held]
        return f"These controls do not hold: {'; '.join(broken)}." if broken else "Every control holds."

    def table(self) -> Table:
        """One row a control."""
        rows = [[result.what, "yes" if result.held else "no", result.figures] for result in self.results]
        return Table.of("controls", ["control", "held", "figures"], rows, text_columns=(0, 1, 2), slug="controls")


def controls(dataset: Dataset, folder: Path | str, settings: ControlsSettings | None = None) -> Controls:
    """Runs every control on a data set with splits ``train`` and ``test``.

    A retriever trained on positives that were exchanged at random between queries must gain nothing.  Nor must one
    whose positives were drawn at random from the same result list; this is the harder test, since such pairs do not
    spoil the model, so that a gain would come from the loop and not from the labels.  The oracle, which knows each
    task's evidence, must bound every other retriever.  The same seed must give the same trajectories, in canonical
    form, whatever the concurrency.

    Rerun to resume; the repeated runs are always made anew.
    """
    settings, folder = settings or ControlsSettings(), ensure_folder(Path(folder))
    budget, agent = settings.calls.budget(), settings.own_agent()
    shared = {name: getattr(settings, name) for name in settings.__struct_fields__ if name != "repeats"}

    def shuffled(name: str, shuffle: object, **fields: Any) -> Comparison:
        console.rule(f"control: {name}")
        options = {"shuffle_positives": shuffle}
        # the encoder alone, since BM25 would hide what exchanged positives do to it, and no gate, which refuses it
        alone: dict[str, Any] = {"bm25_share": 0.0, "gate": "none"}
        wheel = FlywheelSettings(**shared, mining="mine-paper", mining_options=options, **alone, **fields)
        (comparison,) = flywheel(dataset, folder / name, wheel, budget=budget).comparisons.values()
        return comparison

    exchanged = shuffled("shuffled", settings.seed + 1)
    listed = shuffled("listed", {"within": "list", "seed": settings.seed + 1}, baselines=())
    console.rule("control: equal")
    tasks = runnable_tasks(dataset.tasks("test"), agent, settings.repeats)
    base = open_base(dataset, settings.base, settings.recipe().max_document_length)
    forms = {}
    for name, concurrency in (("once", 1), ("again", 1), ("together", 16)):
        run = folder / "equal" / name
        if run.exists() and not (run / RUN).is_file():
            raise InputError(f"{run} is not a run folder; give the controls another --out folder.")
        shutil.rmtree(run, ignore_errors=True)  # what an earlier call left would compare with itself
        calls = msgspec.structs.replace(settings.calls, concurrency=concurrency, cache=False)
        graded_rollout(tasks, agent, base, run, seed=settings.seed, calls=calls, budget=budget)
        forms[name] = sorted(canonical(trajectory) for trajectory in read_trajectories(run))

    def equal(what: str, other: str) -> Control:
        held = forms["once"] == forms[other] and len(forms["once"]) == len(tasks)
        return Control(what, held, f"{len(tasks)} runs")

    results = [
        shuffled_gains_nothing(exchanged),
        shuffled_gains_nothing(listed, "positives drawn from the same list"),
        oracle_bounds_all(exchanged),
        equal("two runs with one seed are equal", "again"),
        equal("concurrency 1 and 16 give the same runs", "together"),
    ]
    return Controls(results, folder)


def shuffled_gains_nothing(comparison: Comparison, what: str = "shuffled positives") -> Control:
    """The interval of the gain of the retriever trained on such positives reaches 0 or lies below it."""
    pairing = comparison.pairing(TRAINED)
    assert pairing is not None  # without a gate its model is always compared
    gain = pairing.measures["success"].difference
    held = gain.low is not None and gain.low <= 0
    known = gain.low is not None and gain.high is not None
    figures = with_interval(gain.value, gain.low, gain.high, scale=100) if known else "unknown"
    return Control(f"a retriever trained on {what} gains nothing", held, f"success, points: {figures}")


def oracle_bounds_all(comparison: Comparison) -> Control:
    """No arm succeeds more often than the oracle."""
    success = {summary.name: summary.means["success"] or 0.0 for summary in comparison.summaries}
    bound = success[comparison.oracle or ""]
    errors = {summary.name: f" ({summary.errors} errors)" for summary in comparison.summaries if summary.errors}
    figures = ", ".join(f"{name} {percent(value)}{errors.get(name, '')}" for name, value in success.items())
    return Control("the oracle bounds all", all(value <= bound for value in success.values()), figures)


class Probe(Struct, frozen=True, kw_only=True):
    """What the runs showed: how real the agent is, and how reliable as a tester."""

    folder: Path
    behaviour: Behaviour
    order: Ordering


def probe(
    dataset: Dataset,
    folder: Path | str,
    settings: ProbeSettings | None = None,
    *,
    retriever: Retriever | None = None,
) -> Probe:
    """Tests an agent as an instrument by four kinds of runs on the same tasks, of which it runs what is missing.

    They are the retriever as it is; its lists in random order, to see how much the agent attends to rank; long
    snippets, to see what it then still opens; and the retriever degraded at growing rates, to see whether the agent
    notices.

    Args:
        dataset: whose tasks are asked.
        folder: gets a run folder a kind, and the tables and plots of :func:`lrat_sim.behaviour.behaviour`.
        settings: what to do.
        retriever: the one that is altered, in place of the one that the settings name.
    """
    settings, folder = settings or ProbeSettings(), Path(folder)
    check_retriever(settings.retriever)
    agent = settings.load_agent(settings.agent, settings.k)
    tasks = runnable_tasks(dataset.tasks(settings.split), agent, settings.limit)
    study = Study("probe", folder, settings)
    retriever, seed = retriever or opened(settings.retriever, dataset), settings.seed
    long = msgspec.structs.replace(agent.limits, snippet_tokens=LONG_SNIPPETS)
    kinds: dict[str, tuple[AgentSettings, Retriever]] = {
        NATURAL: (agent, retriever),
        SHUFFLED: (agent, Shuffled(retriever, seed)),
        LONG: (msgspec.structs.replace(agent, limits=long), retriever),
    }
    spoiled = {f"degraded-{rate:g}": rate for rate in sorted(set(settings.rates), reverse=True)}
    ids = dataset.corpus.ids()
    kinds |= {name: (agent, Degraded(retriever, rate, ids, seed)) for name, rate in spoiled.items()}
    study.total = len(kinds)
    for name, (profile, altered) in kinds.items():
        study.step("collect", f"{name} on {len(tasks):,} tasks")
        study.run(tasks, profile, altered, folder / name, seed=seed, samples=settings.samples)
        judge_run(folder / name)
    study.save()
    realism = [folder / name for name in (NATURAL, SHUFFLED, LONG)]
    return Probe(
        folder=folder,
        behaviour=behaviour(realism, targets=settings.targets, out=folder, seed=seed),
        order=ordering([folder / name for name in (*spoiled, NATURAL)], seed=seed),
    )
