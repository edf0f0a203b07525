from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.study.exposure import exposure, gini

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any)


def of(*counts):
    return gini(np.array(counts, np.float64))


def test_gini_of_equal_counts_is_zero_and_of_one_that_has_all_the_most_there_is():
    assert of(3, 3, 3, 3) == pytest.approx(0)
    assert of(0, 0, 0, 8) == pytest.approx(3 / 4)
    assert of(1, 3) == pytest.approx(1 / 4)
    assert of(0, 0) is None


@given(COUNTS)
def test_gini_is_the_mean_difference_over_twice_the_mean(counts):
    differences = [abs(one - other) for one in counts for other in counts]
    wanted = sum(differences) / len(differences) / (2 * sum(counts) / len(counts))
    assert of(*counts) == pytest.approx(wanted)


@given(COUNTS, st.randoms())
def test_gini_depends_neither_on_the_order_nor_on_the_scale(counts, random):
    moved = random.sample(counts, len(counts))
    assert of(*(7 * count for count in moved)) == pytest.approx(of(*counts))


def test_exposure_counts_every_listing_and_every_opening_over_the_whole_corpus(wheel):
    collect = wheel.folder / "round-1" / "collect"
    shown, opened = Counter(), Counter()
    for trajectory in read_trajectories(collect):
        for turn in trajectory.turns:
            for call in turn.calls:
                shown.update(hit.docid for hit in call.hits or [])
                opened.update([call.docid] if call.docid else [])
    found = exposure([collect], 1000)
    assert (found.documents, found.shown, found.opened) == (1000, len(shown), len(opened))
    rest = [0] * (1000 - len(shown))
    assert found.shown_gini == pytest.approx(of(*shown.values(), *rest))
    assert found.opened_gini == pytest.approx(of(*opened.values(), *[0] * (1000 - len(opened))))


def test_a_folder_without_trajectories_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"trajectories\.jsonl cannot be read"):
        exposure([tmp_path], 10)
