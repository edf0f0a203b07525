"""Readers of public formats, by the name that a corpus' YAML gives in ``reader``."""

from __future__ import annotations

from importlib import import_module

from lrat_sim.corpus.formats.base import Reader
from lrat_sim.errors import UnknownName

_READERS = {
    "beir": ".beir:BeirReader",
    "browsecomp-plus": ".browsecomp:BrowseCompReader",
    "generic": ".generic:GenericReader",
    "hotpotqa": ".passages:HotpotReader",
    "2wikimultihopqa": ".passages:TwoWikiReader",
    "infoseek-eval": ".generic:InfoSeekReader",
    "musique": ".passages:MusiqueReader",
    "world": "..world:WorldReader",
}


def reader_class(name: str) -> type[Reader]:
    """The reader of a format; UnknownName where no reader has that name."""
    if name not in _READERS:
        raise UnknownName("reader", name, sorted(_READERS))
    module, _, attribute = _READERS[name].partition(":")
    reader: type[Reader] = getattr(import_module(module, __name__), attribute)
    return reader
