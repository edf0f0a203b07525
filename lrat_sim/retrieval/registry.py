"""Finds retrievers by name.

To add one, name a callable under the entry-point group ``lrat_sim.retrievers`` in your package's metadata (the built-in
ones stand in this project's ``pyproject.toml``)::

    [project.entry-points."lrat_sim.retrievers"]
    mine = "my_package.search:open_mine"

It is called as ``open_mine(corpus, indexes, progress=progress, **options)`` and returns a
:class:`~lrat_sim.retrieval.base.Retriever`; ``indexes`` is the folder for what it wants to keep.  With
:func:`takes_settings` its options are the fields of a settings record.

A :class:`RetrieverRecipe` gives a retriever with its options a name: a file ``retrievers/NAME.yaml``, such as those of
published models.  A model folder may hold one, ``retriever.yaml``, which says how that model is searched with.
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable
from functools import wraps
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from lrat_sim import catalog
from lrat_sim.artifact import check_fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.decoding import convert
from lrat_sim.errors import InputError, UnknownName, said_plainly
from lrat_sim.keys import refuse_secrets
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.retrieval.query_text import TextName
from lrat_sim.settings import Settings

GROUP = "lrat_sim.retrievers"

OWN_RECIPE = "retriever.yaml"
"""The recipe within a model folder."""

_WITH_COMMAS = ("index",)  # options whose values may hold commas, as faiss's factory strings do
_MODEL_FILES = ("modules.json", "config.json")

S = TypeVar("S", bound=Settings)
R = TypeVar("R", bound=Retriever)


class RetrieverRecipe(Settings, frozen=True, kw_only=True):
    """A retriever with options, as a file in retrievers/ describes it."""

    retriever: Annotated[str, Meta(description="The kind: dense, rerank, hybrid, ...")]
    options: Annotated[dict[str, Any], Meta(description="Its options by name.")] = {}


def open_retriever(
    spec: str | Path,
    corpus: Corpus | None,
    indexes: Path,
    *,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Retriever:
    """Opens a retriever over a corpus; its index is built if missing, opened if it fits, refused if it differs.

    Args:
        spec: a name (``bm25``), or that of a recipe (``qwen3-embedding-0.6b``), with options
            (``bm25:k1=1.2,b=0.75``, ``dense:index=IVF64,PQ8``), the members of a fusion (``hybrid:bm25+dense``), or
            the folder of a model (``runs/a/model``, which is ``dense``, ``multivector`` or ``sparse`` with that model,
            as its files or its own recipe say; options may follow after a colon).
        corpus: the documents to rank; None only for a retriever that :func:`has_own_documents`.
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
    factory, options = _factory(name), {**given, **options}
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
    name, options = parse_spec(str(spec))
    _refuse_secrets(options)
    if name not in _entry_points():
        raise UnknownName("retriever", name, known_retrievers())


def has_own_documents(spec: str | Path) -> bool:
    """Whether a retriever can be opened without a corpus, since it may have documents of its own."""
    check_retriever(spec)
    name, _ = parse_spec(str(spec))
    return bool(getattr(_factory(name), "own_documents", False))


def known_retrievers() -> list[str]:
    """The names that :func:`open_retriever` accepts, sorted: those of code, and those of recipes."""
    return sorted({*_entry_points(), *catalog.names("retrievers")})


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """A spec as the name of a kind and its options, whose values stay texts but for those of a recipe; see
    :func:`open_retriever` for the grammar."""
    if _is_folder(spec):
        return _of_folder(spec, {})
    name, _, rest = spec.partition(":")
    if name == "hybrid" and rest and not rest.partition("=")[0].isidentifier():
        return name, {"members": rest}
    options: dict[str, Any] = {}
    key = ""
    for part in rest.split(",") if rest else ():
        if key in _WITH_COMMAS and "=" not in part:
            options[key] += f",{part.strip()}"
            continue
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(f"the retriever {spec!r} has {part!r} where an option should stand; write name=value.")
        key = key.strip()
        options[key] = value.strip()
    if _is_folder(name):
        return _of_folder(name, options)
    if name in _entry_points() or not is_recipe(name):
        return name, options
    recipe = catalog.load("retrievers", name, RetrieverRecipe)
    return recipe.retriever, {**recipe.options, **options}


