import time

import pytest

from lrat_sim.errors import BoundaryError, InputError
from lrat_sim.models.budget import Budget, LimitReached


def test_it_ends_when_the_money_is_spent_counting_what_was_spent_before():
    budget = Budget(cost=1.0, spent=0.5)
    budget.check()
    budget.spend(0.49)
    budget.check()
    budget.spend(0.02)
    with pytest.raises(LimitReached, match=r"the limit of \$1\.00 is reached: \$1\.01 are spent") as caught:
        budget.check()
    assert caught.value.limit == "cost"
    budget.take_back(0.5)
    budget.check()


def test_it_ends_when_the_time_is_over():
    budget = Budget(seconds=0.05)
    budget.check()
    time.sleep(0.06)
    with pytest.raises(LimitReached, match=r"0\.05 seconds") as caught:
        budget.check()
    assert caught.value.limit == "seconds"


def test_an_answer_without_a_price_counts_as_the_dearest():
    budget = Budget(cost=1.0)
    for cost in (0.1, 0.3, None):
        budget.spend(cost)
    assert budget.spent == pytest.approx(0.7)


def test_where_no_answer_has_a_price_the_limit_cannot_be_kept():
    budget = Budget(cost=1.0)
    budget.spend(None)
    with pytest.raises(LimitReached, match="cannot be kept"):
        budget.check()
    unlimited = Budget()
    unlimited.spend(None)
    unlimited.check()


def test_a_limit_is_no_failure_of_a_task():
    assert not issubclass(LimitReached, BoundaryError | InputError)


@pytest.mark.parametrize("limits", [{"cost": 0.0}, {"seconds": -1.0}, {"cost": float("nan")}])
def test_a_limit_that_is_none_is_refused(limits):
    with pytest.raises(InputError, match="above 0"):
        Budget(**limits)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.999988, "1"), (0.05, "0.05"), (1.5, "1.5"), (89.99999, "90"), (86_400.0, "86,400")]
)
def test_a_limit_on_the_time_is_said_in_a_round_number(seconds, said):
    assert str(Budget(seconds=seconds).late()) == f"the limit of {said} seconds is reached"
