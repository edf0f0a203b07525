"""OpenAI-compatible servers (vLLM, SGLang, llama.cpp), through the documented ``post`` of openai's client: its typed
``create`` walks through the conversation with every call, and rejects small faults that such servers' replies have."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import httpx
import msgspec

from lrat_sim.keys import read_environment, read_key
from lrat_sim.models.budget import read_usage
from lrat_sim.models.call import Answer, NoAnswer, Request
from lrat_sim.models.litellm_model import import_litellm, model_facts, with_content
from lrat_sim.models.responses import read_response, request_body
from lrat_sim.models.transport import pooled_client

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# connections belong to the event loop in which they were made
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], AsyncOpenAI]] = WeakKeyDictionary()


class OpenAIModel:
    """Any model behind an OpenAI-compatible endpoint, which the request's ``base_url`` names."""

    def __init__(self) -> None:
        import openai  # noqa: F401  # both imports take seconds, which must not count as a call's

        import_litellm()  # which knows prices

    async def answer(self, request: Request) -> Answer:
        """One POST to ``/chat/completions``, or to ``/responses``."""
        assert request.base_url is not None
        # without a key of its own a server must not be sent the one that is meant for another
        key = (read_key(request.key_env) if request.key_env is not None else None) or "none"
        model, price = request.model.partition("/")[2], model_facts(request.model).price
        if request.api == "responses":
            body = {"model": model, **request_body(request)}
            reply = await post(request.base_url, key, "/responses", body, request.timeout)
            return read_response(reply, partial(read_usage, price=price))
        body = {
            "model": model,
            "messages": request.messages if request.empty_content == "none" else with_content(request.messages),
            **request.parameters(),
        }
        reply = await post(request.base_url, key, "/chat/completions", body, request.timeout)
        choices = reply.get("choices") if isinstance(reply, dict) else None
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            raise NoAnswer("the answer has no choices")
        reason = choice.get("finish_reason")
        return Answer(
            message={name: value for name, value in message.items() if value is not None},
            usage=read_usage(reply.get("usage"), price=price),
            finish_reason=reason if isinstance(reason, str) else None,
        )


async def post(base_url: str, key: str, path: str, body: dict[str, Any], timeout: float) -> Any:
    """The JSON that a server answers to a POST, with ``timeout`` seconds between two bytes of the reply; else openai's
    APIStatusError, ConnectionError where no whole reply came, or ValueError where it is not JSON."""
    from openai import APIConnectionError

    more: dict[str, Any] = body.pop("extra_body", None) or {}  # these three mean what they do for openai
    options: Any = {
        "headers": body.pop("extra_headers", None) or {},
        "params": body.pop("extra_query", None) or {},
        "timeout": timeout,
    }
    for name in ("allowed_openai_params", "drop_params", "additional_drop_params"):  # instructions for litellm
        body.pop(name, None)
    content = msgspec.json.encode({**body, **more})
    try:
        client = openai_client(base_url, key)
        url = f"{client.base_url}{path.lstrip('/')}"  # whole, since openai takes longer to put one together
        response = await client.post(url, cast_to=httpx.Response, content=content, options=options)
    except APIConnectionError as error:  # which only says "Connection error."
        cause = error.__cause__ or error
        raise ConnectionError(f"{type(cause).__name__}: {cause}") from error
    return response.json()


def openai_client(base_url: str, key: str) -> AsyncOpenAI:
    """The running event loop's client for an endpoint and a key."""
    own = _clients.setdefault(asyncio.get_running_loop(), {})
    if (base_url, key) not in own:
        from openai import AsyncOpenAI

        read_environment()  # a server's message may quote any key of this machine
        # timeouts are given with each call, and attempts are ours to count
        own[base_url, key] = AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, http_client=pooled_client(base_url)
        )
    return own[base_url, key]


async def close_clients() -> None:
    """Closes the running event loop's clients."""
    for openai in _clients.pop(asyncio.get_running_loop(), {}).values():
        with contextlib.suppress(Exception):  # a broken connection may complain on closing; nobody is helped by that
            await openai.close()
