from __future__ import annotations

import gzip
import json

import msgspec
import pytest
import yaml

from lrat_sim.artifact import write_records
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RecordError, UnknownName
from lrat_sim.formats.pairs import PAIR_FORMATS, export_pairs, pair_documents, read_pairs
from lrat_sim.records import Document, Negative, Pair, Provenance


@pytest.fixture
def corpus(tmp_path):
    documents = [Document(id=docid, title=f"Title {docid}", text=f"text of {docid}") for docid in "abcd"]
    return Corpus.build(tmp_path / "corpus", [*documents, Document(id="e", text="no title\nhere")])


def pair(number, positive, negatives, **more):
    weights = more.pop("weights", [1.0] * len(negatives))
    where = {"task": f"q{number % 2}", "trajectory": f"t{number}", "turn": number, "rank": 1, "rule": "relevant"}
    return Pair(
        query=f"query {number}",
        positive=positive,
        negatives=[Negative(docid=d, weight=w) for d, w in zip(negatives, weights, strict=True)],
        raw_weight=0.5,
        length=10 * number,
        provenance=Provenance(**where, canary=more.pop("canary", None)),
        **{"weight": 1.0, **more},
    )


@pytest.fixture
def pairs():
    return [
        pair(1, "a", ["b", "c"], weight=1.25),
        pair(2, "e", ["a"], weights=[0.3]),
        pair(3, "b", ["d"], satisfied=False),
        pair(4, "c", []),
        pair(5, "d", ["a"], canary="keep out"),
    ]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lrat_lines_have_its_fields_and_flag_rejected_rows(pairs, corpus, tmp_path):
    done = export_pairs(pairs, tmp_path / "out.jsonl", to="lrat", corpus=corpus)
    made = lines(tmp_path / "out.jsonl")
    assert list(made[0]) == ["query", "pos", "neg", "pos_id", "neg_id", "reasoning_len", "satisfied", "reweight_rate"]
    assert made[0] == {
        "query": "query 1",
        "pos": ["Title a\ntext of a"],
        "neg": ["Title b\ntext of b", "Title c\ntext of c"],
        "pos_id": ["a"],
        "neg_id": ["b", "c"],
        "reasoning_len": 10,
        "satisfied": True,
        "reweight_rate": 1.25,
    }
    assert [row["satisfied"] for row in made] == [True, True, False, True]
    assert (done.written, done.withheld, done.rejected) == (4, 1, 0)
    assert "1 withheld" in done.sentence()


def test_lrat_pairs_come_back_as_they_were_written(pairs, corpus, tmp_path):
    export_pairs(pairs, tmp_path / "one.jsonl", to="lrat", corpus=corpus)
    read = list(read_pairs(tmp_path / "one.jsonl"))
    assert [(p.query, p.positive, [n.docid for n in p.negatives], p.weight, p.length, p.satisfied) for p in read] == [
        (p.query, p.positive, [n.docid for n in p.negatives], p.weight, p.length, p.satisfied) for p in pairs[:4]
    ]
    theirs = Corpus.build(tmp_path / "theirs", pair_documents(tmp_path / "one.jsonl"))
    export_pairs(read, tmp_path / "two.jsonl", to="lrat", corpus=theirs)
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    ours = tmp_path / "ours.jsonl"
    export_pairs(tmp_path / "one.jsonl", ours, to="pairs")
    assert list(read_pairs(ours)) == read


def test_pairs_of_one_query_count_as_of_one_question(tmp_path):
    rows = [{"query": q, "pos": [p], "neg": ["n"]} for q, p in (("x", "1"), ("x", "2"), ("y", "3"))]
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = [p.provenance.task for p in read_pairs(tmp_path / "f.jsonl")]
    assert tasks[0] == tasks[1] != tasks[2]


