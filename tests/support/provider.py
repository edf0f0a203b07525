"""A scripted OpenAI-compatible provider on loopback, in a process of its own, that fails by a plan.

    python provider.py --port 0 --seed 7 --faults 0.2 --latency 0 --log requests.jsonl

It plays a search agent: from the conversation alone it decides whether to search, to browse or to answer, and says
so in the shape of the model that it is asked for.  A hash of (seed, conversation, attempt) decides which request
fails and how, so the plan does not depend on timing; :class:`Plan` tells a test what must become of each task.
Every request is logged as it comes, with what it is answered.  Printed first is the base URL.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

import shapes

PASSING = ("429-after", "429", "500", "503", "hang", "cut", "cut-body", "truncated", "empty", "html")
"""Faults that another attempt heals."""
LONGEST = 3
"""So many faults in a row at most: the next attempt at the same conversation is answered."""
FATES = ("broken", "refused", "exhausted", "overflow", "overflow-always")
"""What befalls a task for good: a 500 that never heals, a 400, a spent quota, a prompt that is too long unless an
answer is asked for, and one that is too long even then."""
RETRY_AFTER = 1

_TASK = re.compile(r"case (\d+)")
_SHOWN = re.compile(r"DocID: ?(\w+)")
_NOW = "Answer the question now"


def fraction(*parts: Any) -> float:
    """A number in [0, 1) that depends on ``parts`` alone."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def fingerprint(value: Any) -> str:
    """A short name of a JSON value."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).hexdigest()


def question(task: int) -> str:
    """The question that the provider knows as this task."""
    return f"Which harbour is meant in case {task}?"


class Plan(NamedTuple):
    """What a provider does: the same for the server that fails and the test that knows how it must end."""

    seed: int = 0
    faults: float = 0.0
    fates: float = 0.0
    turns: int = 4
    kinds: tuple[str, ...] = PASSING

    def calls(self, task: int) -> int:
        """How many turns with tool calls the task takes before its answer."""
        return int(fraction(self.seed, "turns", task) * self.turns)

    def fate(self, task: int) -> str | None:
        """What befalls the task for good, at its turn ``fate_turn``."""
        drawn = fraction(self.seed, "fate", task)
        return FATES[int(drawn / self.fates * len(FATES))] if drawn < self.fates else None

    def fate_turn(self, task: int) -> int:
        """The turn (from 0) from which on the fate holds."""
        return int(fraction(self.seed, "when", task) * (self.calls(task) + 1))

    def fault(self, conversation: str, attempt: int) -> str | None:
        """The fault of the n-th attempt (from 0) at a conversation."""
        drawn = fraction(self.seed, "fault", conversation, attempt)
        if attempt >= LONGEST or drawn >= self.faults:
            return None
        return self.kinds[int(drawn / self.faults * len(self.kinds))]

    def answer(self, task: int) -> str | None:
        """The task's answer; some tasks are given up."""
        return None if fraction(self.seed, "gives up", task) < 0.1 else f"harbour {fingerprint([self.seed, task])}"

    def outcome(self, task: int) -> tuple[str, str, str | None]:
        """How a task must end: status, end reason, answer."""
        match self.fate(task), self.answer(task):
            case (("broken" | "refused" | "exhausted"), _):
                return "error", "error", None
            case "overflow-always", _:
                return "unanswered", "token_limit", None
            case "overflow", answer:
                return "unanswered" if answer is None else "answered", "token_limit", answer
            case _, None:
                return "unanswered", "gave_up", None
            case _, answer:
                return "answered", "answer", answer


# --- what the agent says, in the shape of each backbone ---------------------------------------------------------------


def thought(task: int, turn: int) -> str:
    """The reasoning of a turn."""
    return f"Case {task}, turn {turn}: " + "the quay is named in one of the lists. " * (turn % 3) + "Go on."


