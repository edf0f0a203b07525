"""Lexical search: its words, its scores, its index."""

from concurrent.futures import ThreadPoolExecutor

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError
from lrat_sim.records import Document
from lrat_sim.retrieval import bm25
from lrat_sim.retrieval.bm25 import tokenize

QUERIES = ["the opera of Ada Holm", "finished the bridge in 1917", "town 3 town 3 film", "東京"]


def test_scores_are_those_of_bm25s_on_the_whole_corpus(opened, corpus):
    reference = bm25s.BM25(k1=0.9, b=0.4, method="lucene")
    reference.index([tokenize(passage_text(document)) for document in corpus], show_progress=False)
    for query, hits in zip(QUERIES, opened("bm25").search(QUERIES, len(corpus)), strict=True):
        scores = reference.get_scores([word for word in tokenize(query) if word in reference.vocab_dict])
        assert len(hits) == np.count_nonzero(scores)
        assert [hit.score for hit in hits] == pytest.approx([scores[corpus.row(hit.docid)] for hit in hits], rel=1e-5)


def test_the_cut_into_shards_changes_nothing(corpus, tmp_path, opened, monkeypatch):
    monkeypatch.setattr(bm25, "SHARD_ROWS", 7)
    sharded = bm25.open_bm25(corpus, tmp_path)
    assert not list((tmp_path / "bm25").glob("postings-*"))
    assert sharded.search(QUERIES, 40) == opened("bm25").search(QUERIES, 40)


def test_documents_without_a_word_of_the_query_are_no_hits(opened):
    assert [hit.docid for hit in opened("bm25").search(["lighthouse zzqqxx"], 30)[0]] == ["twin-a", "twin-b"]
    assert opened("bm25").search(["zzqqxx", ""], 30) == [[], []]


def test_arrays_are_memory_mapped(corpus, tmp_path, monkeypatch):
    loaded, load = [], np.load
    monkeypatch.setattr(np, "load", lambda *of, **how: loaded.append(load(*of, **how)) or loaded[-1])
    retriever = bm25.open_bm25(corpus, tmp_path)
    loaded.clear()  # the parts of which the index was made
    assert bm25.open_bm25(corpus, tmp_path).search(QUERIES, 1) == retriever.search(QUERIES, 1)
    assert [isinstance(array, np.memmap) for array in loaded] == [True] * 3


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 3000),
    k=st.integers(1, 30),
    distinct=st.integers(1, 500),
    filled=st.floats(0, 1),
)
def test_candidates_hold_every_row_of_the_best_and_few_more(seed, size, k, distinct, filled):
    draw = np.random.default_rng(seed)
    scores = (draw.integers(1, distinct + 1, size) * (draw.random(size) < filled)).astype(np.float32)
    found = bm25._candidates(scores, min(k, size))
    best = np.sort(scores)[-min(k, size)]
    assert set(np.flatnonzero((scores >= best) & (scores > 0))) <= set(found)
    assert len(found) == len(set(found))
    assert (scores[found] > 0).all()


def test_a_corpus_without_a_single_word_can_be_searched(tmp_path):
    wordless = Corpus.build(tmp_path / "corpus", [Document(id="a", text="…"), Document(id="b", text="!")])
    for engine in ("bm25s", "rank-bm25"):
        assert bm25.open_bm25(wordless, tmp_path / "indexes", engine=engine).search(["a film", "…"], 3) == [[], []]


def test_a_killed_build_is_begun_again(corpus, tmp_path, opened):
    def kill(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bm25.open_bm25(corpus, tmp_path, progress=kill)
    assert bm25.open_bm25(corpus, tmp_path).search(QUERIES, 9) == opened("bm25").search(QUERIES, 9)


@pytest.mark.parametrize("options", [{"b": 1.5}, {"k1": -1}, {"engine": "lucene"}, {"k1": "much"}])
def test_a_setting_out_of_range_is_refused_by_name(corpus, tmp_path, options):
    with pytest.raises(InputError, match=f"{next(iter(options))}"):
        bm25.open_bm25(corpus, tmp_path, **options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Running runners were RUNNING", ["run", "runner", "were", "run"]),  # stemmed, without stop words and case
        ("Bedřich Havlíček, Ångström", tokenize("bedrich havlicek angstrom")),  # accents do not matter in Latin script
        ("vitamin K 7", ["vitamin", "k", "7"]),
        ("東京大学", ["東京", "京大", "大学"]),  # scripts without spaces are cut into pairs
        ("東", ["東"]),
        ("NHK東京", ["nhk", "東京"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),  # vowel signs stay in their word
        ("がか", ["がか"]),  # voicing marks stay on their syllable
        ("かか", ["かか"]),
        (" ?!… _ 🦜 ", []),
    ],
)
def test_words_of_a_text(text, words):
    assert tokenize(text) == words


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_words_of_two_texts_are_the_words_of_each(first, second):
    assert tokenize(f"{first} {second}") == tokenize(first) + tokenize(second)


def test_threads_stem_alike():
    text = " ".join(
        f"{stem}{ending}" for stem in ("nation", "relat", "hop", "conflat") for ending in ("al", "ing", "ed")
    )
    texts = [f"{text} unseen{number}ing" for number in range(200)]
    serial = [tokenize(t) for t in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenize, texts)) == serial
