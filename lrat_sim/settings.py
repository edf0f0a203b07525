"""Settings: typed records in which each field is named, described and bounded once, by its annotation.

``rounds: Annotated[Whole, Meta(description="How often to collect, mine and train.")] = 1`` is what YAML files, checks,
command-line options and the reference pages are made from.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from lrat_sim.errors import InputError

# what is beyond these bounds is a mistake, and could neither be recorded nor allocated
Whole = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, Meta(ge=0, le=1e9)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings: immutable, keyword arguments only, an unknown field is refused.

    Raises:
        InputError: a value is not what its annotation allows, whether it comes from a file, an option or Python.
    """

    def __post_init__(self) -> None:
        # msgspec checks what it decodes, but not the arguments of a constructor
        for name, annotation in _annotations(type(self)).items():
            value = getattr(self, name)
            try:
                msgspec.structs.force_setattr(self, name, msgspec.convert(value, annotation))
            except msgspec.ValidationError as error:
                allowed = ", ".join(_choices(annotation))
                why = f"it must be one of {allowed}" if allowed else f"{error}; correct it"
                raise InputError(f"{name} is {value!r}; {why}.") from error


@cache
def _annotations(settings: type[Settings]) -> dict[str, Any]:
    hints = get_type_hints(settings, include_extras=True)
    return {name: hints[name] for name in settings.__struct_fields__}


def _choices(annotation: Any) -> list[str]:
    """The values of the literals in an annotation."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _choices(part)]
