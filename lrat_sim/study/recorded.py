"""Recorded runs compared: logs of other tools and run folders as arms, by their own scores, samples matched.

Arms are paired by task id and sample (inspect_ai's epoch): what not every arm was asked is left out, and counted.
Success is what the log's own scorer said.  What a log does not state is left out of the tables, in one sentence.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from lrat_sim.artifact import Store, command_line, ensure_folder, fingerprint, write_json
from lrat_sim.comparison import Comparison, compare, save
from lrat_sim.comparison.measures import MEASURES
from lrat_sim.comparison.runs import Queries, table_of
from lrat_sim.errors import InputError
from lrat_sim.foreign import shortened
from lrat_sim.formats import recognise
from lrat_sim.formats.convert import convert
from lrat_sim.formats.entry import SCORES, score_of
from lrat_sim.formats.observations import searches
from lrat_sim.grading.answers import latest_grades
from lrat_sim.grading.metrics import TaskTable, TrajectoryMetrics, measure
from lrat_sim.grading.run import GRADES
from lrat_sim.progress import bar, console
from lrat_sim.records import Grade, Task, Trajectory
from lrat_sim.retrieval.registry import is_model_folder, known_retrievers
from lrat_sim.rollout.index import RUN, TASKS, asked_tasks, read_trajectories
from lrat_sim.study.arms import check_arm
from lrat_sim.study.record import COMPARISON, STUDY, Cell, StudyRecord, recorded_study
from lrat_sim.study.study import StudyResult

_LOGS = (".eval", ".json", ".jsonl")
_EVIDENCE = ("evidence_recall", "evidence_opened", "evidence_hit")
K = 10  # of the measures of queries, where documents and evidence are known


def recorded_runs(given: Any) -> Path | None:
    """The path of recorded runs, a file or a folder of any format that can be read; None for a retriever."""
    folder = getattr(given, "folder", given)
    if not isinstance(folder, str | os.PathLike):
        return None
    path = Path(folder)
    if path.is_file() or (path.suffix in _LOGS and not path.is_dir()):
        return path
    if not path.is_dir() or is_model_folder(path) or str(folder) in known_retrievers():
        return None
    try:
        recognise(path)
    except InputError:
        # a damaged log is named when it is read; a folder of something else may be a model with its files missing
        return path if any(file.suffix in (".eval", ".jsonl") for file in path.iterdir()) else None
    return path


class _Arm(Struct, kw_only=True):
    """One arm: its run folder, the tasks it was asked, a row a run, and how its success is called."""

    name: str
    run: Path
    tasks: dict[str, Task]
    rows: dict[tuple[str, int], TrajectoryMetrics]
    judges: set[str]
    agents: set[str]


def compare_recorded(
    sources: Mapping[str, Path],
    folder: Path,
    *,
    score: str | None = None,
    tasks: Iterable[Task] = (),
    seed: int = 0,
) -> StudyResult:
    """Compares recorded runs, which lie or are written as run folders, one an arm.

    Args:
        sources: name of the arm to a run folder, or to a file or folder of another tool; the first is the base.
        folder: gets ``study.json``, ``comparison.json`` and a run folder for each arm that is none.
        score: the log's score that says success, from 0 to 1; by default the grade that its first scorer gave.
        tasks: where evidence comes from, by task id, where the logs do not name it.
        seed: of the resampling and the exchanges.

    Raises:
        InputError: a log cannot be read, says no success, or shares no task with the others; or the folder holds
            something else.
    """
    _check(sources, folder)
    known = {task.id: task for task in tasks}
    ensure_folder(folder)
    arms = [_read(name, _run_folder(name, path, folder), score, known) for name, path in sources.items()]
    asked, notes = _matched(arms)
    tables = {arm.name: _table(arm, asked) for arm in arms}
    agents = [_named(arm.agents) for arm in arms]
    setting: dict[str, Any] = {
        "arms": "runs", "agents": dict(zip(sources, agents, strict=True)), "task_set": "recorded runs",
        "judge": score or _named({judge for arm in arms for judge in arm.judges}),
        "agent": agents[0] if len(set(agents)) == 1 else "several agents",
    }  # fmt: skip
    runs = {arm.name: [Path(os.path.relpath(arm.run, folder)).as_posix()] for arm in arms}
    made = compare(tables, arms[0].name, None, asked, seed=seed, setting=setting, runs=runs)
    notes += _judges(arms) + _unstated(made)
    made = replace(made, answer=" ".join([*notes, made.answer]))
    save(made, folder / COMPARISON)
    cell = Cell(
        agent=setting["agent"], task_set="recorded runs", split="", k=K, seeds=[seed], tasks=len(asked),
        arms=[*sources], base=arms[0].name, folder=".", identity=fingerprint(asked), answer=made.answer,
    )  # fmt: skip
    settings = {"runs": {name: str(path) for name, path in sources.items()}, "score": score, "seed": seed}
    record = StudyRecord(kind="compare", command=command_line.get(), settings=settings, cells=[cell])
    write_json(folder / STUDY, record)
    return StudyResult(folder=folder, comparisons={".": made}, record=record)


def _check(sources: Mapping[str, Path], folder: Path) -> None:
    if len(sources) < 2:
        raise InputError("a comparison needs two logs or more, each of its own name; name them NAME=PATH.")
    for name in sources:
        check_arm(name)
    before = recorded_study(folder)
    if (folder / RUN).exists() or (before is not None and "runs" not in before.settings):
        raise InputError(f"{folder} holds no comparison of recorded runs but something else; choose another --out.")


def _run_folder(name: str, source: Path, folder: Path) -> Path:
    """The run folder of an arm: the source itself, or what it is converted to."""
    if (source / TASKS).is_file():
        return source
    with bar(f"read {name}") as progress:
        done = convert(source, folder / name, to="run", include_canaried=True, progress=progress)
    console.print(done.sentence(), markup=False, soft_wrap=True)
    return folder / name


def _read(name: str, run: Path, score: str | None, known: Mapping[str, Task]) -> _Arm:
    """The rows of a run folder, with the success that its own scorers state."""
    tasks = {task.id: _with_evidence(task, known) for task in asked_tasks(run)}
    grades = latest_grades(Store(run / GRADES, Grade))
    scores: dict[str, dict[str, float]] = {}
    calls: dict[str, tuple[int, int]] = {}
    agents: set[str] = set()
    shows = called = False

    def passing() -> Iterator[Trajectory]:
        nonlocal shows, called
        for trajectory in read_trajectories(run):
            ran = [call for call in trajectory.calls() if call.executed is not None and call.error is None]
            calls[trajectory.id] = len(ran), sum(call.is_search or searches(call.tool) for call in ran)
            shows = shows or any(call.is_search or call.is_browse for call in ran)
            called = called or bool(ran)
            given = trajectory.extra.get(SCORES)
            given = given if isinstance(given, dict) else {}
            scores[trajectory.id] = {key: value for key, one in given.items() if (value := score_of(one)) is not None}
            agents.add(str(trajectory.agent.get("name") or trajectory.agent.get("model") or "unknown"))
            yield trajectory

    rows = measure(passing(), tasks.values(), grades)
    success = _success(name, rows, grades, scores, score)
    # searches and documents of an arm whose tools are not recognised are unknown, not none
    blind = called and not any(number for _, number in calls.values())
    unknown: dict[str, float | None] = dict.fromkeys(_EVIDENCE) if called and not shows else {}
    made: dict[tuple[str, int], TrajectoryMetrics] = {}
    for row in rows:
        if (key := (row.task_id, row.sample)) in made:
            raise InputError(
                f"{name} holds several runs of sample {row.sample} of the task {row.task_id!r}, as of several agents; "
                "compare runs of one agent and retriever."
            )
        steps, found = calls[row.trajectory_id]
        values = row.values | {"steps": steps, "searches": None if blind else found} | unknown
        # a run without an answer may be right all the same, where its scorer looked at something else
        own = 0.0 if row.status == "error" else success.get(row.trajectory_id, row.success)
        made[key] = replace(row, success=own, values=values)
    judges = {score} if score else {grade.judge for grade in grades.values()}
    return _Arm(name=name, run=run, tasks=tasks, rows=made, judges=judges, agents=agents)


def _with_evidence(task: Task, known: Mapping[str, Task]) -> Task:
    return replace(task, evidence=known[task.id].evidence) if not task.evidence and task.id in known else task


def _success(
    name: str,
    rows: Sequence[TrajectoryMetrics],
    grades: Mapping[str, Grade],
    scores: Mapping[str, Mapping[str, float]],
    score: str | None,
) -> dict[str, float]:
    """The success of each run that states it, from 0 to 1: the named score, else the grade."""
    states = {"correct": 1.0, "incorrect": 0.0}
    graded = {key: states[grade.state] for key, grade in grades.items() if grade.state in states}
    if score is None:
        found = graded
    else:
        by_judge = {key: value for key, value in graded.items() if grades[key].judge in (score, f"inspect_ai/{score}")}
        found = by_judge | {key: given[score] for key, given in scores.items() if score in given}
    offered = sorted({key for given in scores.values() for key in given} | {grade.judge for grade in grades.values()})
    named = f"it has {shortened(offered)}" if offered else "convert it to a run folder and grade that"
    if not found and any(row.status == "answered" for row in rows):
        what = f"no score {score!r}" if score else "no score that says right or wrong, so that --score must name one"
        raise InputError(f"{name} has {what}; {named}.")
    if wrong := next((value for value in found.values() if not 0 <= value <= 1), None):
        raise InputError(f"the score {score!r} of {name} is {wrong:g} in a run, and success goes from 0 to 1; {named}.")
    return found


def _matched(arms: Sequence[_Arm]) -> tuple[list[str], list[str]]:
    """The tasks that every arm was asked, of which the arms keep the samples that all have; sentences on the rest."""
    every = list(dict.fromkeys(task for arm in arms for task in arm.tasks))
    asked = [task for task in every if all(task in arm.tasks for arm in arms)]
    samples: dict[str, dict[str, set[int]]] = {arm.name: defaultdict(set) for arm in arms}
    for arm in arms:
        for task, sample in arm.rows:
            samples[arm.name][task].add(sample)
    shared = {}
    for task in asked:
        ran = [samples[arm.name][task] for arm in arms if samples[arm.name][task]]
        shared[task] = set.intersection(*ran) if ran else set()
    # where no sample number is shared, nothing pairs
    asked = [task for task in asked if shared[task] or not any(samples[arm.name][task] for arm in arms)]
    if not asked:
        examples = "; ".join(f"{arm.name}: {next(iter(arm.tasks), 'none')!r}" for arm in arms)
        raise InputError(f"the runs share no task by its id ({examples}); compare runs of one task set.")
    before = sum(len(arm.rows) for arm in arms)
    for arm in arms:
        arm.rows = {key: row for key, row in arm.rows.items() if key[0] in shared and key[1] in shared[key[0]]}
    notes = []
    if dropped := before - sum(len(arm.rows) for arm in arms):
        less = len(every) - len(asked)
        tasks = f", with {less:,} of {len(every):,} tasks," if less else ""
        notes.append(f"{dropped:,} runs{tasks} are left out, since not every arm has that task and sample.")
    other = [task for task in asked if len({" ".join(arm.tasks[task].question.split()) for arm in arms}) > 1]
    if other:
        notes.append(f"{len(other):,} tasks are not worded alike in all arms, such as {other[0]!r}.")
    return asked, notes


def _table(arm: _Arm, asked: Sequence[str]) -> TaskTable:
    """The metrics of an arm by task, of the runs that are left of it."""
    tasks = [arm.tasks[task] for task in asked]
    queries = Queries({task.id: task for task in tasks}, K)
    if any(task.evidence for task in tasks):
        wanted = {row.trajectory_id for row in arm.rows.values()}
        for run in read_trajectories(arm.run):
            if run.id in wanted:
                queries.add(run)
    return table_of([*arm.rows.values()], tasks, queries)


def _judges(arms: Sequence[_Arm]) -> list[str]:
    """A sentence on whose scores say success, where that is not the same in all arms."""
    by_arm = {arm.name: _named(arm.judges) or "nobody" for arm in arms}
    if len(set(by_arm.values())) < 2:
        return []
    return [f"Success is by different scorers: {', '.join(f'{name}: {judge}' for name, judge in by_arm.items())}."]


def _unstated(made: Comparison) -> list[str]:
    """A sentence on the measures that not every arm has."""
    absent = [
        measure.title
        for measure in MEASURES
        if measure.population != "both_solve" and any(arm.means.get(measure.name) is None for arm in made.summaries)
    ]
    return [f"Not compared, since not every arm states them: {', '.join(absent)}."] if absent else []


def _named(names: set[str]) -> str:
    return " and ".join(sorted(names)) if len(names) < 3 else f"{len(names)} of them"
