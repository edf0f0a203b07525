"""Finds retrievers by name.

To add one, name a callable under the entry-point group ``lrat_sim.retrievers`` in your package's metadata (the built-in
ones stand in this project's ``pyproject.toml``)::

    [project.entry-points."lrat_sim.retrievers"]
    mine = "my_package.search:open_mine"

It is called as ``open_mine(corpus, indexes, progress=progress, **options)`` and returns a
:class:`~lrat_sim.retrieval.base.Retriever`; ``indexes`` is the folder for what it wants to keep.  With
:func:`takes_settings` its options are the fields of a settings record.
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable
from functools import wraps
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lrat_sim.artifact import check_fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, UnknownName
from lrat_sim.keys import refuse_secrets
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.base import Retriever
from lrat_sim.settings import Settings

GROUP = "lrat_sim.retrievers"

_MODEL_FILES = ("modules.json", "config.json")

S = TypeVar("S", bound=Settings)
R = TypeVar("R", bound=Retriever)


def open_retriever(
    spec: str | Path, corpus: Corpus, indexes: Path, *, progress: ProgressCallback | None = None, **options: Any
) -> Retriever:
    """Opens a retriever over a corpus; its index is built if missing, opened if it fits, refused if it differs.

    Args:
        spec: a name (``bm25``), a name with options (``bm25:k1=1.2,b=0.75``), the members of a fusion
            (``hybrid:bm25+dense``), or the folder of an encoder (``runs/a/model``, which is ``dense`` with that
            model; options may follow after a colon).
        corpus: the documents to rank.
        indexes: folder of the indexes, one subfolder each.
        progress: told how far the building of an index is.
        options: further options by name; they override those in ``spec``.

    Raises:
        UnknownName: no retriever has that name.
        InputError: an option is unknown or its value not allowed, or an index is damaged.
        FingerprintMismatch: the index was built from something else; the message says what differs.
    """
    check_retriever(spec)
    _refuse_secrets(options)
    name, given = parse_spec(str(spec))
    point, options = _entry_points()[name], {**given, **options}
    try:
        factory = point.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the retriever {name!r} ({point.value}) cannot be loaded ({error}); install what it needs."
        ) from error
    parameters = list(inspect.signature(factory).parameters.values())
    allowed = [parameter.name for parameter in parameters[2:] if parameter.name != "progress"]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)  # and checks them itself
    if not takes_any and (unknown := sorted(options.keys() - set(allowed))):
        names = ", ".join(map(repr, unknown))
        raise InputError(f"the retriever {name!r} has no option {names}; it has {', '.join(allowed) or 'none'}.")
    retriever = factory(corpus, Path(indexes), progress=progress, **options)
    if not isinstance(retriever, Retriever):
        raise InputError(
            f"the retriever {name!r} gave a {type(retriever).__name__}; "
            "its entry point must return an lrat_sim.retrieval.Retriever."
        )
    retriever.reopening = _reopened, (str(spec), corpus, Path(indexes), options, retriever.fingerprint)
    return retriever


def _reopened(spec: str, corpus: Corpus, indexes: Path, options: dict[str, Any], fingerprint: str) -> Retriever:
    """The same retriever in another process, perhaps on another machine."""
    retriever = open_retriever(spec, corpus, indexes, **options)
    check_fingerprint(
        f"the retriever {spec} on {platform.node()}",
        {"fingerprint": fingerprint},
        {"fingerprint": retriever.fingerprint},
        "let all machines have the same files, packages and kind of device",
    )
    return retriever


def check_retriever(spec: str | Path) -> None:
    """Refuses a spec that :func:`open_retriever` would, as far as its grammar and name tell; opens nothing."""
    _refuse_secrets(str(spec))
    name, _ = parse_spec(str(spec))
    if name not in _entry_points():
        raise UnknownName("retriever", name, known_retrievers())


def known_retrievers() -> list[str]:
    """The names that :func:`open_retriever` accepts, sorted."""
    return sorted(_entry_points())


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """A spec as a name and options, whose values stay texts; see :func:`open_retriever` for the grammar."""
    if _is_folder(spec):
        return "dense", {"model": _model_folder(spec)}
    name, _, rest = spec.partition(":")
    if name == "hybrid" and rest and not rest.partition("=")[0].isidentifier():
        return name, {"members": rest}
    options: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(f"the retriever {spec!r} has {part!r} where an option should stand; write name=value.")
        options[key.strip()] = value.strip()
    return ("dense", {"model": _model_folder(name), **options}) if _is_folder(name) else (name, options)


def takes_settings(
    name: str, kind: type[S]
) -> Callable[[Callable[[Corpus, Path, S, ProgressCallback | None], R]], Callable[..., R]]:
    """Makes an entry point of ``(corpus, indexes, settings, progress)``; its options are the fields of ``kind``, as
    values or as texts, and one that is unknown or not allowed is an :class:`InputError`."""

    def entry_point(open_with: Callable[[Corpus, Path, S, ProgressCallback | None], R]) -> Callable[..., R]:
        @wraps(open_with)
        def opened(corpus: Any, indexes: Any = None, *, progress: ProgressCallback | None = None, **options: Any) -> R:
            plain = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
            try:
                settings = msgspec.convert(plain, type=kind, strict=False)
            except msgspec.ValidationError as error:
                fields = ", ".join(kind.__struct_fields__)
                raise InputError(
                    f"the retriever {name!r} cannot take these options: {error}; it has {fields}."
                ) from error
            return open_with(corpus, indexes, settings, progress)

        # `wraps` would show the options as parameters of the function within
        del opened.__wrapped__
        return opened

    return entry_point


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _refuse_secrets(given: str | dict[str, Any]) -> None:
    refuse_secrets("the retriever", given, "token_env` or `api_key_env")


def _is_folder(name: str) -> bool:
    # a name wins over a folder that happens to be called the same in the working directory
    return Path(name).is_dir() and ("/" in name or name not in _entry_points())


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds an encoder."""
    return any((folder / name).is_file() for name in _MODEL_FILES)


def _model_folder(folder: str) -> str:
    if not is_model_folder(Path(folder)):
        files = " nor ".join(_MODEL_FILES)
        raise InputError(f"{folder} holds no encoder (neither {files}); give a sentence-transformers folder.")
    return folder
