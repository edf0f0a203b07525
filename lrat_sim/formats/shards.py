"""Joins the shards of a run folder: what several jobs ran or judged, each in RUN/shards/I-of-N."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from lrat_sim.artifact import Store, check_fingerprint, line, read_with_offsets, write_text
from lrat_sim.catalog import dump_yaml
from lrat_sim.errors import InputError
from lrat_sim.formats.convert import MergeSummary
from lrat_sim.grading.answers import latest_grades
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.keys import redact_all
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Grade, Trajectory, Verdict
from lrat_sim.rollout.index import (
    RUN,
    TASKS,
    TRAJECTORIES,
    asked_tasks,
    read_manifest,
    read_trajectories,
    record_asked,
    row,
    run_file,
    write_index,
)
from lrat_sim.work import SHARDS

R = TypeVar("R", Grade, Verdict)

_NAME = re.compile(r"(\d+)-of-(\d+)")


def join_shards(run: Path, *, progress: ProgressCallback | None = None) -> MergeSummary:
    """Joins all shards of a run folder in it; the result is that of one process, but for times and the order of lines.

    Call it again after shards were resumed: only what is new is added, and a run that broke gives way to one that did
    not.  Shards stay as they are.

    Raises:
        InputError: there are no shards, one of them is missing, or they were made with different settings.
    """
    parts = shard_folders(run)
    ran = [part for part in parts if (part / RUN).is_file()]
    if ran and len(ran) < len(parts):
        missing = next(part for part in parts if part not in ran)
        raise InputError(f"{missing} holds no runs, and other shards do; run that shard, then merge again.")
    replaced = _join_runs(run, ran, progress) if ran else 0
    _join(run, parts, GRADES, Grade)
    _join(run, parts, VERDICTS, Verdict)
    states = {name: grade.state for name, grade in latest_grades(Store(run / GRADES, Grade)).items()}
    records = read_with_offsets(run_file(run, TRAJECTORIES), Trajectory)
    # the last record of an id counts
    rows = {trajectory.id: row(trajectory, offset, states.get(trajectory.id)) for offset, trajectory in records}
    write_index(run, rows.values())
    tasks = len(asked_tasks(run))
    return MergeSummary(folder=run, trajectories=len(rows), tasks=tasks, repeats=0, replaced=replaced)


def shard_folders(run: Path) -> list[Path]:
    """The folders of all shards, in order; an InputError where one is missing."""
    found = {path.name: path for path in (run / SHARDS).glob("*-of-*") if _NAME.fullmatch(path.name)}
    totals = sorted({int(name.partition("-of-")[2]) for name in found})
    if not found:
        raise InputError(f"{run} has no {SHARDS}/I-of-N; give several run folders and --out to merge those.")
    if len(totals) > 1:
        some = " and ".join(map(str, totals))
        raise InputError(f"{run / SHARDS} holds shards of work that was cut into {some}; delete those of one cut.")
    names = [f"{number}-of-{totals[0]}" for number in range(1, totals[0] + 1)]
    if missing := [name for name in names if name not in found]:
        more = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
        raise InputError(f"{run / SHARDS} lacks the shard {missing[0]}{more}; run it, then merge again.")
    return [found[name] for name in names]


def _join_runs(run: Path, parts: list[Path], progress: ProgressCallback | None) -> int:
    """Adds the runs of shards; returns how many took the place of one that broke."""
    if (run / TASKS).exists() and not (run / RUN).exists():
        raise InputError(f"{run} holds {TASKS} but no {RUN}; choose another run folder.")
    manifests = [read_manifest(folder) for folder in ([run] if (run / RUN).exists() else []) + parts]
    for manifest in manifests[1:]:
        first, other = ({**each["fingerprints"], "seed": each["settings"]["seed"]} for each in (manifests[0], manifest))
        check_fingerprint(f"a shard of {run}", first, other, "run all shards with one command line")
    calls = [call for manifest in manifests for call in manifest["calls"]]
    calls = [call for place, call in enumerate(calls) if call not in calls[:place]]
    with Store(run / TRAJECTORIES, Trajectory) as store:
        write_text(run / RUN, dump_yaml(redact_all({**manifests[0], "calls": calls})))
        # they were dealt out one by one, so this is their order
        dealt = zip_longest(*map(asked_tasks, parts))
        record_asked(run, [task for tasks in dealt for task in tasks if task is not None])
        broke = {trajectory.id: trajectory.status == "error" for trajectory in store}
        added = replaced = 0
        for trajectory in (trajectory for part in parts for trajectory in read_trajectories(part)):
            name, breaks = trajectory.id, trajectory.status == "error"
            if name in broke and (breaks or not broke[name]):
                continue
            store.append(trajectory)
            replaced += name in broke
            broke[name] = breaks
            added += 1
            if progress is not None:
                progress(added, None, "trajectories")
    return replaced


def _join(run: Path, parts: list[Path], name: str, kind: type[R]) -> None:
    """Adds the judgements of shards that the run does not have."""
    if not any((part / name).is_file() for part in parts):
        return
    with Store(run / name, kind) as store:
        known = {line(record) for record in store}
        for part in parts:
            new = [record for record in Store(part / name, kind) if line(record) not in known]
            known.update(map(line, new))
            store.extend(new)
