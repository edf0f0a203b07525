import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from lrat_sim.corpus.documents import passage_text
from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.records import Task
from lrat_sim.retrieval.rerank import Scorer, open_rerank
from lrat_sim.retrieval.search_app import search_app
from lrat_sim.text import minilm_folder

QUERY = "film of Carla Ruiz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """MiniLM with an output drawn at random: scores without sense, but of its inputs alone."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("cross")
    CrossEncoder(str(minilm_folder()), num_labels=1, device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="module")
def rerank(folder, corpus, tmp_path_factory):
    return open_rerank(corpus, tmp_path_factory.mktemp("indexes"), base="bm25", model=str(folder), depth="10")


def test_hits_of_the_base_come_in_the_order_of_the_cross_encoder(rerank, opened, folder, corpus):
    found = opened("bm25").search([QUERY], 10)[0]
    texts = [(QUERY, passage_text(corpus.document(hit.docid))) for hit in found]
    scores = CrossEncoder(str(folder), device="cpu").predict(texts, activation_fn=torch.nn.Identity())
    expected = [found[place].docid for place in np.argsort(-scores)]
    hits = rerank.search([QUERY], 10)[0]
    assert [hit.docid for hit in hits] == expected
    assert expected != [hit.docid for hit in found]
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    assert [hit.rank for hit in hits] == list(range(1, 11))


def test_depth_bounds_what_can_come_up_and_k_what_is_given(rerank):
    assert rerank.search([QUERY], 3)[0] == rerank.search([QUERY], 10)[0][:3]
    assert len(rerank.search([QUERY], 20)[0]) == len(rerank.base.search([QUERY], 20)[0])


def test_answer_does_not_depend_on_the_other_queries(rerank):
    queries = [QUERY, "bridge", "", "opera of Dov Levi in town 2"]
    together = rerank.search(queries, 5)
    rerank.scorer.scores.cache_clear()
    assert together == [rerank.search([query], 5)[0] for query in queries]


def test_empty_query_keeps_the_order_of_the_base(rerank):
    assert rerank.search(["  "], 4) == rerank.base.search(["  "], 4)


def test_oracle_as_base_learns_the_task(folder, corpus, tmp_path):
    rerank = open_rerank(corpus, tmp_path, base="oracle", model=str(folder), depth=3)
    task = Task(id="t", question="?", evidence=["dilli"])
    assert "dilli" in [hit.docid for hit in rerank.for_task(task).search(["film"], 3)[0]]


def test_task_changes_nothing_where_the_base_knows_none_so_that_it_can_be_served(rerank):
    assert rerank.for_task(Task(id="t", question="?")) is rerank
    search_app(rerank)


def test_fingerprint_follows_base_depth_length_and_weights(rerank, folder, corpus, tmp_path):
    def of(**options):
        return open_rerank(
            corpus, tmp_path / "i", **{"base": "bm25", "model": folder, "depth": 10, **options}
        ).fingerprint

    assert of() == rerank.fingerprint
    other = CrossEncoder(str(folder), device="cpu")
    with torch.no_grad():
        next(other.parameters()).add_(0.1)
    other.save_pretrained(str(tmp_path / "other"), create_model_card=False)
    changed = [of(base="oracle"), of(depth=11), of(max_length=40), of(model=tmp_path / "other")]
    assert len({rerank.fingerprint, *changed}) == 5


def test_score_that_is_no_number_is_the_retriever_s_failure(folder):
    broken = CrossEncoder(str(folder), device="cpu")
    with torch.no_grad():
        for parameter in broken.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(RetrieverError, match="no finite score"):
        Scorer(broken, "broken").scores("a", ("b",))


def test_half_of_a_surrogate_pair_is_read_like_any_text(rerank):
    assert rerank.search(["film \ud800"], 2)[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "lacks `model`"),
        ({"model": "MODEL", "depth": 0}, "depth"),
        ({"model": "EMPTY"}, "cannot be loaded"),
        ({"model": "TWO"}, "has 2 outputs"),
        ({"model": "MODEL", "base": "nothing"}, "nothing"),
    ],
)
def test_bad_options_are_refused(options, message, folder, corpus, tmp_path):
    (tmp_path / "empty").mkdir()
    places = {"MODEL": folder, "EMPTY": tmp_path / "empty", "TWO": tmp_path / "two"}
    if options.get("model") == "TWO":
        two = CrossEncoder(str(minilm_folder()), num_labels=2, device="cpu")
        two.save_pretrained(str(tmp_path / "two"), create_model_card=False)
    given = {key: str(places.get(value, value)) if key == "model" else value for key, value in options.items()}
    with pytest.raises(InputError, match=message):
        open_rerank(corpus, tmp_path / "indexes", **{"base": "bm25", **given})
