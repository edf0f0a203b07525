"""Models and a retriever that do as a test says: a litellm provider in the process, and a server on loopback."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from lrat_sim.errors import UnknownDocument
from lrat_sim.models.budget import read_usage
from lrat_sim.models.call import OWN_MODELS, Answer, Request
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval.base import Retriever
from lrat_sim.text import normalise

DOCUMENTS = [
    Document(
        id="1", title="Brindle Lighthouse", text="Brindle Lighthouse was designed by Maren Oxley and lit in 1874."
    ),
    Document(
        id="2", title="Maren Oxley", text="Maren Oxley, an engineer, was born in Thornmouth. " + "She drew. " * 90
    ),
    Document(id="3", title="", text="Harbour tolls were paid in salt at every quay."),
    Document(id="4", title="Thornmouth", text="Thornmouth is a town with a harbour and a lighthouse."),
]


class Tiny(Retriever):
    """Ranks four documents by the words that they share with the query."""

    def __init__(self, documents: list[Document] = DOCUMENTS, *, broken: str | None = None):
        self.documents = {document.id: document for document in documents}
        self.broken = broken
        self.searches: list[str] = []
        self.opened: list[str] = []

    def search(self, queries: Any, k: int) -> list[list[Hit]]:
        if self.broken is not None:
            raise RuntimeError(self.broken)
        self.searches += queries
        return [self._ranked(query, k) for query in queries]

    def _ranked(self, query: str, k: int) -> list[Hit]:
        words = set(normalise(query).split())
        scores = {
            docid: len(words & set(normalise(f"{document.title} {document.text}").split()))
            for docid, document in self.documents.items()
        }
        best = sorted(scores, key=lambda docid: (-scores[docid], docid))[:k]
        return [Hit(docid=docid, score=float(scores[docid]), rank=rank) for rank, docid in enumerate(best, start=1)]

    def document(self, docid: str) -> Document:
        self.opened.append(docid)
        if docid not in self.documents:
            raise UnknownDocument(docid)
        return self.documents[docid]

    def describe(self) -> dict[str, Any]:
        return {"kind": "tiny", "documents": len(self.documents)}


def says(text: str | None, reasoning: str | None = None, **more: Any) -> dict[str, Any]:
    """An assistant message without calls."""
    thought = {} if reasoning is None else {"reasoning_content": reasoning}
    return {"role": "assistant", "content": text, **thought, **more}


def calls(*asked: tuple[str, Any], reasoning: str | None = None, ids: str = "c") -> dict[str, Any]:
    """An assistant message with calls: (tool, arguments), arguments as a mapping or as text."""
    tool_calls = [
        {
            "id": f"{ids}{place}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for place, (name, given) in enumerate(asked)
    ]
    return {**says(None, reasoning), "tool_calls": tool_calls}


def body(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A chat completion around a message."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "finish_reason": "tool_calls" if "tool_calls" in message else "stop", "message": message}
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": usage, **more}


def response(output: Any, **more: Any) -> dict[str, Any]:
    """A response of the Responses API around its items."""
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    usage |= {"input_tokens_details": {"cached_tokens": 4}, "output_tokens_details": {"reasoning_tokens": 3}}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "error": None}
    return {**head, "incomplete_details": None, "output": output, "usage": usage, **more}


Script = Callable[[list[dict[str, Any]], dict[str, Any]], dict[str, Any]]


def provide(script: Script, name: str = "scripted") -> None:
    """Makes ``scripted/...`` answer by ``script(messages, parameters)``, which may raise."""

    class Scripted:
        async def answer(self, request: Request) -> Answer:
            said = body(script(request.messages, request.parameters()))
            choice = said["choices"][0]
            return Answer(
                message=choice["message"], usage=read_usage(said["usage"]), finish_reason=choice["finish_reason"]
            )

    OWN_MODELS[name] = Scripted


def in_turn(*messages: Any) -> Script:
    """A script that gives one message after the other, the last one for ever; an exception is raised."""

    def script(conversation: list[dict[str, Any]], _: dict[str, Any]) -> dict[str, Any]:
        turn = sum(message["role"] == "assistant" for message in conversation)
        # what was said last without calls is not in the conversation, only the request to answer is
        turn += sum(message["role"] == "user" for message in conversation) - 1
        message = messages[min(turn, len(messages) - 1)]
        if isinstance(message, BaseException):
            raise message
        return message

    return script


class Reply:
    """One answer of the server: a status, headers and a body; or ``cut`` or ``hang`` (seconds) instead."""

    def __init__(self, content: Any = b"", status: int = 200, cut: bool = False, hang: float = 0.0, **headers: str):
        self.content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.status, self.cut, self.hang = status, cut, hang
        self.headers = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}


class Server:
    """An OpenAI-compatible endpoint on loopback; ``answer(request, number)`` gives the reply to each request."""

    def __init__(self, answer: Callable[[dict[str, Any], int], Reply]):
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        server, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    number = len(server.requests)
                    server.requests.append(request)
                    server.headers.append({key.lower(): value for key, value in self.headers.items()})
                    server.times.append(time.monotonic())
                reply = answer(request, number)
                time.sleep(reply.hang)
                try:
                    self.send_response(reply.status)
                    for key, value in reply.headers.items():
                        self.send_header(key, value)
                    self.send_header("content-length", str(len(reply.content) + (9 if reply.cut else 0)))
                    self.end_headers()
                    self.wfile.write(reply.content)
                    self.wfile.flush()
                except OSError:
                    self.close_connection = True
                if reply.cut:
                    self.close_connection = True

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def __enter__(self) -> Server:
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()


class SlowEncoder:
    """Gives a text the numbers of its hash, slowly; it can be opened on the workers of a cluster."""

    def __reduce__(self):
        return SlowEncoder, ()

    def identity(self):
        return {"hash": "sha256"}

    def documents(self, texts):
        time.sleep(0.3)
        return self.queries(texts)

    def queries(self, texts):
        numbers = [np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in texts]
        vectors = np.array(numbers, np.float32) - 128
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
