"""What a model's message says, whatever shape its provider gave it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from lrat_sim.foreign.values import recordable
from lrat_sim.models.items import ITEMS, as_chat, is_commentary


class ToolCall(Struct, frozen=True, kw_only=True):
    """One call that the model asks for; ``arguments`` is its text, as it came."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True, kw_only=True):
    """A model's message: its reasoning (None where it gave none), its text, its calls."""

    reasoning: str | None
    text: str | None
    calls: list[ToolCall]
    raw: dict[str, Any] | None = None  # the message as received, where it holds more
    content: str | None = None  # the text as it was written, where reasoning was taken out of it
    apart: str | None = None  # the reasoning that did not stand in the text
    shapes: list[str] = []  # where reasoning stood: fields, `content` for its parts, `inline`
    commentary: bool = False  # whether the model says that its text is not its answer


def read_message(raw: dict[str, Any]) -> Message:
    """Reads an OpenAI-shaped assistant message; never raises, and no word of it is lost.

    Reasoning is what stands in ``reasoning_content``, ``reasoning``, ``thinking_blocks``, ``reasoning_details`` or
    ``reasoning_items``, in the message or in litellm's ``provider_specific_fields``; in parts of the content of the
    type ``thinking`` or ``reasoning``; and what is marked as such within the text
    (:func:`split_inline`).  What is stated twice is kept once.  Absent is not the same as empty:
    a field that is null is absent, and one that is there but cannot be read (a redacted block) is empty.

    Calls are ``tool_calls``, the older ``function_call``, parts of the type ``tool_use``, and where there are none
    of these, what gpt-oss left in its text.  Arguments given as a mapping become the text of it.

    Items of the Responses API are read as the message that says the same.
    """
    raw = recordable(raw)
    if isinstance(items := raw.get(ITEMS), list):
        read = read_message(as_chat(items))
        return replace(read, raw=raw, commentary=is_commentary(items), shapes=[ITEMS] if read.shapes else [])
    written, parts, thought = _content(raw.get("content"))
    stated = _stated(raw)
    reasoning = apart = _once([*stated.values(), *thought])
    shapes = [*stated, *(["content"] if thought else [])]
    calls = [*_tool_calls(raw.get("tool_calls")), *parts] or _tool_calls([{"function": raw.get("function_call")}])
    split = split_inline(written or "", reasoned=bool(reasoning))
    if split.calls and not calls:
        calls = split.calls
    changed = split.reasoning is not None or bool(split.calls)
    if split.reasoning is not None and (reasoning is None or _bare(split.reasoning) not in ("", _bare(reasoning))):
        reasoning = f"{reasoning}\n{split.reasoning}" if reasoning else split.reasoning
    more = split.reordered or _holds_more(raw, reasoning, calls)
    return Message(
        reasoning=reasoning,
        text=split.text or None,
        calls=calls,
        raw=raw if more else None,
        content=written if changed else None,
        apart=apart,
        shapes=[*shapes, "inline"] if split.reasoning is not None else shapes,
    )


_REASONING = ("reasoning_content", "reasoning", "thinking_blocks", "reasoning_details", "reasoning_items")
_THINKS = ("thinking", "reasoning", "redacted_thinking")  # types of a content's part


