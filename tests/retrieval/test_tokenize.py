from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.retrieval.tokenize import tokenize


def test_english_is_stemmed_and_loses_stop_words_and_case() -> None:
    assert tokenize("The Running runners were RUNNING") == ["run", "runner", "were", "run"]


def test_accents_do_not_matter_in_latin_script() -> None:
    assert tokenize("Bedřich Havlíček, Ångström") == tokenize("bedrich havlicek angstrom")


def test_single_letters_and_numbers_are_words() -> None:
    assert tokenize("vitamin K 7") == ["vitamin", "k", "7"]


def test_scripts_without_spaces_are_cut_into_pairs() -> None:
    assert tokenize("東京大学") == ["東京", "京大", "大学"]
    assert tokenize("東") == ["東"]
    assert tokenize("NHK東京") == ["nhk", "東京"]


def test_vowel_signs_stay_in_their_word_and_voicing_marks_on_their_syllable() -> None:
    assert tokenize("हिन्दी भाषा") == ["हिन्दी", "भाषा"]
    assert tokenize("がか") == ["がか"] != tokenize("かか")


def test_text_without_words_has_none() -> None:
    assert tokenize(" ?!… _ 🦜 ") == []


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_words_of_two_texts_are_the_words_of_each(first: str, second: str) -> None:
    assert tokenize(f"{first} {second}") == tokenize(first) + tokenize(second)


def test_threads_stem_alike() -> None:
    text = " ".join(
        f"{stem}{ending}" for stem in ("nation", "relat", "hop", "conflat") for ending in ("al", "ing", "ed")
    )
    texts = [f"{text} unseen{number}ing" for number in range(200)]
    serial = [tokenize(t) for t in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenize, texts)) == serial
