"""The encoders of a comparison read texts of one length."""

import pytest

from lrat_sim.retrieval.registry import parse_spec
from lrat_sim.study import alike


def read(spec, options):
    """What an opened spec would read."""
    return int({**parse_spec(spec)[1], **options}["max_length"])


@pytest.mark.parametrize(
    ("specs", "asked", "lengths"),
    [
        (["dense", "short:48"], None, [48, 48]),
        (["dense", "short:48", "short-2:96"], None, [96, 96, 96]),
        (["dense", "short:48"], 64, [64, 64]),
        (["dense:max_length=32", "short:48"], None, [32, 32]),
        (["dense:max_length=32", "short:48,max_length=40", "dense"], None, [32, 40, 48]),
        (["dense", "long"], None, [256, 256]),
        (["embedding-api:model=m", "dense"], None, [256, 256]),
    ],
)
def test_one_length_for_all_the_trained_models_unless_one_is_asked_for(encoder_folder, specs, asked, lengths):
    def spec(text):
        name, _, rest = text.partition(":")
        if not name.startswith(("short", "long")):
            return text
        trained, _, option = rest.partition(",")
        folder = encoder_folder(name, own=int(trained or 512), trained=int(trained) if trained else None)
        return f"{folder}:{option}" if option else folder

    named = {f"arm-{number}": spec(text) for number, text in enumerate(specs)}
    found = alike(named, asked)
    assert [read(named[arm], options) for arm, options in found.items()] == lengths


def test_nothing_is_set_where_no_encoder_or_one_kind_of_them_runs():
    assert alike({"a": "bm25", "b": "oracle"}) == {"a": {}, "b": {}}
    assert alike({"a": "bm25", "b": "dense", "c": "dense:index=faiss"}) == {"a": {}, "b": {}, "c": {}}


def test_what_a_retriever_is_made_of_reads_the_same(encoder_folder):
    trained = encoder_folder("trained", own=48, trained=48)
    specs = {"t": trained, "r": "rerank:model=x", "h": f"hybrid:bm25+{trained}", "b": "rerank:model=x,base=bm25"}
    assert alike(specs) == {
        "t": {"max_length": 48},
        "r": {"base": "dense:max_length=48"},
        "h": {"members": f"bm25+{trained}:max_length=48"},
        "b": {},
    }