def _holders(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Where fields stand: the message, and those that litellm does not know, beside it."""
    yield raw
    if isinstance(beside := raw.get("provider_specific_fields"), dict):
        yield beside


def _stated(raw: dict[str, Any]) -> dict[str, str]:
    """What the fields say, by their names."""
    stated: dict[str, str] = {}
    for holder in _holders(raw):
        for key in _REASONING:
            if holder.get(key) is not None:
                stated[key] = _once([stated[key], _words(holder[key])]) or "" if key in stated else _words(holder[key])
    # litellm repeats under the older name what came under the newer
    newer, older = stated.get("reasoning"), stated.get("reasoning_content")
    # of megabytes, the first comparison is a hundred times as fast
    if newer and older is not None and (newer == older or _bare(newer) == _bare(older)):
        del stated["reasoning_content"]
    return stated


def _words(value: Any) -> str:
    """The text of reasoning: a string, a block with it under one of several names, or a list of such blocks."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        # blocks are apart; the chunks of one block run on
        gap = "" if all(isinstance(item, dict) and item.get("type") == "text" for item in value) else "\n"
        return gap.join(filter(None, map(_words, value)))
    if isinstance(value, dict):
        named = (value[key] for key in ("text", "thinking", "reasoning", "summary", "content") if value.get(key))
        return "\n".join(filter(None, map(_words, named)))
    return ""


def _once(texts: list[str]) -> str | None:
    """What several fields say, each thing once; None without any."""
    if len(distinct := list(dict.fromkeys(texts))) == 1:
        return distinct[0]
    whole: list[str] = []
    for words in distinct:
        bare = _bare(words)
        if not any(bare in _bare(longer) for longer in whole):
            whole = [shorter for shorter in whole if _bare(shorter) not in bare] + [words]
    return "\n".join(whole) if whole else None


def _bare(text: str) -> str:
    return "".join(text.split())


def _content(content: Any) -> tuple[str | None, list[ToolCall], list[str]]:
    """A message's content: its text, calls and reasoning among its parts; a number is the text of it."""
    if content is None or isinstance(content, str):
        return content, [], []
    if isinstance(content, int | float):
        return _text(content), [], []
    parts = content if isinstance(content, list) else [content]
    text: list[str] = []
    calls: list[ToolCall] = []
    thought: list[str] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _THINKS:
            thought.append(_words(part))
        elif kind == "tool_use":
            calls.append(_call(part.get("id"), part.get("name"), part.get("input")))
        elif isinstance(part, str):
            text.append(part)
        elif isinstance(part, dict):
            words = part.get("text", part.get("content"))
            words = words.get("value") if isinstance(words, dict) else words  # as OpenAI's assistants write it
            text += [words] if isinstance(words, str) else []
    return "".join(text) if text else None, calls, thought


def _tool_calls(value: Any) -> list[ToolCall]:
    calls = [call for call in value if isinstance(call, dict)] if isinstance(value, list) else []
    return [
        _call(call.get("id"), function.get("name"), function.get("arguments"))
        for call in calls
        if isinstance(function := call.get("function"), dict) and function
    ]


def _call(id: Any, name: Any, arguments: Any) -> ToolCall:
    return ToolCall(id=_text(id), name=_text(name), arguments=_text(arguments))


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _holds_more(raw: dict[str, Any], reasoning: str | None, calls: list[ToolCall]) -> bool:
    """Whether the message says something that its reasoning, text and calls do not."""
    return any(
        not _explained(key, value, reasoning, calls)
        for holder in _holders(raw)
        for key, value in holder.items()
        if value not in (None, [], {}, "") and key != "provider_specific_fields"
    ) or not isinstance(raw.get("provider_specific_fields") or {}, dict)


def _explained(key: str, value: Any, reasoning: str | None, calls: list[ToolCall]) -> bool:
    if key == "role":
        return bool(value == "assistant")
    if key == "content":
        return isinstance(value, str)
    if key in _REASONING and isinstance(value, str):
        return value == reasoning or _bare(value) in _bare(reasoning or "")
    if key == "function_call":
        return _plain_call({"function": value}) and len(calls) == 1
    if key == "tool_calls":
        return isinstance(value, list) and len(value) == len(calls) and all(map(_plain_call, value))
    return False


def _plain_call(call: Any) -> bool:
    """Whether a call has an id, a name and arguments, and no more."""
    if not isinstance(call, dict) or call.get("type") not in (None, "function"):
        return False
    function = call.get("function")
    known = {key for key, value in call.items() if value} <= {"id", "type", "function", "index"}
    return known and isinstance(function, dict) and function.keys() <= {"name", "arguments"}


# --- reasoning that a model wrote into its text: think blocks, and what is left of gpt-oss's channels -----------------
# Every word ends up on one side, the text's or the reasoning's; only the marks themselves go.

_OPEN = r"<(?:mm:|seed:)?think(?:ing)?\s*>|\[THINK\]"
_CLOSE = r"</(?:mm:|seed:)?think(?:ing)?\s*>|\[/THINK\]"
_MARK = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_LINE_START = re.compile(r"(?:\A|\n)[ \t]*\Z")


class Split(Struct, frozen=True):
    """A text in its parts: what is said, the reasoning (None without any), calls."""

    text: str
    reasoning: str | None = None
    calls: list[ToolCall] = []
    reordered: bool = False  # reasoning or calls stood behind or between what is said


def split_inline(text: str, *, reasoned: bool) -> Split:
    """Separates what a model says from its reasoning.

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
    texts: list[str] = []
    thoughts: list[str] = []
    end = index = 0
    if marks[0]["close"] and not reasoned:
        thoughts.append(text[: marks[0].start()])
        end, index = marks[0].end(), 1
    while index < len(marks):
        mark = marks[index]
        last = _closing(marks, index) if mark["open"] else None
        if last is not None:
            thoughts.append(text[mark.end() : marks[last].start()])
        elif mark["open"] and _LINE_START.search(text[end : mark.start()]):
            thoughts.append(text[mark.end() :])
        else:  # a tag that is talked about
            index += 1
            continue
        texts.append(text[end : mark.start()])
        end, index = (len(text), len(marks)) if last is None else (marks[last].end(), last + 1)
    if not thoughts:
        return Split(text)
    texts.append(text[end:])
    reordered = any(part.strip() for part in texts[:-1])
    return Split(_joined(texts), "\n".join(filter(None, (part.strip() for part in thoughts))), reordered=reordered)


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
# channels whose marks the server left out as special tokens: ``analysisWe look ...assistantfinalThe answer``
_BARE = re.compile(
    r"\A\s*analysis(?=[A-Z])(?P<analysis>.*?)assistant"
    r"(?:final(?P<final>.*)|(?P<call>(?:commentary|analysis)?\s{0,3}to=.*))\Z",
    re.DOTALL,
)


def _channels(text: str) -> Split:
    texts, thoughts, calls = [], [], []
    headers = list(_HEADER.finditer(text))
    # what stands before the first header belongs to a final channel that the server opened
    texts.append(_END.sub("\n", text[: headers[0].start()]) if headers else text)
    for index, header in enumerate(headers):
        until = headers[index + 1].start() if index + 1 < len(headers) else len(text)
        body = _END.sub("\n", text[header.end() : until]).strip()
        name = header["channel"] or ""
        recipient = _RECIPIENT.search(f"{header['role'] or ''} {name} {header['form'] or ''}")
        if recipient:
            calls.append(ToolCall(id="", name=recipient[1], arguments=body))
        elif name.strip().startswith("analysis"):
            thoughts.append(body)
        else:
            texts.append(body)
    reasoning = "\n".join(thoughts) if thoughts else None
    return Split("\n".join(filter(None, (part.strip() for part in texts))), reasoning, calls, reordered=True)
