"""Splits tasks by question and entity, and refuses a test set that training has seen.

Tasks that share an entity are joined into components, and a component goes to one side as a whole.  Only a component
that is too large for that is cut, along a neighbourhood, so that few entities are shared.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from lrat_sim.corpus.plans import reference
from lrat_sim.errors import InputError
from lrat_sim.records import Task
from lrat_sim.text import normalise


def task_entities(task: Task) -> set[str]:
    """What a task is about: its evidence documents, the names its plan starts from and those it passes through.

    What a plan only ends at (a country, a date) is not counted: half of all questions would be about it.
    """
    entities = {f"document {docid}" for docid in task.evidence}
    hops = task.plan.hops if task.plan else []
    for hop in hops:
        place = reference(hop.subject)
        entities.add(normalise(hop.subject if place is None else hops[place - 1].object))
    return entities - {""}


def split_tasks(tasks: Sequence[Task], test: int, dev: int = 0, seed: int = 0) -> dict[str, list[Task]]:
    """Divides tasks into train, dev (where asked for) and test, each in the order given.

    Args:
        tasks: their order does not matter, nor does that of entities.
        test, dev: how many tasks to hold out; where ``test`` is all of them or more, there is no other split.
        seed: decides which components.

    Raises:
        InputError: nothing would be left for training once ``dev`` is taken too.
    """
    if test >= len(tasks) and not dev:
        return {"test": list(tasks)}
    if test + dev >= len(tasks):
        raise InputError(
            f"test {test} and dev {dev} leave no task of {len(tasks)} for training; hold out fewer with "
            "--task-option test=N and --task-option dev=N."
        )
    keys = [{*task_entities(task), f"question {normalise(task.question)}"} for task in tasks]
    groups = _components(keys)
    # from the content, so that the order of the tasks does not matter
    groups.sort(key=lambda group: min(tasks[index].id for index in group))
    random.Random(seed).shuffle(groups)
    wanted = {"test": test, "dev": dev}
    side = {}
    for group in groups:
        name = next((name for name in wanted if len(group) <= wanted[name]), "train")
        if name in wanted:
            wanted[name] -= len(group)
        side.update(dict.fromkeys(group, name))
    for name in wanted:
        while wanted[name]:
            rest = [[index for index in group if side[index] == "train"] for group in groups]
            for index in _neighbourhood(max(rest, key=len), keys, wanted[name]):
                side[index] = name
                wanted[name] -= 1
    names = ("train", "dev", "test") if dev else ("train", "test")
    return {name: [task for index, task in enumerate(tasks) if side[index] == name] for name in names}


def check_leak(train: Sequence[Task], test: Sequence[Task]) -> int:
    """The number of entities that two sets share; InputError if they share a task id, or a question up to case and
    punctuation."""
    by_id = {task.id: task for task in train}
    by_question = {normalise(task.question): task for task in train}
    for task in test:
        trained = by_id.get(task.id) or by_question.get(normalise(task.question))
        if trained is not None:
            raise InputError(
                f"the held-out task {task.id!r} has the question of the training task {trained.id!r} "
                f"({task.question!r}); drop such training tasks with the option leak: drop, or split anew with test."
            )
    return len(_entities(train) & _entities(test))


def _entities(tasks: Iterable[Task]) -> set[str]:
    return {entity for task in tasks for entity in task_entities(task)}


def without_leak(splits: dict[str, list[Task]]) -> tuple[dict[str, list[Task]], int]:
    """The same splits without those training tasks whose id or question is held out, and how many these were."""
    held = [task for split, tasks in splits.items() if split != "train" for task in tasks]
    known = {task.id for task in held} | {normalise(task.question) for task in held}
    train = splits.get("train", [])
    kept = [task for task in train if task.id not in known and normalise(task.question) not in known]
    return ({**splits, "train": kept} if "train" in splits else splits), len(train) - len(kept)


def _components(keys: Sequence[set[str]]) -> list[list[int]]:
    """The tasks, by index, in groups that share no key."""
    holders = _holders(range(len(keys)), keys)
    groups: list[list[int]] = []
    placed: set[int] = set()
    for index in range(len(keys)):
        if index not in placed:
            groups.append(sorted(_grown(index, keys, holders)))
            placed.update(groups[-1])
    return groups


def _neighbourhood(group: Sequence[int], keys: Sequence[set[str]], size: int) -> list[int]:
    """At most ``size`` tasks that share keys, grown from the least connected one."""
    holders = _holders(group, keys)
    start = min(group, key=lambda index: (sum(len(holders[name]) for name in keys[index]), index))
    return list(islice(_grown(start, keys, holders), size))


def _holders(group: Iterable[int], keys: Sequence[set[str]]) -> dict[str, list[int]]:
    holders: dict[str, list[int]] = {}
    for index in group:
        for name in keys[index]:
            holders.setdefault(name, []).append(index)
    return holders


def _grown(start: int, keys: Sequence[set[str]], holders: dict[str, list[int]]) -> Iterator[int]:
    """A task and all that are connected with it, nearest first; the keys that were followed leave ``holders``."""
    queue, seen = deque([start]), {start}
    while queue:
        index = queue.popleft()
        yield index
        # each key is followed once: its holders are all seen then, and a key of many tasks would cost their square
        neighbours = sorted({n for name in keys[index] for n in holders.pop(name, ())} - seen)
        seen.update(neighbours)
        queue.extend(neighbours)
