"""The web, by litellm's search API against a scripted Tavily, and pages from a scripted site."""

import json

import pytest
from engines import EngineServer

from lrat_sim.errors import InputError, RetrieverError, UnknownDocument
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.engines.web import WebRetriever

PARAGRAPH = "Maren Oxley designed the lighthouse of Brindle, which was lit in 1874 after nine years of work. "
PAGE = f"<html><body><nav>Menu</nav><article><h1>Oxley</h1><p>{PARAGRAPH * 4}</p></article></body></html>"


@pytest.fixture
def site():
    """Search API and site in one; ``found`` is what a search finds."""

    def answer(asked):
        if asked.path == ["search"]:
            assert asked.headers["authorization"] == "Bearer tvly-secret-key"
            body = asked.json()
            assert 1 <= body["max_results"] <= 20
            results = [
                {"title": title, "url": url, "content": snippet, "score": 0.5}
                for url, title, snippet in server.found[: body["max_results"]]
            ]
            return 200, {"query": body["query"], "results": results, "response_time": 0.1}
        return server.pages[asked.path[0]]

    with EngineServer(answer) as server:
        server.pages = {
            "oxley": (200, PAGE),
            "moved": (302, "/oxley"),
            "gone": (404, "<p>no</p>"),
            "data": (200, {"a": 1}),
        }
        server.pages["inside"] = (302, "http://169.254.169.254/latest")
        server.found = [(f"{server.url}/{name}", f"Page {name}", f"Snippet of {name}.") for name in server.pages]
        yield server


@pytest.fixture
def web(site, tmp_path, monkeypatch):
    monkeypatch.setenv("SEARCH_KEY", "tvly-secret-key")
    opened = []

    def open_web(**options):
        given = {"provider": "tavily", "api_base": site.url, "api_key_env": "SEARCH_KEY", **options}
        opened.append(open_retriever("web", None, tmp_path, **given))
        return opened[-1]

    yield open_web
    for retriever in opened:
        retriever.close()


def searches(site):
    return [asked for asked in site.asked if asked.path == ["search"]]


def test_addresses_are_ids_and_scores_follow_the_rank(web, site):
    (hits,) = web().search(["who designed it"], 3)
    assert [hit.docid for hit in hits] == [url for url, _, _ in site.found[:3]]
    assert [hit.score for hit in hits] == [1, 1 / 2, 1 / 3]
    assert searches(site)[0].json() == {"query": "who designed it", "max_results": 3}


def test_list_shows_what_the_search_told_and_an_opened_page_its_text(web, site):
    retriever = web()
    (hits,) = retriever.search(["who"], 5)
    oxley, moved, gone, data, inside = (hit.docid for hit in hits)
    before = len(site.asked)
    assert retriever.listed(oxley).text == "Snippet of oxley."
    assert len(site.asked) == before
    assert PARAGRAPH.strip() in retriever.document(oxley).text
    assert "Menu" not in retriever.document(oxley).text
    assert retriever.document(oxley).title == "Page oxley"
    assert retriever.document(moved).text == retriever.document(oxley).text
    for unreadable in (gone, data, inside):  # a 404, no text, an address that the web does not have
        assert retriever.document(unreadable).text.startswith("Snippet of")
    retriever.search(["who"], 5)
    assert PARAGRAPH.strip() in retriever.document(oxley).text


def test_page_that_no_search_brought_is_not_fetched(web, site):
    retriever = web()
    for docid in (f"{site.url}/oxley", "http://127.0.0.1/", "file:///etc/passwd"):
        with pytest.raises(UnknownDocument, match="no search has brought"):
            retriever.document(docid)
    assert not site.asked


def test_no_search_and_no_page_is_paid_for_twice(web, site):
    def all_of_it(retriever):
        (hits,) = retriever.search(["who"], 2)
        return hits, [retriever.document(hit.docid) for hit in hits]

    first = all_of_it(web())
    asked = len(site.asked)
    site.found = []
    assert all_of_it(web()) == first
    assert len(site.asked) == asked
    assert web(cache=False).search(["who"], 2) == [[]]


def test_pages_of_blocked_domains_are_left_out(web, site):
    site.found.insert(0, ("https://answers.example.org/x", "The answer", "42"))
    assert web(blocked="example.org").search(["who"], 2)[0][0].docid.startswith(site.url)
    assert web().search(["who"], 2)[0][0].docid == "https://answers.example.org/x"


def test_snippets_alone_open_nothing(web, site):
    retriever = web(pages="snippet")
    (hits,) = retriever.search(["who"], 1)
    assert retriever.document(hits[0].docid).text == "Snippet of oxley."
    assert len(site.asked) == 1


def test_address_within_the_network_is_refused(web):
    for url in ("http://10.0.0.1/", "http://[::1]/", "http://localhost:80/", "http://printer/", "ftp://a.org/"):
        with pytest.raises(Exception, match="is not an address of the web"):
            web(api_base="https://api.tavily.com")._check(url)
    web()._check("https://en.wikipedia.org/wiki/Lighthouse")


def test_outage_is_tried_again_and_a_refusal_is_not(web, site):
    site.failures = [429, 500]
    assert web(attempts=3).search(["a"], 1)[0]
    site.failures, before = [401], len(site.asked)
    with pytest.raises(RetrieverError, match=r"the search by tavily failed") as refused:
        web().search(["b"], 1)
    assert len(site.asked) == before + 1
    assert "tvly-secret-key" not in str(refused.value)


def test_missing_key_and_unknown_provider_are_said_at_once(web, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"no search provider 'altavista'; it has .*tavily"):
        web(provider="altavista")
    monkeypatch.delenv("TAVILY_API_KEY", raising=False)
    with pytest.raises(RetrieverError, match=r"^tavily refuses to search: TAVILY_API_KEY is not set\.(?!.*Traceback)"):
        open_retriever("web", None, tmp_path, provider="tavily", attempts=5).search(["a"], 1)


def test_missing_extra_is_named(web, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "trafilatura", None)
    with pytest.raises(InputError, match=r"pip install 'lrat-sim\[web\]'"):
        web()
    assert isinstance(web(pages="snippet"), WebRetriever)


def test_description_says_whose_documents_they_are_and_holds_no_key(web):
    described = web(domains="a.org+b.org").describe()
    assert described["corpus"] == "the web"
    assert described["domains"] == ["a.org", "b.org"]
    assert "secret" not in json.dumps(described)
