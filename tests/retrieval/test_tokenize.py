from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.retrieval.tokenize import tokenize


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
