"""What makes a function a verb: its arguments are checked by their annotations, and its command is made from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar, get_args, get_type_hints

import msgspec

from lrat_sim.cluster import connected
from lrat_sim.decoding import convert
from lrat_sim.errors import InputError, said_plainly
from lrat_sim.settings import Settings
from lrat_sim.verbs.arguments import Given

P = ParamSpec("P")
R = TypeVar("R")


class _PublicNames(dict[str, Any]):
    """The package's exported names, imported when an annotation is read."""

    def __missing__(self, name: str) -> Any:
        import lrat_sim

        try:
            return getattr(lrat_sim, name)
        except AttributeError as error:
            raise KeyError(name) from error


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a verb's arguments, with their metadata."""
    plain = inspect.unwrap(function)
    arguments = {name: annotation for name, annotation in plain.__annotations__.items() if name != "return"}
    return get_type_hints(
        SimpleNamespace(__annotations__=arguments), plain.__globals__, _PublicNames(), include_extras=True
    )


def metadata(annotation: Any, kind: type[R]) -> list[R]:
    """The metadata of one kind in an annotation, at any depth, the outermost first."""
    own = [item for item in getattr(annotation, "__metadata__", ()) if isinstance(item, kind)]
    parts = (annotation.__origin__,) if hasattr(annotation, "__metadata__") else get_args(annotation)
    return own + [item for part in parts for item in metadata(part, kind)]


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """Checks the arguments of a function by their annotations, and calls it with the machines of its ``cluster``."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = inspect.signature(function).bind(*args, **kwargs).arguments
        known = hints(function)
        for name in bound.keys() & known.keys():
            if not metadata(known[name], Given):
                check(name, bound[name], known[name])
        # of all that a verb does, whatever spreads over machines does so while it runs
        with connected(bound.get("cluster")):
            return function(*args, **kwargs)

    return checked


def check(name: str, value: Any, annotation: Any) -> None:
    """Refuses a value that an annotation does not allow."""
    try:
        convert(value, annotation, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"{name} is {value!r}: {said_plainly(error)}; correct it.") from error


def record_of(annotation: Any) -> type[Settings] | None:
    """The record whose settings an argument or the further keywords of a verb are."""
    for part in (*metadata(annotation, Given), *getattr(annotation, "__metadata__", ())):
        kind = part.kind if isinstance(part, Given) else part
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None
