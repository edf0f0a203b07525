"""A small encyclopedia, and a server on loopback that speaks OpenAI's /v1/embeddings."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
from engines import Elastic, EngineServer

from lrat_sim.corpus.documents import Corpus
from lrat_sim.records import Document
from lrat_sim.retrieval import Retriever, open_retriever
from lrat_sim.retrieval.server import serving

PEOPLE = ["Ada Holm", "Bedřich Havlíček", "Carla Ruiz", "Dov Levi", "Else Lund", "Farid Aziz"]
WORKS = ["novel", "film", "opera", "bridge", "theory"]


def encyclopedia():
    documents = [
        Document(
            id=f"d{number:02}",
            title=f"The {work} of {person}",
            text=f"{person} finished the {work} in {1900 + number} after {number} years of work in town {number % 4}.",
        )
        for number, (person, work) in enumerate((person, work) for person in PEOPLE for work in WORKS)
    ]
    twin = "A lighthouse stands on the northern cape and warns passing ships of the reef."
    return [
        *documents,
        Document(id="twin-b", text=twin),
        Document(id="twin-a", text=twin),
        Document(id="tokyo", title="東京大学", text="東京大学は日本の東京にある国立大学である。"),
        Document(id="moskva", title="Москва", text="Москва является столицей России и крупнейшим городом."),
        Document(id="dilli", title="दिल्ली", text="दिल्ली भारत की राजधानी है।"),
        Document(id="krungthep", title="กรุงเทพ", text="กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย"),
    ]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    return Corpus.build(tmp_path_factory.mktemp("corpus"), encyclopedia())


class Embeddings:
    """Embeds a text by hashing its words; ``failures`` are the statuses of the next requests, first to last."""

    def __init__(self, reply):
        self._reply = reply
        self.forget()

    def forget(self):
        self.texts: list[str] = []
        self.requests = 0
        self.failures: list[int] = []
        self.retry_after: str | None = None
        self.broken: Callable[[dict[str, Any]], dict[str, Any]] = lambda answer: answer

    def answer(self, body, _):
        self.requests += 1
        if status := self.failures.pop(0) if self.failures else 0:
            headers = {} if self.retry_after is None else {"retry_after": self.retry_after}
            return self._reply({"error": {"message": f"planned {status}"}}, status=status, **headers)
        self.texts += body["input"]
        data = [
            {"object": "embedding", "index": index, "embedding": vector_of(text, body.get("dimensions") or 48)}
            for index, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return self._reply(self.broken({"object": "list", "model": body["model"], "data": data[::-1], "usage": usage}))


def vector_of(text, size):
    vector = np.full(size, 0.01)
    for word in text.casefold().split():
        vector[int(hashlib.md5(word.encode()).hexdigest(), 16) % size] += 1.0
    return vector.tolist()


@pytest.fixture(scope="session")
def shared_server(scripted):
    embeddings = Embeddings(scripted.Reply)
    with scripted.Server(embeddings.answer) as server:
        embeddings.url = server.url
        yield embeddings


@pytest.fixture
def embedding_server(shared_server):
    shared_server.forget()
    return shared_server


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Small models with random weights by the retriever that serves them, and an inference-free sparse one."""
    folder = tmp_path_factory.mktemp("models")
    masked = small_models.save_masked(folder / "masked")
    return {
        "multivector": small_models.save_multivector(folder / "multivector"),
        "sparse": small_models.save_splade(folder / "splade", masked),
        "inference-free": small_models.save_inference_free(folder / "free", masked),
        "masked": masked,
    }


@pytest.fixture(scope="session")
def opened(corpus, shared_server, small, tmp_path_factory):
    """Opens each spec once for the whole session, with what it needs (:func:`needed`), engines on loopback."""
    indexes: Path = tmp_path_factory.mktemp("indexes")
    ready: dict[str, Retriever] = {}
    with ExitStack() as running:

        def open_once(spec):
            if spec not in ready:
                options = needed(spec, shared_server, small)
                if spec.startswith(("elasticsearch", "opensearch")):
                    server = EngineServer(Elastic(spec.startswith("opensearch")).answer)
                    options["url"] = running.enter_context(server).url
                ready[spec] = open_retriever(spec, corpus, indexes, **options)
                running.callback(ready[spec].close)
            return ready[spec]

        yield open_once


@pytest.fixture(scope="session")
def bm25(opened):
    return opened("bm25")


@pytest.fixture(scope="session")
def url(bm25):
    """Of a search server over bm25."""
    with serving(bm25) as url:
        yield url


@pytest.fixture
def open_fresh(corpus, embedding_server, small, tmp_path):
    """Opens a spec with its index under ``tmp_path``, with further options and over another corpus if given."""

    def open_in(spec, over=corpus, **options):
        return open_retriever(spec, over, tmp_path / "indexes", **{**needed(spec, embedding_server, small), **options})

    return open_in


def needed(spec, server, small):
    """The options without which a spec cannot be opened: a small model, or the server on loopback."""
    if spec in small:
        return {"model": str(small[spec])}
    if spec != "embedding-api":
        return {}
    return {"model": "openai/loopback", "api_base": server.url, "api_key_env": "LOOPBACK_KEY"}


@pytest.fixture(scope="session", autouse=True)
def loopback_key():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOPBACK_KEY", "anything")
        yield


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"
