import asyncio
import contextlib

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
def anyio_backend():
    return "asyncio"


@pytest.fixture
def reply(scripted):
    """A server's reply, which says "hi" unless a test says otherwise."""
    content = scripted.body(scripted.says("hi"), model="gpt-4o-mini")
    return lambda **fields: scripted.Reply(**{"content": content, **fields})


@pytest.fixture
def serve(scripted, reply):
    """serve(answer), or serve(**fields) of every reply, starts a server on loopback until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda answer=None, **fields: stack.enter_context(scripted.Server(answer or (lambda *_: reply(**fields))))


@pytest.fixture
def greeting(serve):
    """A server that answers every call with "hi"."""
    return serve()