def next_message(plan: Plan, request: dict[str, Any], task: int) -> dict[str, Any]:
    """The assistant's next message in a conversation, in the shape of the profile that the model is named for."""
    messages = request["messages"]
    shape = (shapes.RESPONSES if "input" in request else shapes.SHAPES)[request["model"]]
    turn = sum(message["role"] == "assistant" for message in messages)
    if turn >= plan.calls(task) or forced(request):
        return _worded(shape[2], plan.answer(task) or "unknown", task, turn)
    seen = _SHOWN.findall(_text(messages[-1]))
    if turn and seen and fraction(plan.seed, "browse", task, turn) < 0.5:
        return _worded(shape[1], seen[turn % len(seen)], task, turn)
    message = _worded(shape[0], f"harbour lighthouse {task} {turn}", task, turn)
    if "tool_calls" in message and fraction(plan.seed, "two", task, turn) < 0.2:
        more = _worded(shape[0], f"salt tolls {task} {turn}", task, turn)["tool_calls"]
        message["tool_calls"] += [{**call, "id": f"{call['id']}b"} for call in more]
    return message


def _worded(shape: shapes.Shape, given: str, task: int, turn: int) -> dict[str, Any]:
    """A shape with this turn's query, document or answer, its own reasoning and its own ids of calls."""
    message = shape(given, given) if callable(shape) else shape
    text = json.dumps(message)
    for stated in (shapes.FIRST, shapes.SECOND, shapes.THIRD):
        text = text.replace(stated, thought(task, turn))
    told: dict[str, Any] = json.loads(text.replace(f"Exact Answer: {shapes.EXACT}", f"Exact Answer: {given}"))
    if "output" in told:
        own = [{name: f"{item[name]}{turn}" for name in ("id", "call_id") if name in item} for item in told["output"]]
        told["output"] = [{**item, **ids} for item, ids in zip(told["output"], own, strict=True)]
    if "tool_calls" in told:
        told["tool_calls"] = [{**call, "id": f"{call['id']}{turn}"} for call in told["tool_calls"]]
    return told


def as_chat(request: dict[str, Any]) -> dict[str, Any]:
    """A request with its ``messages``; a model's items are one message, which has them under ``items``."""
    if "input" not in request:
        return request
    messages: list[dict[str, Any]] = [{"role": "system", "content": request["instructions"]}]
    for item in request["input"]:
        if item.get("type") == "function_call_output":
            messages.append({"role": "tool", "content": item["output"]})
        elif item.get("role", "assistant") != "assistant":
            messages.append(item)
        elif messages[-1]["role"] == "assistant":
            messages[-1]["items"].append(item)
        else:
            messages.append({"role": "assistant", "items": [item]})
    return {**request, "messages": messages}


def fault_of_items(plan: Plan, request: dict[str, Any], task: int) -> str | None:
    """What OpenAI would refuse of a conversation of items, or what is not as it was said; None for nothing."""
    if request.get("store") is not False or "reasoning.encrypted_content" not in request.get("include", []):
        return "the reasoning is not asked for, or is to be stored"
    called = [item["call_id"] for item in request["input"] if item.get("type") == "function_call"]
    if called != [item["call_id"] for item in request["input"] if item.get("type") == "function_call_output"]:
        return "not every call has its output"
    for number, message in enumerate(request["messages"]):
        if "items" in message:
            said = next_message(plan, {**request, "messages": request["messages"][:number], "tool_choice": None}, task)
            wanted = [
                {k: v for k, v in item.items() if v is not None and (k, item["type"]) != ("status", "reasoning")}
                for item in said["output"]
            ]
            if message["items"] != wanted:
                return f"the items of message {number} are not as they were said"
    return None


def forced(request: dict[str, Any]) -> bool:
    """Whether the conversation asks for an answer now: it allows no calls, or the user says so last."""
    last = request["messages"][-1]
    return request.get("tool_choice") == "none" or (last["role"] == "user" and _NOW in _text(last))


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def usage_of(request: dict[str, Any], message: dict[str, Any]) -> dict[str, int]:
    """What the provider says it used: a token is four characters here."""
    read = sum(len(_text(each)) for each in request["messages"]) // 4 + 3 * len(request["messages"])
    written = len(json.dumps(message)) // 4
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


# --- what goes over the wire ------------------------------------------------------------------------------------------


class Reply(NamedTuple):
    """One answer: its status, body and headers; how much of the body is sent; seconds until it is."""

    status: int = 200
    body: bytes = b""
    headers: tuple[str, ...] = ()
    sent: float = 1.0
    kind: str = "application/json"

    def encoded(self) -> bytes:
        """The bytes of the answer; fewer than its header promises where it is to be cut."""
        more = "".join(f"{header}\r\n" for header in self.headers)
        head = (
            f"HTTP/1.1 {self.status} x\r\ncontent-type: {self.kind}\r\ncontent-length: {len(self.body)}\r\n{more}\r\n"
        )
        return head.encode() + self.body[: int(len(self.body) * self.sent)]


