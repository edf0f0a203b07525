"""Search engines on loopback that answer in the documented form, and refuse requests that are not in it."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Asked(NamedTuple):
    """A request; ``path`` has its segments unquoted."""

    method: str
    path: list[str]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    def lines(self) -> list[Any]:
        assert self.headers["content-type"] == "application/x-ndjson"
        assert self.body.endswith(b"\n")
        return [json.loads(line) for line in self.body.splitlines()]


Replied = tuple[int, Any]


class EngineServer:
    """Any engine: ``answer`` gives status and content for a request; ``failures`` are the statuses of the next ones.

    Requests without the header in ``key`` are refused with 401.
    """

    def __init__(self, answer: Callable[[Asked], Replied]):
        self.answer, self.asked, self.failures = answer, [], []  # type: Any, list[Asked], list[int]
        self.key: tuple[str, str] | None = None
        server, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def _any(self) -> None:
                parts = urlsplit(self.path)
                asked = Asked(
                    self.command,
                    [unquote(part) for part in parts.path.strip("/").split("/")],
                    {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(int(self.headers.get("content-length", 0))),
                )
                with lock:
                    server.asked.append(asked)
                    status, content = server.respond(asked)
                kind = "text/html; charset=utf-8" if isinstance(content, str) else "application/json"
                body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", kind)
                if 300 <= status < 400:
                    self.send_header("location", content)
                self.send_header("retry-after", "0")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_HEAD = _any  # noqa: N815  # as the base class calls them

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def respond(self, asked: Asked) -> Replied:
        if self.failures:
            return self.failures.pop(0), {"error": {"reason": "planned"}, "status": 0}
        if self.key is not None and asked.headers.get(self.key[0]) != self.key[1]:
            return 401, {"error": {"type": "security_exception", "reason": "unable to authenticate"}, "status": 401}
        try:
            return self.answer(asked)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            return 400, {"error": {"type": "parsing_exception", "reason": repr(error)}, "status": 400}

    def __enter__(self) -> EngineServer:
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def overlap(query: str, text: str) -> float:
    """Stands for BM25: shared words, the rarer the document's words the more."""
    own = words(text)
    return sum(own.count(word) for word in words(query)) / math.sqrt(len(own) + 1)


class Elastic:
    """The part of Elasticsearch's REST interface that is asked for, or OpenSearch's where it differs."""

    def __init__(self, opensearch: bool = False):
        self.opensearch = opensearch
        self.indexes: dict[str, dict[str, Any]] = {}

    def put(self, name: str, documents: dict[str, dict[str, Any]]) -> None:
        """An index that somebody else has made."""
        self.indexes[name] = {"mapping": None, "documents": documents, "seen": len(documents)}

    def answer(self, asked: Asked) -> Replied:
        name, *rest = asked.path
        action = (asked.method, *rest)
        if action == ("PUT",):
            if name in self.indexes:
                return 400, {"error": {"type": "resource_already_exists_exception", "reason": "exists"}, "status": 400}
            self.indexes[name] = {"mapping": self._checked(asked.json()), "documents": {}, "seen": 0}
            return 200, {"acknowledged": True, "shards_acknowledged": True, "index": name}
        if name not in self.indexes:
            reason = f"no such index [{name}]"
            return 404, {"error": {"type": "index_not_found_exception", "reason": reason}, "status": 404}
        index = self.indexes[name]
        match action:
            case ("HEAD",):
                return 200, {}
            case ("POST", "_refresh"):
                index["seen"] = len(index["documents"])
                return 200, {"_shards": {"total": 1, "successful": 1, "failed": 0}}
            case ("GET", "_count"):
                return 200, {"count": index["seen"], "_shards": {"total": 1}}
            case ("POST", "_bulk"):
                return 200, self._bulk(index, asked.lines())
            case ("POST", "_mget"):
                found = [(docid, index["documents"].get(docid)) for docid in asked.json()["ids"]]
                docs = [
                    {"_index": name, "_id": docid, "found": bool(own), **({"_source": own} if own else {})}
                    for docid, own in found
                ]
                return 200, {"docs": docs}
            case ("POST", "_search"):
                return 200, {"hits": {"hits": self._search(index, asked.json())}}
        return 405, {"error": {"reason": f"no {action}"}}

    def _checked(self, body: dict[str, Any]) -> dict[str, Any]:
        assert {*body} == {"settings", "mappings"}
        properties = body["mappings"]["properties"]
        kinds = {"text", "keyword", "knn_vector" if self.opensearch else "dense_vector"}
        assert {field["type"] for field in properties.values()} <= kinds
        for field in properties.values():
            assert field["type"] != "knn_vector" or (
                field["dimension"] > 0 and body["settings"]["index"]["knn"] is True
            )
            assert field["type"] != "dense_vector" or (field["dims"] > 0 and field["index"] is True)
        return properties

    def _bulk(self, index: dict[str, Any], lines: list[Any]) -> dict[str, Any]:
        assert len(lines) % 2 == 0
        items = []
        for action, source in zip(lines[::2], lines[1::2], strict=True):
            docid = action["index"]["_id"]
            if len(docid.encode()) > 512:
                error = {"type": "illegal_argument_exception", "reason": "id is too long"}
                items.append({"index": {"_id": docid, "status": 400, "error": error}})
            else:
                index["documents"][docid] = source
                items.append({"index": {"_id": docid, "status": 201, "result": "created"}})
        return {"took": 1, "errors": any("error" in item["index"] for item in items), "items": items}

    def _search(self, index: dict[str, Any], body: dict[str, Any]) -> list[dict[str, Any]]:
        assert 1 <= body["size"] <= 10_000
        assert {*body} <= {"query", "knn", "size", "_source", "sort", "track_scores"}
        nearest, query = body.get("knn"), body.get("query", {})
        if nearest is not None:
            assert not self.opensearch
            assert {*nearest} == {"field", "query_vector", "k", "num_candidates"}
            assert nearest["k"] <= nearest["num_candidates"] <= 10_000
            field, vector = nearest["field"], nearest["query_vector"]
        elif "knn" in query:
            assert self.opensearch
            ((field, own),) = query["knn"].items()
            assert {*own} == {"vector", "k"}
            vector = own["vector"]
        scored = []
        for docid, source in index["documents"].items():
            if nearest is not None or "knn" in query:
                value = (1 + sum(a * b for a, b in zip(vector, source[field], strict=True))) / 2
            elif "match" in query:
                ((field, own),) = query["match"].items()
                value = overlap(
                    own["query"], f"{source['title']} {source['text']}" if field == "contents" else source[field]
                )
            else:
                own = query["multi_match"]
                value = max(overlap(own["query"], source[field]) for field in own["fields"])
            if value > 0:
                scored.append((value, docid, source))
        # by score alone, unless ids are asked for: in the reverse of the order in which they came
        scored = sorted(scored[::-1], key=lambda hit: -hit[0])
        if body.get("sort") == ["_score", "docid"]:
            scored.sort(key=lambda hit: (-hit[0], hit[2]["docid"]))
        hits = []
        for value, docid, source in scored[: body["size"]]:
            shown = {name: source[name] for name in body["_source"] or () if name in source}
            hits.append({"_id": docid, "_score": value, **({"_source": shown} if body["_source"] else {})})
        return hits
