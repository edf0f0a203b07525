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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import typer
from msgspec import Meta

from lrat_sim.errors import InputError
from lrat_sim.progress import console
from lrat_sim.settings import Setting, build, settings_of
from lrat_sim.verbs.arguments import Given, several
from lrat_sim.verbs.verb import check, hints, metadata, record_of

# panels of help, by the argument or field whose settings they hold
_PANELS = {"calls": "Model calls", "data": "Task set", "cluster": "Cluster"}
_SHORT = {"out": "-o", "task_set": "-t", "agent": "-a", "retriever": "-r", "k": "-k"}
_UNIONS = (types.UnionType, Union)


class _Option(NamedTuple):
    """One setting on the command line: typer's parameters for it, and how its value is read from theirs."""

    name: str
    parameters: list[inspect.Parameter]
    read: Callable[[Mapping[str, Any]], Any]


def command(
    verb: Callable[..., Any], show: Callable[..., None], *, extra: Sequence[Setting] = ()
) -> Callable[..., None]:
    """The function that typer makes a command of: it prints a verb's result by ``show``, which gets the ``extra``
    settings of the command as keywords."""
    known, parts = hints(verb), list[tuple[str, Any, bool, list[_Option]]]()
    for name, parameter in inspect.signature(verb).parameters.items():
        annotation, rest = known[name], parameter.kind is parameter.VAR_KEYWORD
        needed = parameter.default is parameter.empty and not rest
        default = ... if needed else {} if rest else parameter.default
        record = record_of(annotation)
        if record is not None:
            settings = [setting._replace(part=setting.part or name) for setting in settings_of(record)]
            options = [_option(setting, needed and not index) for index, setting in enumerate(settings)]
        elif rest:
            options = [_option(Setting(name, dict[str, annotation], default))]  # type: ignore[valid-type]
        elif name == "out" and needed and get_origin(_plain(next(iter(known.values())))) is not list:
            options = [_target(Setting(name, annotation, None))]
        else:
            positional = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name not in ("data", "out")
            options = [_option(Setting(name, annotation, default), positional=positional)]
        parts.append((name, record, rest, options))
    own = [_option(setting) for setting in extra]

    def run(**values: Any) -> None:
        arguments: dict[str, Any] = {}
        for name, record, rest, options in parts:
            given = {option.name: option.read(values) for option in options}
            if rest:
                arguments |= given if record is not None else given[name]
            else:
                arguments[name] = given[name] if record is None else build(record, given)
        try:
            result = verb(**arguments)
        except KeyboardInterrupt as stopped:
            for note in getattr(stopped, "__notes__", ["stopped; rerun the same command to resume"]):
                console.print(note, markup=False, soft_wrap=True)
            raise
        show(result, **{option.name: option.read(values) for option in own})

    all_options = [option for *_, options in (*parts, ("", None, False, own)) for option in options]
    parameters = [parameter for option in all_options for parameter in option.parameters]
    run.__doc__ = summary_of(verb)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def summary_of(verb: Callable[..., Any]) -> str:
    """The help of a verb: its docstring up to what concerns Python alone, paragraphs as they are."""
    about = (inspect.getdoc(verb) or "").partition("\n\nIn Python")[0]
    return "\n\n".join(" ".join(paragraph.split()).replace("``", "`") for paragraph in about.split("\n\n"))


def _option(setting: Setting, required: bool = False, positional: bool = False) -> _Option:
    name, kind = setting.name, _plain(setting.annotation)
    repeated = get_origin(kind) in (list, dict)
    # what may be repeated is called by its singular
    flag = "--" + (name.removesuffix("s") if repeated else name).replace("_", "-")
    default = ... if required else setting.default
    described = [meta.description for meta in metadata(setting.annotation, Meta) if meta.description]
    info: dict[str, Any] = {"help": described[0] if described else None, "rich_help_panel": _PANELS.get(setting.part)}
    info |= _limits(setting.annotation, kind)
    flags, read = [flag, *filter(None, [_SHORT.get(flag[2:].replace("-", "_"))])], _reader(setting, flag, kind)
    if kind is bool:
        flags = [flag if default is False else f"{flag}/--no-{flag[2:]}"]
    elif get_origin(kind) in _UNIONS:  # a text, or a switch
        without = typer.Option(f"--no-{flag[2:]}", help="Do without it.", rich_help_panel=info["rich_help_panel"])
        text = typer.Option(*flags, metavar="FILE", **info)
        return _Option(
            name, [_parameter(name, str | None, None, text), _parameter(f"no_{name}", bool, False, without)], read
        )
    elif get_origin(kind) is dict:
        info |= {"metavar": "KEY=VALUE"}
        kind, default = list[str], [] if default in (..., {}) else [f"{key}={value}" for key, value in default.items()]
    elif get_origin(kind) is list and default is not ...:
        default = [] if default is None else several(default)
    if positional:
        return _Option(name, [_parameter(name, kind, default, typer.Argument(**info))], read)
    if get_origin(kind) is list and info["help"]:
        info["help"] += " Repeatable."
    return _Option(name, [_parameter(name, kind, default, typer.Option(*flags, **info))], read)