def test_flagembedding_lines_have_scores_where_weights_matter(pairs, corpus, tmp_path):
    done = export_pairs(pairs, tmp_path / "out.jsonl", to="flagembedding", corpus=corpus, include_canaried=True)
    first, second, third, fourth = lines(tmp_path / "out.jsonl")
    assert (first["pos_scores"], first["neg_scores"]) == ([1.25], [1.0, 1.0])
    assert (second["pos_scores"], second["neg_scores"]) == ([1.0], [0.3])
    assert second["pos"] == ["no title\nhere"]
    assert list(third) == list(fourth) == ["query", "pos", "neg"]
    assert (done.written, done.withheld, done.rejected) == (4, 0, 1)


def test_tevatron_lines_have_passages_and_a_query_id_of_their_own(pairs, corpus, tmp_path):
    export_pairs(pairs, tmp_path / "out.jsonl", to="tevatron", corpus=corpus)
    made = lines(tmp_path / "out.jsonl")
    assert list(made[0]) == ["query_id", "query", "positive_passages", "negative_passages"]
    assert made[0]["positive_passages"] == [{"docid": "a", "title": "Title a", "text": "text of a"}]
    assert [each["docid"] for each in made[0]["negative_passages"]] == ["b", "c"]
    assert len({row["query_id"] for row in made}) == len(made) == 3


def test_tevatron_trains_on_ids_and_a_corpus_of_their_texts(pairs, corpus, tmp_path):
    from datasets import load_dataset

    done = export_pairs(pairs, tmp_path / "out", to="tevatron-corpus", corpus=corpus)
    assert (done.written, done.rejected, done.without_negatives, done.withheld) == (2, 1, 1, 1)
    # as its TrainDataset loads them: negatives are drawn from a line's own, which must have one
    train, texts = (
        load_dataset("json", data_files=str(tmp_path / "out" / f"{name}.jsonl"), split="train",
                     cache_dir=str(tmp_path / "cache"))
        for name in ("train", "corpus")
    )  # fmt: skip
    assert train[0] == {
        "query_id": "t1:1:1", "query_text": "query 1", "positive_document_ids": ["a"],
        "negative_document_ids": ["b", "c"],
    }  # fmt: skip
    assert texts.column_names == ["docid", "text"]
    known = {row["docid"]: row["text"] for row in texts}
    assert known["a"] == "Title a\ntext of a"
    assert {docid for row in train for docid in row["positive_document_ids"] + row["negative_document_ids"]} == {*known}
    assert len(known) == len(texts)


def test_parquet_loads_by_order_of_columns_with_a_card_and_where_rows_came_from(pairs, corpus, tmp_path):
    from datasets import load_dataset

    options = {"to": "sentence-transformers", "negatives": 3, "license": "cc-by-4.0", "name": "Mine"}
    done = export_pairs(pairs, tmp_path / "out", corpus=corpus, **options)
    assert (done.written, done.rejected, done.without_negatives, done.withheld) == (2, 1, 1, 1)
    made = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert made.column_names == ["anchor", "positive", "negative_1", "negative_2", "negative_3", "label"]
    assert made[0] == {
        "anchor": "query 1",
        "positive": "Title a\ntext of a",
        "negative_1": "Title b\ntext of b",
        "negative_2": "Title c\ntext of c",
        "negative_3": "Title b\ntext of b",
        "label": 1.25,
    }
    origin = load_dataset(str(tmp_path / "out"), "origin", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(origin) == len(made)
    assert origin[1]["trajectory_id"] == "t2"
    assert origin[1]["negative_weights"] == [0.3]
    head = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])
    assert (head["pretty_name"], head["license"]) == ("Mine", "cc-by-4.0")


def test_parquet_of_many_pairs_is_read_in_the_order_of_the_pairs(corpus, tmp_path, monkeypatch):
    from datasets import load_dataset

    monkeypatch.setattr("lrat_sim.formats.pairs.SHARD", 40)
    monkeypatch.setattr("lrat_sim.formats.pairs.ROW_GROUP", 20)
    export_pairs((pair(n, "a", ["b"]) for n in range(100)), tmp_path / "out", to="sentence-transformers", corpus=corpus)
    made = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert made["anchor"][:] == [f"query {n}" for n in range(100)]


