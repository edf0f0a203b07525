"""What retrievers read of a search: each text word for word, in search and mining alike, here and over HTTP."""

import json
from collections.abc import Sequence

import pytest

from lrat_sim.agent.profile import load_agent
from lrat_sim.errors import InputError
from lrat_sim.mining.episodes import episodes
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.rules import query_text
from lrat_sim.mining.run import PAIRS, mine_run
from lrat_sim.records import Call, Hit, Pair, decode
from lrat_sim.retrieval import Retriever, open_retriever
from lrat_sim.retrieval.hybrid import HybridRetriever
from lrat_sim.retrieval.query_text import QUERY_TEXTS, Asked, EarlierSearch, asked_in_run, text_of, texts_read
from lrat_sim.retrieval.result_format import LONGEST_QUERY
from lrat_sim.retrieval.server import serving
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.rollout.run import rollout

ASKED = Asked(
    "Maren Oxley birthplace",
    question="Where was the designer of Brindle Lighthouse born?",
    reasoning="The designer is Maren Oxley.\n\nWhere was she born?",
    earlier=[EarlierSearch("Brindle Lighthouse designer"), EarlierSearch("Brindle Lighthouse")],
)
EXAMPLES = {
    "query": "Maren Oxley birthplace",
    "history": "Question: Where was the designer of Brindle Lighthouse born?\n"
    "Reasoning: The designer is Maren Oxley.\n\nWhere was she born?\nQuery: Maren Oxley birthplace\n"
    "Earlier queries: Brindle Lighthouse designer; Brindle Lighthouse",
    "history-found": "Question: Where was the designer of Brindle Lighthouse born?\n"
    "Reasoning: The designer is Maren Oxley.\n\nWhere was she born?\nQuery: Maren Oxley birthplace\n"
    "Earlier queries: Brindle Lighthouse designer (); Brindle Lighthouse ()",
    "agentir": "Reasoning: The designer is Maren Oxley.\n\nWhere was she born?\n\nQuery: Maren Oxley birthplace",
    "agentic-r": "Where was the designer of Brindle Lighthouse born? [SEP] Maren Oxley birthplace",
    "iter-i2": "Main Question: Where was the designer of Brindle Lighthouse born?\n"
    "Current Subquery: Maren Oxley birthplace\nPrevious Interactions:\n"
    "Previous SubQuery 1: Brindle Lighthouse designer\nPrevious SubQuery 2: Brindle Lighthouse",
    "iter-i7": "Main Question: Where was the designer of Brindle Lighthouse born?\n"
    "Current Reasoning: The designer is Maren Oxley. Where was she born?\n"
    "Current Subquery: Maren Oxley birthplace\nPrevious Interactions:\n"
    "Previous SubQuery 1: Brindle Lighthouse designer\nPrevious SubQuery 2: Brindle Lighthouse",
}
FIRST = {
    "query": "salt tolls",
    "history": "Question: Who paid?\nQuery: salt tolls",
    "history-found": "Question: Who paid?\nQuery: salt tolls",
    "agentir": "Reasoning: Empty\n\nQuery: salt tolls",
    "agentic-r": "Who paid? [SEP] salt tolls",
    "iter-i2": "Main Question: Who paid?\nCurrent Subquery: salt tolls\nPrevious Interactions: <empty>",
    "iter-i7": "Main Question: Who paid?\nCurrent Reasoning: <empty>\nCurrent Subquery: salt tolls\n"
    "Previous Interactions: <empty>",
}


class Listener(Retriever):
    """Ranks as another retriever does, and keeps what it reads of each query."""

    def __init__(self, base: Retriever, name: str):
        self.base, self.name, self.heard = base, name, []

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        self.heard += [text_of(self.name, query) for query in queries]
        return self.base.search(queries, k)

    def document(self, docid):
        return self.base.document(docid)

    def describe(self):
        return {"kind": "listener", "query_text": self.name, "base": self.base.describe()}


@pytest.mark.parametrize("name", QUERY_TEXTS)
def test_each_text_is_word_for_word_what_was_published(name):
    assert text_of(name, ASKED) == EXAMPLES[name]
    assert type(text_of(name, ASKED)) is str, "a text that is remembered keeps no run"
    assert text_of(name, Asked("salt tolls", question="Who paid?", reasoning="  ")) == FIRST[name]
    assert text_of(name, "salt tolls") == FIRST[name].replace("Who paid?", "salt tolls"), "it is a run of its own"


def test_titles_of_what_was_found_stand_behind_the_query():
    found = Call(id="c", tool="search", arguments={"query": "tolls"}, executed={"query": "tolls"}, hits=hits("3", "1"))
    asked = asked_in_run("x", "Q?", None, [[found]], {"3": "", "1": "Brindle"}.__getitem__)
    assert text_of("history-found", asked).endswith("Earlier queries: tolls (3, Brindle)")


def test_reasoning_after_a_failed_call_is_not_read_by_agentir_alone():
    failed = Call(id="c", tool="get_document", arguments={"docid": "9"}, error="not shown")
    asked = asked_in_run("tolls", "Q?", "I gave a wrong id.", [[found_nothing("a")], [failed]])
    assert text_of("agentir", asked) == "Reasoning: Empty\n\nQuery: tolls"
    assert "Current Reasoning: I gave a wrong id." in text_of("iter-i7", asked)
    asked = asked_in_run("tolls", "Q?", "Next.", [[failed, found_nothing("b")], []])
    assert text_of("agentir", asked).startswith("Reasoning: Next.")


def hits(*docids):
    return [Hit(docid=docid, score=1.0, rank=rank) for rank, docid in enumerate(docids, 1)]


def found_nothing(query):
    return Call(id="c", tool="search", arguments={"query": query}, executed={"query": query}, hits=[])