def _target(setting: Setting) -> _Option:
    """What a command of one source writes: by the option, or by a second argument as with ``cp``."""
    argument = _parameter("target", Path, None, typer.Argument(help="The same as --out.", metavar="OUT"))

    def read(values: Mapping[str, Any]) -> Any:
        if (values["target"] is None) == (values["out"] is None):
            raise InputError("give what is to be written once, as the last argument or as --out.")
        return values["out"] or values["target"]

    return _Option(setting.name, [argument, *_option(setting).parameters], read)


def _parameter(name: str, kind: Any, default: Any, info: Any) -> inspect.Parameter:
    optional = kind | None if default is None else kind
    default = inspect.Parameter.empty if default is ... else default
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[optional, info]
    )


def _plain(annotation: Any) -> Any:
    """The type of a value as typer knows it: without metadata and None, lists and mappings as such."""
    if hasattr(annotation, "__metadata__"):
        given = metadata(annotation, Given)
        return _plain(given[0].kind if given else annotation.__origin__)
    origin, args = get_origin(annotation), [part for part in get_args(annotation) if part is not type(None)]
    if origin in _UNIONS:
        kinds = list(dict.fromkeys(map(_plain, args)))
        return kinds[0] if len(kinds) == 1 else Path if {*kinds} == {str, Path} else str | bool
    if origin in (list, tuple, Sequence):
        inner = _plain(args[0])
        return list[str if get_origin(inner) is Literal else inner]  # type: ignore[misc]  # typer knows none of choices
    if origin in (dict, Mapping):
        return dict[str, _plain(args[1])]  # type: ignore[misc]
    return annotation


def _limits(annotation: Any, kind: Any) -> dict[str, Any]:
    """Bounds of numbers that typer can show: it has no open ones, and absurdly large ones say nothing."""
    if kind not in (int, float, list[int], list[float]):
        return {}
    limits: dict[str, Any] = {}
    for meta in reversed(metadata(annotation, Meta)):  # the outermost counts
        limits |= {"min": meta.ge} if meta.ge is not None else {}
        limits |= {"max": meta.le} if meta.le is not None and meta.le < 1e9 else {}
    return limits


def _reader(setting: Setting, flag: str, kind: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Gives the setting's value from those of the command line, checked."""

    def pair(text: str) -> tuple[str, Any]:
        number = get_args(kind)[1] is float
        # a retriever's own options hold equals signs, so that a number stands behind the last one
        key, equals, value = text.rpartition("=") if number else text.partition("=")
        if not equals or not key:
            raise InputError(f"the option {text!r} of {flag} should read KEY=VALUE; write it so.")
        try:
            return key, float(value) if number else value
        except ValueError as error:
            raise InputError(f"the option {text!r} of {flag} should read KEY=NUMBER; write it so.") from error

    def read(values: Mapping[str, Any]) -> Any:
        value = values[setting.name]
        if get_origin(kind) is dict:
            return dict(map(pair, value))
        if get_origin(kind) in _UNIONS:
            if values[f"no_{setting.name}"] and value is not None:
                raise InputError(f"{flag} and --no-{flag[2:]} contradict one another; leave one out.")
            return False if values[f"no_{setting.name}"] else setting.default if value is None else value
        if not metadata(setting.annotation, Given) and value is not None:
            check(flag, value, setting.annotation)
        return value

    return read
