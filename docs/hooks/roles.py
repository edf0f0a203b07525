"""What the reference needs beside the docstrings as they stand.

Docstrings name things by Sphinx's roles (``:func:`name```): here they become links, or code where nothing answers.
Records and settings get the signature that msgspec makes for them.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:mod|func|class|meth|data|attr|exc):`(~?)([\w.]+)`")
_STRUCTS = {"Struct", "Record", "NamedTuple", "ReaderOptions"}
_LITERAL = re.compile(r"(?m)^(\s*)(\S.*?)?::$")


def _link(found: re.Match[str]) -> str:
    short, name = found.groups()
    shown = name.rsplit(".", 1)[-1] if short or name.startswith("lrat_sim.") else name
    return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'


def _plain(found: re.Match[str]) -> str:
    """A line that ends in ``::`` announces a literal block, which an indented one is in Markdown, too."""
    return f"{found[1]}{found[2]}:" if found[2] else found[1]


class Roles(griffe.Extension):
    """Rewrites every docstring before it is parsed, and gives structs their signature."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = _LITERAL.sub(_plain, _ROLE.sub(_link, obj.docstring.value))

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Called when a class is complete."""
        fields = [
            each
            for each in cls.attributes.values()
            if each.annotation is not None and "ClassVar" not in str(each.annotation)
        ]
        if not fields or "__init__" in cls.members or not {str(base) for base in cls.bases} & _STRUCTS:
            return
        keyword = griffe.ParameterKind.keyword_only
        parameters = [
            griffe.Parameter(each.name, annotation=each.annotation, kind=keyword, default=each.value) for each in fields
        ]
        own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
        cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(own, *parameters)))
