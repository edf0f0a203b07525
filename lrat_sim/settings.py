"""Settings: typed records in which each field is named, described and bounded once, by its annotation, from which YAML
files, checks, command-line options and the reference pages are made."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from lrat_sim.decoding import convert
from lrat_sim.errors import InputError, said_plainly

# what is beyond these bounds is a mistake, and could neither be recorded nor allocated
Whole = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, Meta(ge=0, le=1e9)]
Share = Annotated[float, Meta(ge=0, le=1)]

# what several verbs and studies have
Seed = Annotated[int, Meta(ge=0, le=(1 << 32) - 1, description="Random seed.")]
Samples = Annotated[int, Meta(ge=1, le=100_000, description="Runs of each task.")]
Limit = Annotated[Whole, Meta(description="Largest number of tasks to run.")]
Split = Annotated[str, Meta(description="Tasks to run: train, dev, test or ood, as far as the task set has them.")]

S = TypeVar("S", bound="Settings")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings: immutable, keyword arguments only; a value that its annotation does not allow is an
    InputError, whether it comes from a file, an option or Python."""

    def __post_init__(self) -> None:
        # msgspec checks what it decodes, but not the arguments of a constructor
        for name, annotation in _annotations(type(self)).items():
            value = getattr(self, name)
            try:
                msgspec.structs.force_setattr(self, name, convert(value, annotation))
            except msgspec.ValidationError as error:
                if "`$." in str(error):  # a field of a record that was given as plain data
                    raise InputError(f"{said_plainly(error, name)}; correct it.") from error
                allowed = ", ".join(_choices(annotation))
                why = f"it must be one of {allowed}" if allowed else f"{said_plainly(error)}; correct it"
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


class Setting(NamedTuple):
    """One setting; ``default`` is ``...`` where there is none, ``part`` the field of the record that contains it."""

    name: str
    annotation: Any
    default: Any
    part: str = ""


def settings_of(kind: type[Settings]) -> list[Setting]:
    """All settings of a record, and after them those of the records within it."""
    own: list[Setting] = []
    inner: list[Setting] = []
    for field in msgspec.structs.fields(kind):
        annotation = _annotations(kind)[field.name]
        if (record := _record(annotation)) is not None:
            inner += [setting._replace(part=field.name) for setting in settings_of(record)]
            continue
        default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        own.append(Setting(field.name, annotation, ... if default is msgspec.NODEFAULT else default))
    return own + inner


def build(kind: type[S], values: dict[str, Any]) -> S:
    """A record from its settings by name, those of the records within it among them; several may be given by their
    singular (``seed=1`` for ``seeds=(1,)``)."""
    fields = {field.name: _record(_annotations(kind)[field.name]) for field in msgspec.structs.fields(kind)}
    known = [setting.name for setting in settings_of(kind)]
    several = {setting.name for setting in settings_of(kind) if _is_tuple(setting.annotation)}
    for name in [name for name in values if name not in known and f"{name}s" in several]:
        one = values[name]
        values = {**values, f"{name}s": tuple(one) if isinstance(one, list | tuple) else (one,)}
        del values[name]
    given = {name: value for name, value in values.items() if name in fields}
    for name, inner in fields.items():
        within = {s.name: values[s.name] for s in settings_of(inner) if s.name in values} if inner else {}
        if inner is not None and within:
            given[name] = build(inner, within)
    if unknown := sorted({*values} - {*known, *fields}):
        raise InputError(f"there is no setting {', '.join(map(repr, unknown))}; there are {', '.join(known)}.")
    return kind(**given)


def _is_tuple(annotation: Any) -> bool:
    return get_origin(getattr(annotation, "__origin__", annotation)) is tuple or get_origin(annotation) is tuple


def _record(annotation: Any) -> type[Settings] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Settings) else None
