"""The web, by a search provider that litellm knows: Tavily, Exa, Perplexity, Google PSE, Brave, Serper, SearXNG, ..."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urljoin, urlsplit

import httpx
import msgspec
from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RetrieverError, UnknownDocument
from lrat_sim.keys import read_environment
from lrat_sim.models.cache import RecordCache
from lrat_sim.models.litellm_model import import_litellm
from lrat_sim.models.retry import failure
from lrat_sim.models.transport import BoundedTransport, is_loopback, no_cookies, on_loop, proxy_for
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document
from lrat_sim.retrieval.connection import send
from lrat_sim.retrieval.engines.base import DocumentCache, EngineRetriever, EngineSettings
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.schemas import read_token
from lrat_sim.settings import Whole

_MOST_REDIRECTS = 5
_LONGEST_PAGE = 500_000  # characters of a page's text


class WebSettings(EngineSettings, frozen=True, kw_only=True):
    """Settings of ``web``."""

    provider: Annotated[str, Meta(description="litellm's name: tavily, exa_ai, perplexity, google_pse, brave, ...")]
    api_base: Annotated[str | None, Meta(description="The endpoint, where it is not the provider's own.")] = None
    pages: Annotated[
        Literal["fetch", "snippet"],
        Meta(description="An opened document: the page's text, or what the search told of it."),
    ] = "fetch"
    domains: Annotated[list[str] | str, Meta(description="Only pages of these, as a list or as in a.org+b.org.")] = []
    blocked: Annotated[list[str] | str, Meta(description="No pages of these; such as hold a benchmark's answers.")] = []
    cache: Annotated[bool, Meta(description="Keep answers on disk, so that no search is paid for twice.")] = True
    longest_query: Annotated[Whole, Meta(description="Characters of a query that are sent.")] = 400


class Answer(Struct, frozen=True):
    """What a search found, or the one page that was fetched."""

    pages: list[Document]


class WebRetriever(EngineRetriever):
    """A document's id is its address, and its score 1 / rank, since providers give none.

    An address is fetched only if a search brought it.  A page that cannot be read (refused, no text, not HTML) is what
    the search told of it.
    """

    most = 20

    def __init__(self, settings: WebSettings, cache: RecordCache[Answer] | None):
        own = {name: value for name in ("domains", "blocked") if (value := _names(getattr(settings, name)))}
        described = {"kind": "web", "provider": settings.provider, "pages": settings.pages, **own}
        super().__init__({**described, "longest_query": settings.longest_query, "corpus": "the web"})
        self._settings, self._cache = settings, cache
        self._key = read_token(settings.api_key_env)
        self._opened = DocumentCache(1 << 27)
        limits = httpx.Limits(max_connections=32)
        self._inner = httpx.AsyncHTTPTransport(limits=limits, proxy=proxy_for("https://example.org"))
        self._client = httpx.AsyncClient(
            transport=BoundedTransport(self._inner), cookies=no_cookies(), timeout=settings.timeout,
            headers={"user-agent": "lrat-sim", "accept": "text/html, text/plain"},
        )  # fmt: skip

    def close(self) -> None:
        """See :meth:`Retriever.close`."""
        on_loop(self._client.aclose)
        if self._cache is not None:
            self._cache.close()

    def listed(self, docid: str) -> Document:
        """What the search told of a page: title and snippet."""
        told = self._documents.get(docid)
        if told is None:
            raise UnknownDocument(f"no search has brought the page {docid!r} lately")
        return told

    def ask(self, query: str, k: int) -> Sequence[tuple[float, Document]]:
        """See :meth:`EngineRetriever.ask`."""
        settings, query = self._settings, query[: self._settings.longest_query]
        domains, blocked = _names(settings.domains), _names(settings.blocked)
        identity = [settings.provider, settings.api_base, query, k, domains]
        pages = self._kept(["search", *identity], lambda: self._search(query, k, domains))
        allowed = [page for page in pages if not _within(page.id, blocked)][:k]
        return [(1.0 / rank, page) for rank, page in enumerate(allowed, start=1)]

    def fetch(self, docid: str) -> Document:
        """See :meth:`EngineRetriever.fetch`."""
        told = self.listed(docid)
        return told if self._settings.pages == "snippet" else self._kept(["page", docid], lambda: self._page(told))[0]

    def document(self, docid: str) -> Document:
        """The text of a page that a search brought; raises UnknownDocument for any other."""
        page = self._opened.get(docid)
        if page is None:
            page = self.fetch(docid)
            self._opened.put(page)
        return page

    def _kept(self, what: list[Any], get: Any) -> list[Document]:
        key = hashlib.sha256(msgspec.json.encode(what)).digest()
        answer = None if self._cache is None else self._cache.get(key)
        if answer is None:
            answer = Answer(get())
            if self._cache is not None:
                self._cache.put(key, answer)
        return answer.pages

    def _search(self, query: str, k: int, domains: list[str]) -> list[Document]:
        settings = self._settings

        async def search() -> Any:
            try:
                return await cast(Any, import_litellm()).asearch(
                    query=query, search_provider=settings.provider, max_results=k, api_key=self._key,
                    api_base=settings.api_base, timeout=settings.timeout, search_domain_filter=domains or None,
                )  # fmt: skip
            except Exception as error:
                if _is_refusal(error):  # no key, no such provider: litellm calls it a failed connection
                    said = str(error).partition("Traceback")[0].rpartition("Error: ")[2]
                    raise RetrieverError(f"{settings.provider} refuses to search: {said.strip()}") from None
                raise

        try:
            reply = send(search, attempts=settings.attempts, timeout=settings.timeout)
        except RetrieverError:
            raise
        except Exception as error:  # litellm raises errors of many kinds; each is this request's failure
            raise RetrieverError(f"the search by {settings.provider} failed ({failure(error).message})") from error
        found: dict[str, Document] = {}
        for result in reply.results:
            url, title, snippet = (str(getattr(result, name, None) or "") for name in ("url", "title", "snippet"))
            if urlsplit(url).scheme in ("http", "https"):
                found.setdefault(url, Document(id=url, title=title[:1000], text=snippet[:_LONGEST_PAGE]))
        return list(found.values())

    def _page(self, told: Document) -> list[Document]:
        try:
            response = send(
                lambda: self._get(told.id), attempts=min(2, self._settings.attempts), timeout=self._settings.timeout
            )
        except (httpx.HTTPError, httpx.InvalidURL):
            return [told]
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        text: str | None = None
        if response.status_code == 200 and kind in ("text/html", "application/xhtml+xml"):
            import trafilatura

            text = trafilatura.extract(response.text, include_comments=False, include_tables=True)
        elif response.status_code == 200 and kind == "text/plain":
            text = response.text
        return [msgspec.structs.replace(told, text=text[:_LONGEST_PAGE])] if text and text.strip() else [told]

    async def _get(self, url: str) -> httpx.Response:
        for _ in range(_MOST_REDIRECTS):
            self._check(url)
            response = await self._client.get(url)
            if not response.is_redirect:
                return response
            url = urljoin(url, response.headers["location"])
        raise httpx.TooManyRedirects(f"more than {_MOST_REDIRECTS} redirections")

    def _check(self, url: str) -> None:
        """Refuses an address within this machine or network, which a page may lead to; except where the search API is
        there itself."""
        parts, base = urlsplit(url), urlsplit(self._settings.api_base or "").hostname or ""
        host = parts.hostname or ""
        try:
            inside = not ipaddress.ip_address(host).is_global
        except ValueError:
            inside = "." not in host
        if (
            parts.scheme not in ("http", "https")
            or not host
            or (inside and not (is_loopback(host) and is_loopback(base)))
        ):
            raise httpx.InvalidURL(f"{url} is not an address of the web")


def _is_refusal(error: BaseException) -> bool:
    said = str(error)
    return "is not set" in said or "is not a valid SearchProviders" in said or "not supported for provider" in said


def _names(given: list[str] | str) -> list[str]:
    return [name for name in (given.split("+") if isinstance(given, str) else given) if name]


def _within(url: str, domains: list[str]) -> bool:
    host = urlsplit(url).hostname or ""
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


@takes_settings("web", WebSettings, own_documents=True)
def open_web(
    corpus: Corpus | None, indexes: Path, settings: WebSettings, progress: ProgressCallback | None
) -> WebRetriever:
    """Opens ``web``; the task set's documents are not looked at."""
    if settings.pages == "fetch":
        try:
            import trafilatura  # noqa: F401
        except ImportError as error:
            raise InputError(
                "pages=fetch needs trafilatura; pip install 'lrat-sim[web]', or set pages=snippet."
            ) from error
    read_environment()  # litellm may take a key from there
    litellm: Any = import_litellm()
    known = sorted(provider.value for provider in litellm.types.utils.SearchProviders)
    if settings.provider not in known:
        raise InputError(f"litellm has no search provider {settings.provider!r}; it has {', '.join(known)}.")
    cache = RecordCache(indexes / "web.sqlite", Answer) if settings.cache else None
    return WebRetriever(settings, cache)
