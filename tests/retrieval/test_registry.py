import os
import subprocess
import sys

import pytest

from lrat_sim.errors import InputError, UnknownName
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.registry import parse_spec
from lrat_sim.text import minilm_folder

PLUGIN = """
from lrat_sim.records import Hit
from lrat_sim.retrieval import Retriever

class Alphabetical(Retriever):
    def __init__(self, corpus, indexes, *, progress=None, reverse="no"):
        self.corpus, self.reverse = corpus, reverse

    def search(self, queries, k):
        ids = sorted(self.corpus.ids())[:k]
        return [[Hit(docid=docid, score=-float(rank), rank=rank) for rank, docid in enumerate(ids, 1)] for _ in queries]

    def document(self, docid):
        return self.corpus.document(docid)

    def describe(self):
        return {"kind": "alphabetical", "reverse": self.reverse}

def nothing(corpus, indexes, *, progress=None):
    return None
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    installed = tmp_path / "site"
    card = installed / "plugin_of_a_user-1.0.dist-info"
    card.mkdir(parents=True)
    (installed / "plugin_of_a_user.py").write_text(PLUGIN)
    (card / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-a-user\nVersion: 1.0\n")
    (card / "entry_points.txt").write_text(
        "[lrat_sim.retrievers]\nalphabetical = plugin_of_a_user:Alphabetical\n"
        "broken = plugin_of_a_user:Missing\nnothing = plugin_of_a_user:nothing\n"
    )
    monkeypatch.syspath_prepend(installed)


@pytest.mark.usefixtures("plugin")
def test_a_users_class_is_a_name_with_options(corpus, tmp_path):
    retriever = open_retriever("alphabetical:reverse=yes", corpus, tmp_path)
    assert [hit.docid for hit in retriever.search(["anything"], 2)[0]] == ["d00", "d01"]
    assert retriever.describe()["reverse"] == "yes"
    with pytest.raises(InputError, match=r"no option 'backwards'; it has reverse\."):
        open_retriever("alphabetical:backwards=yes", corpus, tmp_path)
    fused = open_retriever("hybrid:bm25+alphabetical", corpus, tmp_path)
    assert fused.search(["lighthouse"], 3)[0]


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(("name", "problem"), [("broken", "cannot be loaded"), ("nothing", "gave a NoneType")])
def test_a_users_entry_point_that_gives_no_retriever_is_named(name, problem, corpus, tmp_path):
    with pytest.raises(InputError, match=f"{name}.*{problem}"):
        open_retriever(name, corpus, tmp_path)


def test_an_unknown_name_lists_the_known_ones(corpus, tmp_path):
    with pytest.raises(UnknownName, match=r"no retriever is called 'voyager'; known are .*bm25"):
        open_retriever("voyager", corpus, tmp_path)


@pytest.mark.parametrize("spec", ["bm25:k2=3", "dense:max_len=64", "hybrid:members=bm25+dense,depths=3", "oracle:a=1"])
def test_an_unknown_option_lists_the_allowed_ones(spec, corpus, tmp_path):
    with pytest.raises(InputError, match=r"there is no `\w+`; it has (engine|index|members)"):
        open_retriever(spec, corpus, tmp_path)


@pytest.mark.parametrize("spec", ["bm25:k1", "bm25:k1=1,,b=0.3", "bm25:=3", "bm25: =3"])
def test_a_spec_that_is_not_well_formed_is_refused_and_one_without_options_is_plain(spec):
    with pytest.raises(InputError, match="write name=value"):
        parse_spec(spec)
    assert parse_spec("bm25:") == ("bm25", {})


def test_a_model_folder_is_a_dense_retriever(corpus, tmp_path, opened):
    folder = minilm_folder()
    found = open_retriever(folder, corpus, tmp_path)
    assert found.fingerprint == opened("dense").fingerprint
    assert parse_spec(f"{folder}:max_length=64") == ("dense", {"model": str(folder), "max_length": "64"})


def test_a_folder_without_a_model_is_refused(corpus, tmp_path):
    with pytest.raises(InputError, match="holds no encoder"):
        open_retriever(tmp_path, corpus, tmp_path)


def test_a_name_wins_over_a_folder_called_the_same(tmp_path, monkeypatch):
    (tmp_path / "bm25").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_spec("bm25:k1=1") == ("bm25", {"k1": "1"})


def test_opening_bm25_loads_neither_torch_nor_litellm(corpus, tmp_path):
    script = (
        "import sys; from pathlib import Path; from lrat_sim.corpus.documents import Corpus;"
        "from lrat_sim.retrieval import open_retriever;"
        f"corpus = Corpus.open(Path({str(corpus.folder)!r}));"
        f"open_retriever('bm25', corpus, Path({str(tmp_path)!r})).search(['film'], 3);"
        "print([name for name in ('torch', 'litellm', 'transformers', 'faiss') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.strip() == "[]", done.stderr


def test_a_factory_string_keeps_its_commas():
    spec = "dense:index=IVF4096,PQ64,search_parameters=nprobe=32,candidates=200"
    options = {"index": "IVF4096,PQ64", "search_parameters": "nprobe=32", "candidates": "200"}
    assert parse_spec(spec) == ("dense", options)