@pytest.mark.parametrize("to", [name for name in PAIR_FORMATS if name != "pairs"])
def test_document_that_the_corpus_lacks_is_named_and_nothing_is_written(to, corpus, tmp_path):
    with pytest.raises(InputError, match="'z' of a pair is not in the corpus"):
        export_pairs([pair(1, "a", ["z"])], tmp_path / "out", to=to, corpus=corpus)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="needs the corpus"):
        export_pairs([pair(1, "a", ["b"])], tmp_path / "out", to=to)


def test_unknown_format_missing_source_and_target_that_is_something_else_are_refused(corpus, tmp_path):
    with pytest.raises(UnknownName, match="sentence-transformers"):
        export_pairs([], tmp_path / "out", to="csv")
    with pytest.raises(InputError, match="does not exist"):
        list(read_pairs(tmp_path / "nosuch.jsonl"))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no output of a conversion"):
        export_pairs([pair(1, "a", ["b"])], tmp_path / "notes.txt", to="lrat", corpus=corpus)
    assert (tmp_path / "notes.txt").read_text() == "mine"


LRAT = {"query": "q", "pos": ["p"], "neg": ["n"], "pos_id": ["1"], "neg_id": ["2"], "reasoning_len": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos": ["other"]}, "two texts for the document '1'"),
        ({"pos": [], "pos_id": []}, "line 2: not a pair: `pos` is empty"),
        ({"neg_id": ["1"]}, "line 2: not a pair: '1' is positive and negative at once"),
        ({"reweight_rate": float("nan")}, r"line 2: not a pair: .*`reweight_rate`"),
        ({"reweight_rate": -1}, r"line 2: not a pair: .*`reweight_rate`"),
        ({"pos_id": ["1", "3"]}, "line 2: not a pair: the field `pos_id` should be a list of ids, one for each"),
        ({"satisfied": "yes"}, r"line 2: not a pair: .*`satisfied`"),
        ({"query": None}, r"line 2: not a pair: .*`query`"),
        ({"neg": "n"}, r"line 2: not a pair: .*`neg`"),
    ],
)
def test_line_that_is_no_pair_is_named_with_its_field(tmp_path, change, message):
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps(LRAT) + "\n" + json.dumps(LRAT | change) + "\n")
    with pytest.raises(InputError, match=message):
        list(pair_documents(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positive": " "}, "has no positive"),
        ({"positive": "b"}, "'b' is positive and negative at once"),
        ({"weight": -0.5}, "the weight is -0.5"),
        ({"weights": [-1.0]}, "the weight of a negative is -1.0"),
        ({"weight": float("nan")}, "weight"),
    ],
)
def test_pair_of_ours_that_nobody_can_train_on_is_named(tmp_path, change, message):
    change = {"positive": "a", **change}
    write_records(tmp_path / "pairs.jsonl", [pair(1, "a", ["b"]), pair(2, negatives=["b"], **change)])
    with pytest.raises(RecordError, match=f"line 2: .*{message}"):
        list(read_pairs(tmp_path))


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("holder", [lambda text: text.encode("utf-8-sig"), lambda text: gzip.compress(text.encode())])
@pytest.mark.parametrize("indent", [None, 2])
def test_pairs_are_read_whatever_holds_them(ours, holder, indent, pairs, tmp_path):
    lrat = [{"query": each.query, "pos": [each.positive], "neg": ["x"], "pos_id": [each.positive]} for each in pairs]
    records = msgspec.to_builtins(pairs) if ours else lrat
    path = tmp_path / "pairs.json"
    path = path.with_name("pairs.json.gz") if holder("").startswith(b"\x1f") else path
    path.write_bytes(holder(json.dumps(records, indent=indent)))
    assert [(each.query, each.positive) for each in read_pairs(path)] == [(p.query, p.positive) for p in pairs]
