"""How models word calls and answers: names and patterns, read from marks.yaml and answer.yaml."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import yaml

from lrat_sim.retrieval.result_format import OWN_TOOL, TOOL_NAMES


def _table(name: str) -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(files(__package__).joinpath(name).read_text("utf-8"))
    return table


def _compiled(patterns: dict[str, str]) -> dict[str, re.Pattern[str]]:
    parts = {"own": OWN_TOOL, "tools": TOOL_NAMES, **patterns}

    def filled(pattern: str) -> str:
        return re.sub(r"%(\w+)%", lambda name: f"(?:{filled(parts[name[1]].strip())})", pattern)

    return {name: re.compile(filled(pattern), re.VERBOSE) for name, pattern in patterns.items()}


_CALLS = _table("marks.yaml")
NAMES: dict[str, Any] = _CALLS["names"]
"""The names of tools, of their arguments, and of the fields of a call."""
SAME = [(re.compile(mark), meaning) for mark, meaning in _CALLS["same"]]
"""Marks of single models, and what they mean in tags."""
PATTERNS = _compiled(_CALLS["patterns"])
"""The marks of a call, and what surrounds its name and its arguments."""
ANSWERS = _compiled(_table("answer.yaml")["patterns"])
"""How an answer is stated, and what surrounds it."""
