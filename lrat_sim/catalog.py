"""Finds agents, retrievers, prompts, corpora and recipes by name: as a path, in the working directory, in the user's
configuration folder, and last in lrat-sim's own copy (inside the package in a wheel, beside it in a checkout)."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import platformdirs
import yaml

from lrat_sim import foreign
from lrat_sim.decoding import convert
from lrat_sim.errors import InputError, UnknownName, said_plainly

Kind = Literal["agents", "retrievers", "prompts", "corpora", "recipes"]
KINDS: tuple[Kind, ...] = ("agents", "retrievers", "corpora", "recipes", "prompts")
_SUFFIX = {kind: ".txt" if kind == "prompts" else ".yaml" for kind in KINDS}
_SINGULAR = {
    "agents": "agent",
    "retrievers": "retriever",
    "prompts": "prompt",
    "corpora": "corpus or task set",
    "recipes": "recipe",
}

_DEEPEST, _MOST_VALUES, _LONGEST_NUMBER = 50, 100_000, 63
"""Levels, values and bits of a number that settings may have; far more than any have, and what JSON can record."""

S = TypeVar("S")


class _SettingsLoader(yaml.SafeLoader):
    """YAML with the numbers of its version 1.2: PyYAML takes ``1e-6``, a number to anyone who writes it, for text."""


_SettingsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def _own(kind: Kind) -> Path:
    package = Path(str(files("lrat_sim")))
    return package / kind if (package / kind).is_dir() else package.parent / kind


def folders(kind: Kind) -> list[Path]:
    """The folders searched for a kind, first match first."""
    return [Path(kind), Path(platformdirs.user_config_dir("lrat-sim")) / kind, _own(kind)]


def names(kind: Kind) -> list[str]:
    """Every name of a kind that can be found now, sorted."""
    paths = (path for folder in folders(kind) if folder.is_dir() for path in folder.glob(f"*{_SUFFIX[kind]}"))
    return sorted({path.stem for path in paths})


def about(kind: Kind, name: str) -> str:
    """What a name is, in a sentence: its title, or the description, comment or paragraph with which it begins."""
    text = foreign.read_text(find(kind, name))
    if _SUFFIX[kind] == ".txt":
        return first_sentence(text.split("\n\n")[0])
    content = _mapping(find(kind, name), _SettingsLoader)
    if isinstance(title := content.get("title"), str):
        return title
    comment = " ".join(line[2:] for line in takewhile(lambda line: line.startswith("# "), text.splitlines()))
    return first_sentence(str(content.get("description") or comment))


def first_sentence(text: str) -> str:
    """The first sentence of a text, on one line."""
    return re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]


def find(kind: Kind, name: str) -> Path:
    """The file behind a name or a path; an :class:`UnknownName` lists the names there are."""
    suffix = _SUFFIX[kind]
    if Path(name).suffix == suffix and Path(name).is_file():
        return Path(name)
    for folder in folders(kind):
        candidate = folder / f"{name}{suffix}"
        if candidate.is_file():
            return candidate
    raise UnknownName(_SINGULAR[kind], name, names(kind))


def read_text(kind: Kind, name: str) -> str:
    """The text behind a name, for example a prompt."""
    return foreign.read_text(find(kind, name))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping, read by the rules by which PyYAML writes: a text comes back as text."""
    return _mapping(path, yaml.SafeLoader)


def dump_yaml(value: Any) -> str:
    """A value as YAML in which texts of several lines, such as prompts, read as they are."""
    dumped: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return dumped


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a block."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def _mapping(path: Path, loader: type[yaml.SafeLoader]) -> dict[str, Any]:
    content = parse_yaml(foreign.read_text(path), f"{path} is not YAML", "correct it", loader)
    if not isinstance(content, dict):
        raise InputError(f"{path} should hold a mapping of settings, not {type(content).__name__}; correct it.")
    return content


def parse_yaml(text: str, problem: str, remedy: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """The value of a YAML text; an InputError of ``problem`` ("x.yaml is not YAML") and ``remedy`` says where it is not
    YAML, has an impossible date or number, is nested or repeated without end, or holds what JSON cannot record."""
    with foreign.reading(problem, remedy):
        content = yaml.load(text, loader)
    # an alias costs nothing to parse: only here does it show that a value holds itself, or ten lines a billion values
    seen, todo = 0, [(content, 0)]
    while todo:
        value, depth = todo.pop()
        seen += 1
        if depth > _DEEPEST or seen > _MOST_VALUES:
            limit = f"more than {_DEEPEST} levels deep" if depth > _DEEPEST else f"more than {_MOST_VALUES:,} values"
            raise InputError(f"{problem} (it is {limit}, aliases included); {remedy}.")
        if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
            raise InputError(f"{problem} (a whole number has more than {_LONGEST_NUMBER} bits); {remedy}.")
        if isinstance(value, dict):
            todo += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list | tuple | set):
            todo += [(item, depth + 1) for item in value]
    with foreign.reading(problem, remedy):
        msgspec.json.encode(content, order="sorted")  # as it will be recorded: no halves of characters, texts for keys
    return content


def load(kind: Kind, name: str, settings: type[S], overrides: dict[str, Any] | None = None) -> S:
    """Settings by name or path, checked against their type, with single fields overridden.

    A file may begin with ``extends: NAME`` and then say only what differs from that one.

    Args:
        kind: which catalogue.
        name: a name or a path.
        settings: the struct that describes the file; it should forbid unknown fields.
        overrides: field (dots reach into nested ones) to value; strings are read as YAML scalars.
    """
    return checked(_extended(kind, name, ()), settings, overrides, str(find(kind, name)))


def _extended(kind: Kind, name: str, within: tuple[Path, ...]) -> dict[str, Any]:
    """What a file says, over what the one says that its ``extends`` names; records within are merged field by field."""
    path = find(kind, name)
    content = _mapping(path, _SettingsLoader)
    if (base := content.pop("extends", None)) is None:
        return content
    if not isinstance(base, str) or path in within:
        raise InputError(
            f"{path}: `extends` is {base!r:.80}; name another of the {kind}, which does not extend this one."
        )
    return _merged(_extended(kind, base, (*within, path)), content)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    nested = (key for key, value in own.items() if isinstance(value, dict) and isinstance(base.get(key), dict))
    return {**base, **own, **{key: _merged(base[key], own[key]) for key in nested}}


def checked(content: dict[str, Any], settings: type[S], overrides: dict[str, Any] | None, where: str) -> S:
    """Settings from plain values, as :func:`load` checks and overrides them; ``where`` says whose, for messages."""
    for key, value in (overrides or {}).items():
        place = content
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise InputError(
                    f"{where}: `{parent}` holds a plain value, so there is no `{key}`; name another field."
                )
        if isinstance(value, str):
            said = f"{key}={value[:80]} is not a YAML value"
            value = parse_yaml(value, said, "put quotes around it", _SettingsLoader)
        place[last] = value
    try:
        return convert(content, settings)
    except msgspec.ValidationError as error:
        given = f", with {', '.join(overrides)} set" if overrides else ""
        raise InputError(f"{where}{given}: {said_plainly(error)}; correct that field.") from error