@pytest.mark.parametrize("name", QUERY_TEXTS)
def test_whatever_the_run_holds_the_text_is_bounded(name):
    long = "word " * 1_000_000
    asked = Asked("q", question=long, reasoning=long, earlier=[EarlierSearch("query " * 1000)] * 1000)
    assert len(text_of(name, asked)) <= LONGEST_QUERY
    assert len(asked.earlier) == 6, "the newest are left out"


@pytest.fixture(scope="module")
def collected(small_world, tmp_path_factory):
    """A run of the simulated agent with a retriever for each text, fused with BM25, and those retrievers."""
    folder = tmp_path_factory.mktemp("texts")
    bm25 = open_retriever("bm25", small_world.corpus, folder / "indexes")
    listeners = {name: Listener(bm25, name) for name in QUERY_TEXTS}
    fused = HybridRetriever(small_world.corpus, [bm25, *listeners.values()])
    agent = load_agent("simulated", {"limits.turns": 12})
    rollout(small_world.tasks("train")[:4], agent, fused, folder / "run")
    return folder / "run", listeners


@pytest.mark.parametrize("name", QUERY_TEXTS)
def test_mined_queries_are_what_the_retriever_read_and_what_is_recorded(collected, small_world, tmp_path, name):
    run, listeners = collected
    recipe = MiningRecipe(query_text=name, positives="browsed", silent="unweighted", unanswered=True)
    report = mine_run(run, recipe, tmp_path, corpus=small_world.corpus, judge="none")
    assert report.asked_with == dict.fromkeys([name for name in QUERY_TEXTS if name != "query"], 4)
    pairs = [decode(line, Pair) for line in (tmp_path / PAIRS).read_bytes().splitlines()]
    runs = {trajectory.id: trajectory for trajectory in read_trajectories(run)}
    assert len({pair.query for pair in pairs}) > 4
    for pair in pairs:
        executed = runs[pair.provenance.trajectory].turns[pair.provenance.turn].calls[pair.provenance.call].executed
        assert pair.query == (executed["query"] if name == "query" else executed["sent"][name])
        assert (pair.query_text, pair.search) == (name, None if name == "query" else executed["query"])
    # every search of every run, whether or not it makes a pair
    searches = [
        query_text(name, t, search, lambda docid: small_world.corpus.document(docid).title)
        for t in runs.values()
        for part in episodes(t)
        for search in part.searches
    ]
    assert sorted(searches) == sorted(listeners[name].heard)


def test_titles_need_the_corpus(collected, tmp_path):
    recipe = MiningRecipe(query_text="history-found", positives="browsed")
    with pytest.raises(InputError, match=r"'history-found' names documents.*give the corpus"):
        mine_run(collected[0], recipe, tmp_path, judge="none")


def test_a_member_that_reads_more_is_asked_with_more_and_bm25_with_the_query(corpus, tmp_path):
    bm25 = open_retriever("bm25", corpus, tmp_path)
    listener = Listener(bm25, "iter-i7")
    fused = HybridRetriever(corpus, [bm25, listener])
    alone = HybridRetriever(corpus, [bm25, bm25])
    assert fused.search([ASKED], 5) == alone.search([str(ASKED)], 5)
    assert listener.heard == [EXAMPLES["iter-i7"]]
    assert texts_read(fused.describe()) == ["iter-i7"]
    assert texts_read(bm25.describe()) == []


def test_a_dense_retriever_encodes_its_text(opened):
    plain, reading = opened("dense"), opened("dense:query_text=agentir")
    assert reading.search([ASKED], 5) == plain.search([EXAMPLES["agentir"]], 5)
    assert plain.search([ASKED], 5) == plain.search([str(ASKED)], 5) != reading.search([ASKED], 5)
    assert "query_text" not in plain.describe()
    assert reading.fingerprint != plain.fingerprint
    with pytest.raises(InputError, match=r"query_text.*'nosuch'"):
        opened("dense:query_text=nosuch")


def test_the_search_server_and_its_client_carry_what_the_retriever_reads(corpus, tmp_path):
    listener = Listener(open_retriever("bm25", corpus, tmp_path), "iter-i7")
    with serving(listener) as url, open_retriever(f"remote:url={url}", None, tmp_path) as remote:
        assert remote.search([ASKED, "bridge", ASKED], 4) == listener.base.search([ASKED, "bridge", ASKED], 4)
        assert listener.heard == [EXAMPLES["iter-i7"], text_of("iter-i7", "bridge"), EXAMPLES["iter-i7"]]
        assert texts_read(remote.describe()) == ["iter-i7"]
        with pytest.raises(InputError, match="lrat-sim serve knows what its retriever reads"):
            open_retriever(f"remote:url={url},query_text=agentir", None, tmp_path)
    with serving(open_retriever("bm25", corpus, tmp_path)) as url:
        with open_retriever(f"remote:url={url},protocol=search-r1,query_text=agentic-r", None, tmp_path) as remote:
            found = remote.search([ASKED], 4)
            assert remote.describe()["query_text"] == "agentic-r"
        with open_retriever(f"remote:url={url},protocol=search-r1", None, tmp_path) as plain:
            assert found == plain.search([EXAMPLES["agentic-r"]], 4) != plain.search([ASKED], 4)


def test_a_plain_server_is_not_told_of_the_run(corpus, tmp_path):
    sent = []
    with (
        serving(open_retriever("bm25", corpus, tmp_path)) as url,
        open_retriever(f"remote:url={url}", None, tmp_path) as r,
    ):
        ask = r._connection.ask
        r._connection.ask = lambda path, body=None: sent.append(body) or ask(path, body)
        r.search([ASKED], 4)
    assert json.dumps(sent[0]["queries"]) == json.dumps([str(ASKED)])
