"""TREC run and judgement files of what agents were shown, for any evaluation of retrieval (written only).

``run.trec`` has the documents in the order in which a run was shown them, with 1/rank as score, since the scores of
several searches cannot be compared; ``qrels.trec`` has the tasks' evidence.  A question with several runs has one list
a run, told apart by the tag.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lrat_sim.artifact import ensure_folder, fingerprint
from lrat_sim.errors import InputError
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.registry import About, Format
from lrat_sim.records import Task


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes the folder; returns the number of trajectories; InputError if an id holds white space."""
    ensure_folder(path)
    tasks: dict[str, Task] = {}
    count = 0
    with (path / "run.trec").open("w", encoding="utf-8") as stream:
        for entry in entries:
            trajectory = entry.trajectory
            if entry.task is not None:
                tasks[entry.task.id] = entry.task
            shown = dict.fromkeys(hit.docid for call in trajectory.calls() for hit in call.hits or ())
            who = [trajectory.agent, trajectory.retriever, trajectory.seed]
            names = f"{entry.agent_name} {entry.retriever_name}".split()
            tag = f"{'_'.join([*names, fingerprint(who)[:6]])}.{trajectory.sample}"
            for rank, docid in enumerate(shown, start=1):
                stream.write(f"{_id(trajectory.task_id)} Q0 {_id(docid)} {rank} {1 / rank:.6f} {tag}\n")
            count += 1
    tasks |= {task.id: task for task in about.unrun}
    with (path / "qrels.trec").open("w", encoding="utf-8") as stream:
        for task in tasks.values():
            stream.writelines(f"{_id(task.id)} 0 {_id(docid)} 1\n" for docid in task.evidence)
    return count


def _id(name: str) -> str:
    if len(name.split()) != 1 or name != name.strip():
        raise InputError(f"the id {name!r} holds white space, which TREC files cannot; choose another format.")
    return name


FORMAT = Format(
    name="trec", title="TREC run and judgements of what was shown", recognise=lambda path, record: False, write=write
)
