"""What calls cost: what is known of a model before it is called, and the limit on many."""

import time

import pytest

from lrat_sim.errors import BoundaryError, InputError
from lrat_sim.models.budget import Budget, LimitReached
from lrat_sim.models.call import OWN_MODELS
from lrat_sim.models.litellm_model import model_facts, require_key


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


def test_a_missing_key_is_refused_by_the_name_of_its_variable(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        require_key("openai/gpt-4.1-mini", base_url=None, key_env=None)
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    require_key("openai/gpt-4.1-mini", base_url=None, key_env=None)
    monkeypatch.delenv("MY_KEY", raising=False)  # one that is named is the one that counts
    with pytest.raises(InputError, match="MY_KEY"):
        require_key("openai/gpt-4.1-mini", base_url=None, key_env="MY_KEY")


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setitem(OWN_MODELS, "own", lambda: None)


def test_an_endpoint_and_a_model_of_our_own_need_none(monkeypatch, own):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    require_key("openai/local", base_url="http://127.0.0.1:1/v1", key_env=None)
    require_key("own/x", base_url=None, key_env=None)


def test_window_and_price_come_from_the_map_and_are_unknown_elsewhere():
    known, unknown = model_facts("openai/gpt-4.1-mini"), model_facts("nobody/knows")
    assert known.price
    assert known.window
    assert (unknown.price, unknown.window) == (None, None)


def test_a_price_is_that_of_a_token_and_of_one_in_the_cache(own):
    price = model_facts("openai/gpt-4o-mini").price
    assert (price.prompt, price.completion, price.cached) == (0.15e-6, 0.6e-6, 0.075e-6)
    assert model_facts("nobody/knows").price is None
    assert model_facts("own/x").price.completion == 0
