import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

from lrat_sim.models.client import attempt, close_connections, model_for


@pytest.fixture(scope="session")
def scripted():
    """Scripted models, server and retriever: the module tests/support/scripted.py."""
    path = Path(__file__).parents[1] / "support" / "scripted.py"
    if "scripted" not in sys.modules:
        spec = importlib.util.spec_from_file_location("scripted", path)
        sys.modules["scripted"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["scripted"])
    return sys.modules["scripted"]


@pytest.fixture(scope="session")
def attempts():
    """One attempt at each of some requests, by the model that answers it; its outcomes, in order."""

    def make(*requests):
        async def ask():
            try:
                return [await attempt(model_for(request), request) for request in requests]
            finally:
                await close_connections()

        return asyncio.run(ask())

    return make