def is_recipe(name: str) -> bool:
    """Whether a name is that of a recipe, or the path of one."""
    return name in catalog.names("retrievers") or (name.endswith(".yaml") and Path(name).is_file())


def own_options(model: str | Path | None, kind: str = "dense") -> dict[str, Any]:
    """The options that a model's own recipe gives for a kind of retriever: that within its folder, or the one by whose
    name the model is given; none where there is no recipe."""
    name = "" if model is None else str(model)
    path = Path(name) / OWN_RECIPE
    if not name or not (path.is_file() or is_recipe(name)):
        return {}
    recipe = catalog.load("retrievers", str(path) if path.is_file() else name, RetrieverRecipe)
    return recipe.options if recipe.retriever == kind else {}


def trained_text(model: str | Path | None, kind: str, asked: TextName | None) -> TextName | None:
    """The query text that a model of a kind is asked with: the one that it was trained on, where its recipe says that.

    Raises:
        InputError: ``asked``, which is wanted, is another.
    """
    trained: Any = own_options(model, kind).get("query_text")
    if trained is not None and asked not in (None, trained):
        raise InputError(
            f"the model {model} was trained on the query text {trained!r} and is to be asked with {asked!r}; leave "
            "query_text out, or take another model."
        )
    return asked or trained


def _of_folder(folder: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    path = Path(_model_folder(folder)) / OWN_RECIPE
    kind: str = model_kind(folder)
    if path.is_file():  # what opens it reads the options there, in whichever way it was given the folder
        kind = catalog.load("retrievers", str(path), RetrieverRecipe).retriever
    return kind, {"model": folder, **options}


def takes_settings(
    name: str, kind: type[S], *, own_documents: bool = False
) -> Callable[[Callable[[Corpus, Path, S, ProgressCallback | None], R]], Callable[..., R]]:
    """Makes an entry point of ``(corpus, indexes, settings, progress)``; its options are the fields of ``kind``, as
    values or as texts, and one that is unknown or not allowed is an :class:`InputError`.

    With ``own_documents`` the corpus may be None, that of a task set without documents.
    """

    def entry_point(open_with: Callable[[Corpus, Path, S, ProgressCallback | None], R]) -> Callable[..., R]:
        @wraps(open_with)
        def opened(corpus: Any, indexes: Any = None, *, progress: ProgressCallback | None = None, **options: Any) -> R:
            plain = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
            try:
                settings = convert(plain, kind, strict=False)
            except msgspec.ValidationError as error:
                fields = ", ".join(kind.__struct_fields__)
                raise InputError(
                    f"the retriever {name!r} cannot take these options: {said_plainly(error)}; it has {fields}."
                ) from error
            return open_with(corpus, indexes, settings, progress)

        # `wraps` would show the options as parameters of the function within
        del opened.__wrapped__
        opened.own_documents = own_documents  # type: ignore[attr-defined]
        return opened

    return entry_point


def _factory(name: str) -> Callable[..., Any]:
    point = _entry_points()[name]
    try:
        factory: Callable[..., Any] = point.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the retriever {name!r} ({point.value}) cannot be loaded ({error}); install what it needs."
        ) from error
    return factory


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _refuse_secrets(given: str | dict[str, Any]) -> None:
    refuse_secrets("the retriever", given, "token_env` or `api_key_env")


def _is_folder(name: str) -> bool:
    # a name wins over a folder that happens to be called the same in the working directory
    return Path(name).is_dir() and ("/" in name or name not in known_retrievers())


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds an encoder."""
    return any((folder / name).is_file() for name in _MODEL_FILES)


def _model_folder(folder: str) -> str:
    if not is_model_folder(Path(folder)):
        files = " nor ".join(_MODEL_FILES)
        raise InputError(f"{folder} holds no encoder (neither {files}); give a sentence-transformers folder.")
    return folder
