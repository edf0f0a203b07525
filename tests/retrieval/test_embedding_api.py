import time

import pytest

from lrat_sim.errors import InputError, RetrieverError


def test_documents_are_sent_once_in_batches_and_queries_once_each(open_fresh, embedding_server, corpus):
    retriever = open_fresh("embedding-api", batch_size=10)
    assert embedding_server.requests == 4
    assert len(embedding_server.texts) == len(corpus)
    retriever.search(["a film", "a bridge", "a film"], 3)
    retriever.search(["a film"], 5)
    assert sorted(embedding_server.texts[len(corpus) :]) == ["a bridge", "a film"]  # sent at once, in any order


def test_answers_are_put_in_order_by_their_index(open_fresh, corpus):
    retriever = open_fresh("embedding-api")  # the server answers in reverse
    for docid in ("d03", "d17"):
        assert retriever.search([corpus.document(docid).text], 1)[0][0].docid == docid


def test_a_server_that_another_name_of_litellm_reaches_gives_the_same_vectors(open_fresh, embedding_server):
    own = open_fresh("embedding-api", dimensions=24)
    through_litellm = open_fresh("embedding-api", dimensions=24, model="hosted_vllm/loopback")
    assert through_litellm.search(["a film", "a bridge"], 3) == own.search(["a film", "a bridge"], 3)
    embedding_server.requests, embedding_server.failures, embedding_server.retry_after = 0, [429, 500], "0"
    assert through_litellm.search(["after faults"], 1)[0]
    assert embedding_server.requests == 3
    embedding_server.failures = [401]
    with pytest.raises(RetrieverError, match="planned 401"):
        through_litellm.search(["after a refusal"], 1)


def test_prompts_are_put_before_texts_and_long_texts_cut(open_fresh, embedding_server):
    retriever = open_fresh("embedding-api", query_prompt="query: ", document_prompt="passage: ", max_length=3)
    retriever.search(["one two three four"], 1)
    assert all(text.startswith("passage: ") for text in embedding_server.texts[:-1])
    assert embedding_server.texts[-1] == "query: one two three"


def test_passing_faults_are_tried_again_and_lasting_ones_are_not(open_fresh, embedding_server):
    retriever = open_fresh("embedding-api", attempts=4)
    embedding_server.retry_after = "0"
    for failures, requests in (([429, 500, 503], 4), ([401], 1), ([400], 1)):
        embedding_server.requests, embedding_server.failures = 0, list(failures)
        query = f"query after {failures}"
        if requests > 1:
            assert retriever.search([query], 1)[0]
        else:
            with pytest.raises(RetrieverError, match=f"planned {failures[0]}"):
                retriever.search([query], 1)
        assert embedding_server.requests == requests


def test_an_answer_beyond_any_bound_is_a_failure_that_says_so(open_fresh, monkeypatch):
    retriever = open_fresh("embedding-api", attempts=1)
    monkeypatch.setattr("lrat_sim.models.transport.MOST_BYTES", 50)
    with pytest.raises(RetrieverError, match="larger than 50 bytes"):
        retriever.search(["a film"], 1)


def test_tries_are_bounded_and_wait_as_told(open_fresh, embedding_server):
    retriever = open_fresh("embedding-api", attempts=3)
    embedding_server.requests, embedding_server.failures, embedding_server.retry_after = 0, [429] * 10, "0.2"
    started = time.monotonic()
    with pytest.raises(RetrieverError, match="planned 429"):
        retriever.search(["a film"], 1)
    assert embedding_server.requests == 3
    assert time.monotonic() - started >= 0.4


def test_an_outage_while_indexing_keeps_what_is_done(open_fresh, embedding_server, corpus):
    def fail_after_two_shards(done, total, what):
        if done == 20:
            embedding_server.failures = [400]

    with pytest.raises(InputError, match=r"unfinished: .*planned 400.*rerun the same command"):
        open_fresh("embedding-api", shard_rows=10, progress=fail_after_two_shards)
    assert len(embedding_server.texts) == 20
    open_fresh("embedding-api", shard_rows=10)
    assert len(embedding_server.texts) == len(corpus)


def changed(change):
    """An answer whose list of vectors is another."""
    return lambda answer: {**answer, "data": change([dict(item) for item in answer["data"]])}


def each(**fields):
    """An answer in which every vector has other fields; a function is given the vector."""
    return changed(
        lambda items: [
            item | {name: value(item["embedding"]) if callable(value) else value for name, value in fields.items()}
            for item in items
        ]
    )


BROKEN = {
    "too few": (changed(lambda items: items[1:]), "vectors for"),
    "too many": (changed(lambda items: [*items, items[0] | {"index": len(items)}]), "vectors for"),
    "one index twice": (changed(lambda items: [*items, items[0]]), "vectors for"),
    "indices from 1": (changed(lambda items: [item | {"index": item["index"] + 1} for item in items]), "numbered"),
    "no numbers": (each(embedding=["x"]), "not a table of numbers"),
    "nothing in them": (each(embedding=[]), "not a table of numbers"),
    "other dimensions": (each(embedding=lambda vector: vector[:-1]), "dimensions where .* were expected"),
    "zeros": (each(embedding=lambda vector: [0.0] * len(vector)), "all zeros"),
    "no number": (each(embedding=lambda vector: [float("nan"), *vector[1:]]), "without finite numbers"),
    "beyond numbers": (each(embedding=lambda vector: [*vector[1:], 1e308 * 10]), "without finite numbers"),
}


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(("broken", "said"), BROKEN.values(), ids=BROKEN)
def test_an_answer_by_which_nothing_can_be_ranked_is_a_failure_of_the_retriever(
    broken, said, open_fresh, embedding_server
):
    retriever = open_fresh("embedding-api", attempts=1)
    embedding_server.broken = broken
    with pytest.raises(RetrieverError, match=said):
        retriever.search(["a film"], 1)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("broken", ["one index twice", "zeros", "no number"])
def test_documents_are_not_indexed_by_such_answers(broken, open_fresh, embedding_server):
    embedding_server.broken, said = BROKEN[broken]
    with pytest.raises(InputError, match=said):
        open_fresh("embedding-api", attempts=1)


def test_documents_are_not_indexed_by_vectors_of_several_dimensions(open_fresh, embedding_server):
    def shorter_every_other_time(answer):
        cut = embedding_server.requests % 2
        return {**answer, "data": [item | {"embedding": item["embedding"][cut:]} for item in answer["data"]]}

    embedding_server.broken = shorter_every_other_time
    with pytest.raises(InputError, match=r"dimensions where .* were expected"):
        open_fresh("embedding-api", attempts=1, batch_size=10)


def test_a_missing_key_is_named(open_fresh, monkeypatch):
    monkeypatch.delenv("LOOPBACK_KEY")
    with pytest.raises(InputError, match="LOOPBACK_KEY is not set"):
        open_fresh("embedding-api")


def test_the_fingerprint_holds_the_model_and_not_the_place(open_fresh):
    described = open_fresh("embedding-api").describe()
    assert described["model"] == "openai/loopback"
    assert "127.0.0.1" not in str(described)
    assert "anything" not in str(described)
