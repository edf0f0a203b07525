"""The reference of commands: every command and option as the command line itself knows them, at each build."""

from __future__ import annotations

import html
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

MARKER = "<!-- commands -->"
_WORDS = {int: "INTEGER", float: "NUMBER", Path: "PATH", str: "TEXT"}


def reference() -> str:
    """All commands in Markdown, in the panels and the order of ``lrat-sim --help``."""
    import typer

    from lrat_sim.cli import build

    panels: dict[str, list[str]] = {}
    group = typer.main.get_command(build())
    for name, command in group.commands.items():
        panels.setdefault(command.rich_help_panel or "Other", []).append(_command(name, command))
    return "\n\n".join(f"## {panel}\n\n" + "\n\n".join(commands) for panel, commands in panels.items())


def _command(name: str, command: Any) -> str:
    """One command: what it does, its usage, its arguments and options in a table."""
    kinds = {key: _plain(kind) for key, kind in get_type_hints(command.callback).items()}
    parameters = [each for each in command.params if each.name != "help" and not each.hidden]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    options = [each for each in parameters if each.param_type_name == "option"]
    required = [f"{each.opts[0]} {_value(each, kinds)}" for each in options if each.required]
    usage = " ".join(["lrat-sim", name, *map(_argument, arguments), *required, *(["[OPTIONS]"] if options else [])])
    rows = [f"| {_names(each, kinds)} | {_told(each, kinds)} | {_default(each)} |" for each in (*arguments, *options)]
    table = "\n".join(["| | | default |", "|---|---|---|", *rows]) if rows else ""
    return f"### {name} {{ #{name} }}\n\n{(command.help or '').strip()}\n\n```text\n{usage}\n```\n\n{table}"


def _plain(kind: Any) -> Any:
    """The type of one value: ``int`` of ``int | None`` and of ``list[int]``."""
    if get_origin(kind) is Literal:
        return kind
    inner = [each for each in get_args(kind) if each is not type(None)]
    return _plain(inner[0]) if inner else kind


def _argument(parameter: Any) -> str:
    named = (parameter.metavar or parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    return named if parameter.required else f"[{named}]"


def _names(parameter: Any, kinds: dict[str, Any]) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_argument(parameter)}`"
    said = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return said if parameter.is_flag else f"{said} {html.escape(_value(parameter, kinds))}"


def _value(parameter: Any, kinds: dict[str, Any]) -> str:
    """What stands for the option's value: its own word, or its type."""
    kind = kinds[parameter.name]
    return parameter.metavar or ("NAME" if _choices(kind) else _WORDS.get(kind, "TEXT"))


def _choices(kind: Any) -> list[str]:
    """The values that there are, of an enumeration or of a ``Literal``."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [choice.value for choice in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []


def _told(parameter: Any, kinds: dict[str, Any]) -> str:
    said, choices = html.escape(parameter.help or "").replace("|", "\\|"), _choices(kinds[parameter.name])
    return f"{said} One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else said


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value is None or value is False or value in ((), []):
        return "`off`" if parameter.secondary_opts else ""
    if value is True:
        return "`on`"
    value = getattr(value, "value", value)
    return ", ".join(f"`{each}`" for each in value) if isinstance(value, list | tuple) else f"`{value}`"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the reference where a page asks for it."""
    return markdown.replace(MARKER, reference()) if MARKER in markdown else markdown
