from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.corpus.split import check_leak, split_tasks, task_entities, without_leak
from lrat_sim.errors import InputError
from lrat_sim.records import Hop, Plan, Task


def task(number, *evidence, question=None):
    return Task(id=f"t{number}", question=question or f"question {number}?", evidence=list(evidence))


def test_a_task_is_about_what_it_passes_through_not_what_it_ends_at():
    hops = [
        Hop(subject="Get Low", relation="performer", object="Dillon Francis"),
        Hop(subject="#1", relation="country of citizenship", object="American"),
    ]
    found = task_entities(Task(id="t", question="q", evidence=["7"], plan=Plan(hops=hops)))
    assert found == {"document 7", "get low", "dillon francis"}


def test_tasks_that_share_an_entity_stay_together():
    tasks = [task(n, f"d{n // 3}", f"e{n}") for n in range(30)]
    splits = split_tasks(tasks, test=9, dev=6, seed=3)
    assert [len(splits[name]) for name in ("train", "dev", "test")] == [15, 6, 9]
    assert check_leak(splits["train"], splits["test"]) == check_leak(splits["dev"], splits["test"]) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(0, 30), max_size=3), min_size=4, max_size=40), st.data())
def test_every_task_is_in_one_split_and_the_sizes_are_as_asked(entities, data):
    tasks = [task(n, *(f"d{e}" for e in found)) for n, found in enumerate(entities)]
    test = data.draw(st.integers(1, len(tasks) - 2))
    dev = data.draw(st.integers(0, len(tasks) - test - 1))
    splits = split_tasks(tasks, test, dev, seed=1)
    assert len(splits["test"]) == test
    assert len(splits.get("dev", [])) == dev
    assert sorted(t.id for split in splits.values() for t in split) == sorted(t.id for t in tasks)


def test_the_split_depends_on_the_seed_and_not_on_the_order():
    tasks = [task(n, f"d{n // 2}") for n in range(40)]

    def ids(splits):
        return {t.id for t in splits["test"]}

    assert ids(split_tasks(tasks, 10, seed=1)) == ids(split_tasks(tasks[::-1], 10, seed=1))
    assert ids(split_tasks(tasks, 10, seed=1)) != ids(split_tasks(tasks, 10, seed=2))


def test_one_large_component_is_cut_where_little_is_shared():
    chain = [task(n, f"d{n}", f"d{n + 1}") for n in range(40)]
    splits = split_tasks(chain, test=10, seed=0)
    assert len(splits["test"]) == 10
    assert check_leak(splits["train"], splits["test"]) == 1


def test_the_same_question_under_two_ids_stays_on_one_side_and_is_refused_on_both():
    splits = split_tasks([task(n, question=f"Who is number {n // 2}?") for n in range(20)], test=6)
    check_leak(splits["train"], splits["test"])
    with pytest.raises(InputError, match=r"'t2' has the question of the training task 't1'"):
        check_leak([task(1, question="Who is it?")], [task(2, question="who is  it")])
    with pytest.raises(InputError, match="'t1'"):
        check_leak([task(1)], [task(1, question="another")])


def test_a_leak_is_taken_out_of_training_alone():
    splits = {"train": [task(1, question="Who?"), task(2)], "test": [task(3, question="who")]}
    kept, dropped = without_leak(splits)
    assert ([t.id for t in kept["train"]], [t.id for t in kept["test"]], dropped) == (["t2"], ["t3"], 1)


def test_a_set_of_which_all_is_held_out_has_no_training_split():
    tasks = [task(n) for n in range(5)]
    assert split_tasks(tasks, test=5) == split_tasks(tasks, test=9) == {"test": tasks}
    with pytest.raises(InputError, match=r"leave no task of 5.*--task-option test=N"):
        split_tasks(tasks, test=3, dev=2)
