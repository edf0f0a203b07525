import asyncio

import pytest

from lrat_sim.models.client import attempt, close_connections, model_for


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


@pytest.fixture
def greeting(scripted):
    """A server that answers every call with "hi"."""
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi")))) as server:
        yield server