def error(status: int, message: str, *headers: str, **fields: Any) -> Reply:
    """An error in the form that OpenAI's endpoints and their likes give it."""
    return Reply(status, msgspec.json.encode({"error": {"message": message, **fields}}), headers)


OVERFLOWS = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9121 tokens.",
    "The input (9121 tokens) is longer than the model's context length (8192 tokens).",
    "the request exceeds the available context size (8192 tokens), try increasing it",
    "prompt is too long: 9121 tokens > 8192 maximum",
)


def failing(fault: str, whole: Reply, task: int) -> Reply | None:
    """The answer of a fault, None where nothing is sent at all."""
    match fault:
        case "429-after":
            return error(429, "Rate limit reached.", f"retry-after: {RETRY_AFTER}", type="requests")
        case "429" | "capacity":
            return error(429, "Rate limit reached.", type="requests")
        case "500" | "broken":
            return error(500, "The server had an error.", type="server_error")
        case "503":
            return Reply(503, b"upstream connect error", kind="text/plain")
        case "cut-body":
            return whole._replace(sent=0.5)
        case "truncated":
            return whole._replace(body=whole.body[: len(whole.body) // 2])
        case "empty":
            nothing = {**msgspec.json.decode(whole.body), "choices": [], "output": []}
            return whole._replace(body=msgspec.json.encode(nothing))
        case "html":
            return Reply(200, b"<html><body>One moment, please.</body></html>", kind="text/html")
        case "refused":
            return error(400, "Invalid value for 'temperature'.", type="invalid_request_error", param="temperature")
        case "exhausted":
            return error(429, "You exceeded your current quota.", type="insufficient_quota", code="insufficient_quota")
        case "overflow":
            return error(400, OVERFLOWS[task % len(OVERFLOWS)], type="invalid_request_error")
    return None


class Service:
    """Answers requests by the plan, and counts the attempts at each conversation."""

    def __init__(self, plan: Plan, *, latency: float, hang: float, capacity: int | None, log: str | None):
        self.plan, self.latency, self.hang, self.capacity = plan, latency, hang, capacity
        # one JSON line a request, in the kernel's hands before it is answered
        self.log: IO[bytes] | None = open(log, "ab", buffering=0) if log else None  # noqa: SIM115
        self.attempts: dict[str, int] = {}
        self.in_flight = 0
        self.numbers = itertools.count()

    def answer(self, body: bytes) -> tuple[Reply | None, float]:
        """The reply, None for a cut connection, and the seconds until it comes."""
        arrived = time.time()
        request = as_chat(msgspec.json.decode(body))
        messages, parameters = request["messages"], {key: request[key] for key in request if key not in _NAMED}
        task = int(_TASK.search(next(_text(each) for each in messages if each["role"] == "user"))[1])  # type: ignore[index]
        # not by its texts: the plan shall outlast a change of the prompts
        now = " now" if forced(request) else ""
        conversation = f"{request['model']} {task} {parameters.get('seed')} {len(messages)}{now}"
        over = self.capacity is not None and self.in_flight > self.capacity
        attempt = self.attempts.get(conversation, 0)
        if not over:
            self.attempts[conversation] = attempt + 1
        fault = "capacity" if over else self._fault(request, task, conversation, attempt)
        wrong = fault_of_items(self.plan, request, task) if "input" in request else None
        message = next_message(self.plan, request, task)
        used = usage_of(request, message)
        whole = Reply(body=_completion(request["model"], message, used, next(self.numbers)))
        if wrong is not None:
            whole = error(400, wrong)
        reply = whole if fault is None else failing(fault, whole, task)
        seen = {
            "at": arrived,
            "task": task,
            "conversation": conversation,
            "attempt": attempt,
            "body": hashlib.blake2b(body, digest_size=8).hexdigest(),
            "messages": len(messages),
            "model": request["model"],
            "parameters": parameters,
            "tools": fingerprint(request["tools"]) if request.get("tools") else None,
            "fault": fault,
            "status": reply.status if reply is not None else None,
            "usage": used if fault is None else None,
            "in_flight": self.in_flight,
        }
        if self.log is not None:
            self.log.write(msgspec.json.encode(seen) + b"\n")
        if fault == "hang":
            return None, self.hang
        return reply, 0.0 if over else self.latency

    def _fault(self, request: dict[str, Any], task: int, conversation: str, attempt: int) -> str | None:
        fate = self.plan.fate(task)
        turn = sum(message["role"] == "assistant" for message in request["messages"])
        if fate is not None and turn >= self.plan.fate_turn(task):
            if fate == "overflow-always" or (fate == "overflow" and not forced(request)):
                return "overflow"
            if fate != "overflow":
                return fate
        return self.plan.fault(conversation, attempt)


_NAMED = ("messages", "tools", "model", "input", "instructions", "store", "include")


def _completion(model: str, message: dict[str, Any], usage: dict[str, int], number: int) -> bytes:
    if "output" in message:
        head = {"id": f"resp_{number}", "object": "response", "created_at": 1_700_000_000, "model": model}
        used = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
        whole = {**head, "status": "completed", "output": message["output"], "usage": {**usage, **used}}
        return msgspec.json.encode(whole)
    reason = "tool_calls" if "tool_calls" in message else "stop"
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1_700_000_000, "model": model}
    choices = [{"index": 0, "finish_reason": reason, "message": message}]
    return msgspec.json.encode({**head, "choices": choices, "usage": usage})


class Connection(asyncio.Protocol):
    """One connection, kept alive, one request at a time."""

    def __init__(self, service: Service):
        self.service = service
        self.buffer = b""
        self.timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found or self.timer is not None:
            return
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self.buffer = rest[size:]
        self.service.in_flight += 1
        reply, seconds = self.service.answer(rest[:size])
        self.timer = asyncio.get_running_loop().call_later(seconds, self.reply, reply)

    def reply(self, reply: Reply | None) -> None:
        self.done()
        if reply is not None:
            self.transport.write(reply.encoded())
        if reply is None or reply.sent < 1:
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.done()

    def done(self) -> None:
        self.timer = None
        self.service.in_flight -= 1


async def serve(given: argparse.Namespace) -> None:
    """Serves until it is told to end, or, with ``--with-parent``, until its standard input ends."""
    service = Service(plan_of(given), latency=given.latency, hang=given.hang, capacity=given.capacity, log=given.log)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", given.port, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    if given.with_parent:
        loop.add_reader(0, lambda: ended.set() if not os.read(0, 1024) else None)
    await ended.wait()


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests with a fault that passes")
    parser.add_argument("--fates", type=float, default=0.0, help="share of tasks with one that does not")
    parser.add_argument("--turns", type=int, default=4, help="calls of the model that a task takes at most")
    parser.add_argument("--kinds", default=",".join(PASSING), help="which faults pass, separated by commas")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--hang", type=float, default=30.0, help="seconds")
    parser.add_argument("--capacity", type=int, help="requests served at once; those beyond get 429")
    parser.add_argument("--log", help="a file of JSON lines, added to")
    parser.add_argument("--with-parent", action="store_true", help="ends when its standard input does")
    return parser.parse_args(arguments)


def plan_of(given: argparse.Namespace) -> Plan:
    """The plan that the command line asks for."""
    return Plan(given.seed, given.faults, given.fates, given.turns, tuple(given.kinds.split(",")))


class Provider:
    """The provider as a context manager: its process, its ``url``, its ``plan`` and what it has seen.

    Args:
        log: where it notes the requests; a provider that is started again with the same file goes on in it.
        port: 0 takes a free one.
        settings: as on the command line (``faults=0.2``).
    """

    def __init__(self, log: Path, *, port: int = 0, **settings: Any):
        self.path, self.port, self.settings = log, port, settings
        arguments = [f"--{name}={value}" for name, value in {**settings, "log": log}.items()]
        self.plan = plan_of(options(arguments))
        self.arguments = arguments

    def __enter__(self) -> Provider:
        command = [sys.executable, __file__, f"--port={self.port}", "--with-parent", *self.arguments]
        # it has the pipe's other end: should this process be killed, the provider ends too
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rpartition(":")[2].partition("/")[0])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def requests(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """What it has logged, from a byte offset on."""
        with self.path.open("rb") as stream:
            stream.seek(start)
            for line in stream:
                yield msgspec.json.decode(line)


if __name__ == "__main__":
    asyncio.run(serve(options()))
