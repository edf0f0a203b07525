from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.mining.shuffle import exchange


@settings(max_examples=50, deadline=None)
@given(st.integers(4, 40), st.integers(0, 9))
def test_no_pair_gets_a_positive_of_its_own_task(tasks, seed):
    positives = [f"d{task}.{place}" for task in range(tasks) for place in range(2)]
    owners = [f"q{task}" for task in range(tasks) for _ in range(2)]
    result = exchange(positives, owners, seed)
    assert sorted(result) == sorted(positives)
    assert all(docid.split(".")[0] != f"d{owner[1:]}" for docid, owner in zip(result, owners, strict=True))


def test_too_few_tasks_still_move_every_positive():
    result = exchange(["a", "b", "c"], ["q", "q", "q"], 1)
    assert sorted(result) == ["a", "b", "c"]
    assert all(new != old for new, old in zip(result, ["a", "b", "c"], strict=True))


def test_one_seed_gives_one_exchange_and_another_seed_another():
    positives, tasks = [f"d{n}" for n in range(30)], [f"q{n}" for n in range(30)]
    assert exchange(positives, tasks, 1) == exchange(positives, tasks, 1) != exchange(positives, tasks, 2)


def test_a_document_in_more_than_half_of_the_pairs_cannot_be_exchanged():
    with pytest.raises(InputError, match="more than half"):
        exchange(["a", "a", "b"], ["q1", "q2", "q3"], 0)
