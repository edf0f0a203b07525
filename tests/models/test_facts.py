"""What is known of a model before it is called."""

import pytest

from lrat_sim.errors import InputError
from lrat_sim.models.call import OWN_MODELS
from lrat_sim.models.litellm_model import model_facts, require_key


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
