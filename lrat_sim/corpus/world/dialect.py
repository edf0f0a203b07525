"""A dialect: kinds of entities, relations between them, and how writers and askers word them.

Dialects are data, one YAML beside this file each; the head of ``main.yaml`` says what its templates mean.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct, field

from lrat_sim.catalog import read_yaml
from lrat_sim.corpus.world.names import Words
from lrat_sim.corpus.world.prose import Template, templates
from lrat_sim.errors import InputError

Lines = str
"""Templates, one a line."""


class _Aspect(Struct, frozen=True, forbid_unknown_fields=True):
    titles: Lines
    open: Lines
    more: Lines


class _Kind(Struct, frozen=True, forbid_unknown_fields=True):
    count: int
    words: Words
    ask: str
    name: str
    short: str
    alias: str
    called: Lines
    apart: Lines
    fillers: Lines
    generic: dict[str, _Aspect]
    article: bool = False
    epithets: list[str] = field(default_factory=list)
    nicks: list[str] = field(default_factory=list)


class _Relation(Struct, frozen=True, forbid_unknown_fields=True):
    subject: str
    object: str
    ask: Lines
    noun: Lines
    phrasings: Lines
    titles: Lines
    open: Lines
    more: Lines
    plain: Lines
    quaint: Lines
    after: Lines
    stray: Lines
    symmetric: bool = False
    span: tuple[int, int] = (0, 0)
    role: str = ""
    predicate: str = ""
    named: str = ""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    pools: dict[str, list[str]]
    kinds: dict[str, _Kind]
    shared: dict[str, _Aspect]
    relations: dict[str, _Relation]


class Aspect:
    """What one document of an entity is about: its titles and its lead.

    Args:
        name: unique in the dialect.
        content: its lines.
        relation: the relation whose fact belongs in such a document, if any.
    """

    def __init__(self, name: str, content: _Aspect | _Relation, relation: Relation | None = None):
        self.name, self.relation = name, relation
        self.titles, self.open, self.more = map(templates, (content.titles, content.open, content.more))


class Relation:
    """A relation: from a kind of entity to another, to a ``date``, or to a ``minor`` name that is only mentioned.

    ``plain`` and ``quaint`` state its fact in the asker's and the writer's words; ``ask``, ``noun`` and
    ``phrasings`` are the asker's.  ``span`` bounds a date in years after the region's era; ``named`` is how a minor
    object is named.
    """

    def __init__(self, name: str, content: _Relation):
        self.name, self.subject, self.object = name, content.subject, content.object
        self.role, self.predicate, self.named = content.role, content.predicate, content.named
        self.symmetric, self.span = content.symmetric, content.span
        self.ask, self.noun, self.after = map(templates, (content.ask, content.noun, content.after))
        self.plain, self.quaint, self.stray = map(templates, (content.plain, content.quaint, content.stray))
        self.phrasings = [line.strip() for line in content.phrasings.splitlines() if line.strip()]
        self.aspect = Aspect(name, content, self)


class Kind:
    """A kind of entity; ``relations`` are those it is the subject of, ``generic`` its aspects without a fact."""

    def __init__(self, name: str, content: _Kind, relations: list[Relation], generic: list[Aspect]):
        self.name, self.count, self.words, self.ask = name, content.count, content.words, content.ask
        self.article, self.epithets, self.nicks = content.article, content.epithets, content.nicks
        self.full, self.short, self.alias = map(Template, (content.name, content.short, content.alias))
        self.called, self.apart = templates(content.called), templates(content.apart)
        self.fillers, self.relations, self.generic = templates(content.fillers), relations, generic


class Dialect:
    """Everything one dialect knows.

    Args:
        name: the YAML's name.

    Raises:
        InputError: the file is missing or a field of it is wrong.
    """

    def __init__(self, name: str):
        path = Path(__file__).with_name(f"{name}.yaml")
        try:
            content = msgspec.convert(read_yaml(path), type=_File)
        except msgspec.ValidationError as error:
            raise InputError(f"{path}: {error}; correct that field.") from error
        self.name, self.pools = name, content.pools
        self.relations = {key: Relation(key, value) for key, value in content.relations.items()}
        shared = [Aspect(key, value) for key, value in content.shared.items()]
        self.kinds = {
            key: Kind(
                key,
                value,
                [relation for relation in self.relations.values() if relation.subject == key],
                [Aspect(aspect, lines) for aspect, lines in value.generic.items()] + shared,
            )
            for key, value in content.kinds.items()
        }


@lru_cache
def dialect(name: str) -> Dialect:
    """A dialect by name, read once."""
    return Dialect(name)
