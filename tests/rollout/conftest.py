import pytest

from lrat_sim.rollout import run
from lrat_sim.rollout.calls import CallOptions


@pytest.fixture(scope="session")
def provider():
    """An OpenAI-compatible provider that fails by a plan: the module tests/support/provider.py."""
    import provider

    return provider


@pytest.fixture(scope="session")
def rollout_process():
    """A rollout that a process of its own can run: the module tests/support/rollout_process.py."""
    import rollout_process

    return rollout_process


@pytest.fixture
def rollout(scripted):
    """A rollout without a table, by default with the scripted retriever; options of its calls by name."""

    def rollout(tasks, agent, folder, *, retriever=None, table=False, **options):
        calls = CallOptions(**{name: options.pop(name) for name in CallOptions.__struct_fields__ if name in options})
        return run.rollout(tasks, agent, retriever or scripted.Tiny(), folder, calls=calls, table=table, **options)

    return rollout
