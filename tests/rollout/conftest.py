import importlib.util
import sys
from pathlib import Path

import pytest

from lrat_sim.rollout import run
from lrat_sim.rollout.calls import CallOptions

SUPPORT = Path(__file__).parents[1] / "support"


def support(name):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, SUPPORT / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def scripted():
    """Scripted models, server and retriever: the module tests/support/scripted.py."""
    return support("scripted")


@pytest.fixture(scope="session")
def provider():
    """An OpenAI-compatible provider that fails by a plan: the module tests/support/provider.py."""
    return support("provider")


@pytest.fixture(scope="session")
def rollout_process(scripted, provider):
    """A rollout that a process of its own can run: the module tests/support/rollout_process.py."""
    return support("rollout_process")


@pytest.fixture
def rollout(scripted):
    """A rollout without a table, by default with the scripted retriever; options of its calls by name."""

    def rollout(tasks, agent, folder, *, retriever=None, table=False, **options):
        calls = CallOptions(**{name: options.pop(name) for name in CallOptions.__struct_fields__ if name in options})
        return run.rollout(tasks, agent, retriever or scripted.Tiny(), folder, calls=calls, table=table, **options)

    return rollout
