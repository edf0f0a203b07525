"""Commands from verbs: every argument and every setting becomes an option, described and bounded by its annotation.

==============================  =======================================
in Python                       on the command line
==============================  =======================================
an argument before the ``*``    an argument, in order (``data`` is an option, ``out``, too)
``max_cost: float``             ``--max-cost``
``dry_run: bool = False``       ``--dry-run``
``adaptive: bool = True``       ``--adaptive`` and ``--no-adaptive``
a list or tuple ``seeds``       ``--seed``, repeated
a mapping ``options``           ``--option KEY=VALUE``, repeated
``cache: str | bool``           ``--cache FILE`` and ``--no-cache``
a record of settings            its settings, each as above
==============================  =======================================
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import typer
from msgspec import Meta

from lrat_sim.errors import InputError
from lrat_sim.settings import Setting, build, settings_of
from lrat_sim.verbs.verb import Given, check, hints, metadata, record_of

_PANELS = {"calls": "Model calls", "data": "Task set"}
"""Of help, by the argument or field whose settings they are."""
_SHORT = {"out": "-o", "task_set": "-t", "agent": "-a", "retriever": "-r", "k": "-k"}


class _Option(NamedTuple):
    """What one setting is on the command line, and how its value is read from there."""

    setting: Setting
    parameters: list[inspect.Parameter]
    read: Callable[[Mapping[str, Any]], Any]


def command(
    verb: Callable[..., Any], show: Callable[..., None], *, extra: Sequence[Setting] = ()
) -> Callable[..., None]:
    """The function that typer makes a command of.

    Args:
        verb: what it does.
        show: prints the verb's result; gets ``extra`` as keywords.
        extra: settings of the command alone.
    """
    known, options, parts = hints(verb), list[_Option](), list[Any]()
    for parameter in inspect.signature(verb).parameters.values():
        annotation = known[parameter.name]
        record, rest = record_of(annotation), parameter.kind is parameter.VAR_KEYWORD
        if record is not None:
            needed = parameter.default is parameter.empty and not rest
            parts_of = [setting._replace(part=setting.part or parameter.name) for setting in settings_of(record)]
            own = [_option(setting, needed and not index) for index, setting in enumerate(parts_of)]
        elif rest:
            own = [_option(Setting(parameter.name, dict[str, annotation], {}))]  # type: ignore[valid-type]
        else:
            default = ... if parameter.default is parameter.empty else parameter.default
            place = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name not in ("data", "out")
            setting = Setting(parameter.name, annotation, default)
            copies = (
                setting.name == "out" and default is ... and get_origin(_kind(next(iter(known.values())))) is not list
            )
            own = [_target(setting) if copies else _option(setting, positional=place)]
        options += own
        parts.append((parameter.name, record, rest, own))
    own = [_option(setting) for setting in extra]
    options += own

    def run(**values: Any) -> None:
        arguments: dict[str, Any] = {}
        for name, record, rest, of_part in parts:
            given = {option.setting.name: option.read(values) for option in of_part}
            if rest:
                arguments |= given if record is not None else given[name]
            else:
                arguments[name] = given[name] if record is None else build(record, given)
        show(verb(**arguments), **{option.setting.name: option.read(values) for option in own})

    run.__doc__ = told(verb)
    run.__signature__ = inspect.Signature([p for option in options for p in option.parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for option in options for p in option.parameters}
    return run


def told(verb: Callable[..., Any]) -> str:
    """What help says of a verb: its docstring up to what is of Python alone, paragraphs as they are."""
    about = (inspect.getdoc(verb) or "").partition("\n\nIn Python")[0]
    return "\n\n".join(" ".join(paragraph.split()).replace("``", "`") for paragraph in about.split("\n\n"))


def option_name(name: str, kind: Any = str) -> str:
    """The option of a setting; what may be repeated is called by its singular."""
    many = get_origin(kind) in (list, tuple, dict) or kind is dict
    return "--" + (name.removesuffix("s") if many else name).replace("_", "-")


def _option(setting: Setting, required: bool = False, positional: bool = False) -> _Option:
    kind = _kind(setting.annotation)
    flag, limits = option_name(setting.name, kind), _limits(setting.annotation)
    default = ... if required else setting.default
    said = [meta.description for meta in metadata(setting.annotation, Meta) if meta.description]
    panel = _PANELS.get(setting.part)
    info: dict[str, Any] = {"help": said[0] if said else None, "rich_help_panel": panel, **limits}
    arguments = [flag, *filter(None, [_SHORT.get(flag[2:].replace("-", "_"))])]
    read = _reader(setting, flag, kind)
    if kind is bool:
        arguments = [flag if default is False else f"{flag}/--no-{flag[2:]}"]
    elif get_origin(kind) in (types.UnionType, Union):  # a text, or a switch
        off = inspect.Parameter(
            f"no_{setting.name}", inspect.Parameter.KEYWORD_ONLY, default=False,
            annotation=Annotated[bool, typer.Option(f"--no-{flag[2:]}", help="Do without it.", rich_help_panel=panel)],
        )  # fmt: skip
        on = _parameter(setting.name, str | None, None, typer.Option(*arguments, metavar="FILE", **info))
        return _Option(setting, [on, off], read)
    elif get_origin(kind) is dict:
        info |= {"metavar": "KEY=VALUE"}
        kind, default = list[str], [] if default in (..., {}) else [f"{key}={value}" for key, value in default.items()]
    elif get_origin(kind) is list:
        default = default if default is ... else [] if default is None else _listed(default)
    if positional:
        return _Option(setting, [_parameter(setting.name, kind, default, typer.Argument(**info))], read)
    info["help"] = f"{info['help']} Repeatable." if get_origin(kind) is list and info["help"] else info["help"]
    return _Option(setting, [_parameter(setting.name, kind, default, typer.Option(*arguments, **info))], read)


def _target(setting: Setting) -> _Option:
    """What a command of one source writes: by the option, or by a second argument as with ``cp``."""
    option = _option(setting._replace(default=None))
    told = typer.Argument(help="The same as --out.", metavar="OUT")

    def read(values: Mapping[str, Any]) -> Any:
        if (values["target"] is None) == (values["out"] is None):
            raise InputError("give what is to be written once, as the last argument or as --out.")
        return values["out"] or values["target"]

    return _Option(setting, [_parameter("target", Path, None, told), *option.parameters], read)


def _parameter(name: str, kind: Any, default: Any, told: Any) -> inspect.Parameter:
    optional = kind | None if default is None else kind
    default = inspect.Parameter.empty if default is ... else default
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[optional, told]
    )


def _listed(value: Any) -> list[Any]:
    return [*value] if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _kind(annotation: Any) -> Any:
    """The type of an argument on the command line."""
    given = metadata(annotation, Given)
    return _plain(given[0].kind if given else annotation)


def _plain(annotation: Any) -> Any:
    """The type of a value as typer knows it: without metadata and None, lists and mappings as such."""
    if hasattr(annotation, "__metadata__"):
        return _plain(annotation.__origin__)
    origin, args = get_origin(annotation), [each for each in get_args(annotation) if each is not type(None)]
    if origin in (types.UnionType, Union):
        kinds = list(dict.fromkeys(map(_plain, args)))
        return kinds[0] if len(kinds) == 1 else Path if {*kinds} == {str, Path} else str | bool
    if origin in (list, tuple, Sequence):
        return list[_plain(args[0])]  # type: ignore[misc]
    if origin in (dict, Mapping):
        return dict[str, _plain(args[1])]  # type: ignore[misc]
    return annotation


def _limits(annotation: Any) -> dict[str, Any]:
    """Bounds that typer can show: it has none that are open, and those of anything absurd say nothing."""
    found = metadata(annotation, Meta) if _number(annotation) else []
    low, high = [m.ge for m in found if m.ge is not None], [m.le for m in found if m.le is not None and m.le < 1e9]
    return {name: values[0] for name, values in (("min", low), ("max", high)) if values}


def _number(annotation: Any) -> bool:
    kind = _plain(annotation)
    return kind in (int, float) or (get_origin(kind) is list and get_args(kind)[0] in (int, float))


def _reader(setting: Setting, flag: str, kind: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Gives the setting's value from those of the command line, checked."""

    def read(values: Mapping[str, Any]) -> Any:
        value = values[setting.name]
        if get_origin(kind) is dict:
            return dict(_pairs(value, flag, get_args(kind)[1]))
        if get_origin(kind) in (types.UnionType, Union):
            if values[f"no_{setting.name}"] and value is not None:
                raise InputError(f"{flag} and --no-{flag[2:]} contradict one another; leave one out.")
            return False if values[f"no_{setting.name}"] else setting.default if value is None else value
        if not metadata(setting.annotation, Given) and value is not None:
            check(flag, value, setting.annotation)
        return value

    return read


def _pairs(given: Sequence[str], flag: str, kind: Any) -> Iterator[tuple[str, Any]]:
    for text in given:
        # a retriever's own options hold equals signs, so that a number stands behind the last one
        key, equals, value = text.rpartition("=") if kind is float else text.partition("=")
        if not equals or not key:
            raise InputError(f"the option {text!r} of {flag} should read KEY=VALUE; write it so.")
        try:
            yield key, float(value) if kind is float else value
        except ValueError as error:
            raise InputError(f"the option {text!r} of {flag} should read KEY=NUMBER; write it so.") from error
