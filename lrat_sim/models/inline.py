"""Reasoning that a model wrote into its text: think blocks, and what is left of gpt-oss's channels.

A reasoning parser on the server, and litellm, take such parts out where they know them.  What they leave is read
here.  Every word ends up on one side, the text's or the reasoning's; only the marks themselves go.
"""

from __future__ import annotations

import re

from msgspec import Struct

_OPEN = r"<(?:mm:|seed:)?think(?:ing)?\s*>|\[THINK\]"
_CLOSE = r"</(?:mm:|seed:)?think(?:ing)?\s*>|\[/THINK\]"
_MARK = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_LINE_START = re.compile(r"(?:\A|\n)[ \t]*\Z")


class Split(Struct, frozen=True):
    """A text in its parts: what is said, what is thought (None without any), calls as (name, arguments).

    ``reordered`` is set where thoughts or calls stood behind or between what is said, so that the parts alone do
    not tell how the text read.
    """

    text: str
    reasoning: str | None = None
    calls: list[tuple[str, str]] = []
    reordered: bool = False


def split_inline(text: str, *, reasoned: bool) -> Split:
    """Tells what a model said from what it thought.

    - a block ``<think>...</think>`` (also ``<thinking>``, ``[THINK]``) anywhere is reasoning, a block within a block
      included;
    - one that is never closed is reasoning to the end, if it opens a line;
    - a closing tag alone had its opening tag in the chat template: all before it is reasoning;
    - gpt-oss: the channel ``analysis`` is reasoning, ``final`` and ``commentary`` are text, and what is addressed
      ``to=functions.NAME`` is a call.

    A message that is ``reasoned`` states its reasoning elsewhere; a closing tag alone is then text.
    """
    if "<|message|>" in text:
        return _channels(text)
    if bare := _BARE.match(text):
        return Split((bare["final"] or bare["call"]).strip(), bare["analysis"].strip())
    marks = list(_MARK.finditer(text))
    if not marks:
        return Split(text)
    said: list[str] = []
    thought: list[str] = []
    end = index = 0
    if marks[0]["close"] and not reasoned:
        thought.append(text[: marks[0].start()])
        end, index = marks[0].end(), 1
    while index < len(marks):
        mark = marks[index]
        last = _closing(marks, index) if mark["open"] else None
        if last is not None:
            thought.append(text[mark.end() : marks[last].start()])
        elif mark["open"] and _LINE_START.search(text[end : mark.start()]):
            thought.append(text[mark.end() :])
        else:  # a tag that is talked about
            index += 1
            continue
        said.append(text[end : mark.start()])
        end, index = (len(text), len(marks)) if last is None else (marks[last].end(), last + 1)
    if not thought:
        return Split(text)
    said.append(text[end:])
    reordered = any(part.strip() for part in said[:-1])
    return Split(_joined(said), "\n".join(filter(None, (part.strip() for part in thought))), reordered=reordered)


def _closing(marks: list[re.Match[str]], opening: int) -> int | None:
    """Which mark closes the block; where the tags within do not pair up, the first that could."""
    depth, first = 0, None
    for index in range(opening, len(marks)):
        depth += 1 if marks[index]["open"] else -1
        if depth == 0:
            return index
        if first is None and marks[index]["close"]:
            first = index
    return first


def _joined(parts: list[str]) -> str:
    """What is left of a text, with a space or a line break where a block was."""
    whole = ""
    for part in parts:
        gap = "\n" if whole.endswith("\n") or part.startswith("\n") else " "
        whole = f"{whole.rstrip()}{gap}{part.lstrip()}" if whole.strip() and part.strip() else whole + part
    return whole.strip()


_HEADER = re.compile(
    r"(?:<\|start\|>(?P<role>[^<]*))?(?:<\|channel\|>(?P<channel>[^<]*))?(?:<\|constrain\|>(?P<form>[^<]*))?<\|message\|>"
)
_END = re.compile(r"\s*<\|(?:end|return|call)\|>\s*")
_RECIPIENT = re.compile(r"to=(?:functions\.)?([\w.-]+)")
_BARE = re.compile(
    r"\A\s*analysis(?=[A-Z])(?P<analysis>.*?)assistant"
    r"(?:final(?P<final>.*)|(?P<call>(?:commentary|analysis)?\s{0,3}to=.*))\Z",
    re.DOTALL,
)
"""Channels whose marks the server left out as special tokens: ``analysisWe look ...assistantfinalThe answer``."""


def _channels(text: str) -> Split:
    said, thought, calls = [], [], []
    headers = list(_HEADER.finditer(text))
    # what stands before the first header belongs to a final channel that the server opened
    said.append(_END.sub("\n", text[: headers[0].start()]) if headers else text)
    for index, header in enumerate(headers):
        until = headers[index + 1].start() if index + 1 < len(headers) else len(text)
        body = _END.sub("\n", text[header.end() : until]).strip()
        name = header["channel"] or ""
        recipient = _RECIPIENT.search(f"{header['role'] or ''} {name} {header['form'] or ''}")
        if recipient:
            calls.append((recipient[1], body))
        elif name.strip().startswith("analysis"):
            thought.append(body)
        else:
            said.append(body)
    reasoning = "\n".join(thought) if thought else None
    return Split("\n".join(filter(None, (part.strip() for part in said))), reasoning, calls, reordered=True)
