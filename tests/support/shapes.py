"""How each profile's backbone words a search, a browse and an answer, as its server would return them: plain data.

``SHAPES[profile]`` is a list of assistant messages, in order: a search, the opening of a document, the answer.  An
entry is the message, or a function (question, docid) that gives it.  ``THOUGHTS`` is the reasoning in them, turn by
turn, and None where the model shows none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Shape = dict[str, Any] | Callable[[str, str], dict[str, Any]]

FIRST, SECOND, THIRD = "The question names a lighthouse. Let me look for it.", "That one looks right.", "Now I know."
THOUGHTS: list[str | None] = [FIRST, SECOND, THIRD]
EXACT = "Maren Oxley"
FINAL = f"Explanation: [1] says so.\nExact Answer: {EXACT}\nConfidence: 90%"


def _native(id: str, name: str, arguments: dict[str, Any], **function: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments), **function}}


def _said(content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def _tag(name: str, arguments: dict[str, Any]) -> str:
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def _with_ids(prefix: str, think: Callable[[str], dict[str, Any]], content: str | None = None) -> list[Shape]:
    """A search, a browse and an answer by native calls; ``think`` says how a thought is worded."""
    return [
        lambda question, _: _said(
            content, **think(FIRST), tool_calls=[_native(f"{prefix}1", "search", {"query": question})]
        ),
        lambda _, docid: _said(
            content, **think(SECOND), tool_calls=[_native(f"{prefix}2", "get_document", {"docid": docid})]
        ),
        _said(FINAL, **think(THIRD)),
    ]


def _details(thought: str) -> dict[str, Any]:
    return {"reasoning_details": [{"type": "reasoning.text", "id": "reasoning-text-1", "index": 0, "text": thought}]}


SHAPES: dict[str, list[Shape]] = {
    # Qwen3's tags around a list of queries; its own name for opening
    "tongyi-deepresearch": [
        lambda question, _: _said(f"<think>\n{FIRST}\n</think>\n{_tag('search', {'query': [question, 'lighthouse']})}"),
        lambda _, docid: _said(
            f"<think>\n{SECOND}\n</think>\n{_tag('visit', {'url': [docid], 'goal': 'the designer'})}"
        ),
        _said(f"<think>\n{THIRD}\n</think>\n<answer>\n{FINAL}\n</answer>"),
    ],
    # the arguments of its training: queries, and a url with a query
    "webexplorer": [
        lambda question, _: _said(f"<think>{FIRST}</think>\n\n{_tag('search', {'queries': [question]})}"),
        lambda _, docid: _said(
            f"<think>{SECOND}</think>\n\n{_tag('browse', {'url': docid, 'query': 'Who designed it?'})}"
        ),
        _said(f"<think>{THIRD}</think>\n\n<answer>{FINAL}</answer>"),
    ],
    # the chat template opens the thinking, so that the text has its closing tag alone
    "agentcpm-explore": [
        lambda question, _: _said(f"{FIRST}\n</think>\n\n{_tag('search', {'query': question})}"),
        lambda _, docid: _said(f"{SECOND}\n</think>\n\n{_tag('get_document', {'docid': docid})}"),
        _said(f"{THIRD}\n</think>\n\n<answer>\n{FINAL}\n</answer>"),
    ],
    # vLLM: the analysis channel in `reasoning`, with the older name beside it, empty
    "gpt-oss": _with_ids("chatcmpl-tool-", lambda thought: {"reasoning": thought, "reasoning_content": None}),
    # its makers, with reasoning_split
    "minimax-m2": _with_ids("call_function_", _details, content=""),
    # its makers; content is a line break where calls follow
    "glm-4": _with_ids("call_-82", lambda thought: {"reasoning_content": f"\n{thought}"}, content="\n"),
    # OpenAI shows no reasoning, but a refusal and annotations that are empty
    "openai-tools": _with_ids("call_", lambda _: {"refusal": None, "annotations": []}),
    "react-text": [
        lambda question, _: _said(
            f'Thought: {FIRST}\nAction: search\nAction Input: {{"query": {json.dumps(question)}}}'
        ),
        lambda _, docid: _said(f"Thought: {SECOND}\nAction: get_document[{docid}]"),
        _said(f"Thought: {THIRD}\nFinal Answer:\n{FINAL}"),
    ],
}

SILENT = {"openai-tools"}
"""Profiles whose model shows no reasoning."""

ALSO: dict[str, list[Shape]] = {
    # gpt-oss behind a server without parsers: its channels are left in the text
    "gpt-oss": [
        lambda question, _: _said(
            f"<|channel|>analysis<|message|>{FIRST}<|end|><|start|>assistant<|channel|>commentary to=functions.search "
            f"<|constrain|>json<|message|>{json.dumps({'query': question})}<|call|>"
        ),
        lambda _, docid: _said(
            f"<|channel|>analysis<|message|>{SECOND}<|end|><|start|>assistant to=functions.get_document<|channel|>"
            f"commentary json<|message|>{json.dumps({'docid': docid})}<|call|>"
        ),
        _said(
            f"<|channel|>analysis<|message|>{THIRD}<|end|><|start|>assistant<|channel|>final<|message|>{FINAL}<|return|>"
        ),
    ],
    # vLLM with minimax_m2_append_think: tags in the text, beside native calls
    "minimax-m2": [
        lambda question, _: _said(
            f"<think>\n{FIRST}\n</think>\n\n", tool_calls=[_native("call_1", "search", {"query": question})]
        ),
        lambda _, docid: _said(
            f"<think>\n{SECOND}\n</think>\n\n", tool_calls=[_native("call_2", "get_document", {"docid": docid})]
        ),
        _said(f"<think>\n{THIRD}\n</think>\n\n{FINAL}"),
    ],
    # SGLang, or a host, that parses reasoning and calls though no tools were sent
    "tongyi-deepresearch": [
        *_with_ids("call_", lambda thought: {"reasoning_content": thought})[:2],
        _said(f"<answer>\n{FINAL}\n</answer>", reasoning_content=THIRD),
    ],
    # vLLM: reasoning under its newer name
    "glm-4": _with_ids("chatcmpl-tool-", lambda thought: {"reasoning": thought}),
}
"""The same from another server, with the same thoughts."""


def _thought(thought: str, shown: dict[str, Any]) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_", **shown, "status": None, "encrypted_content": f"sealed: {thought}"}


def _shown(thought: str) -> dict[str, Any]:
    """As vLLM shows reasoning."""
    return {"summary": [], "content": [{"type": "reasoning_text", "text": thought}]}


def _summed(thought: str) -> dict[str, Any]:
    """As OpenAI sums reasoning up."""
    return {"summary": [{"type": "summary_text", "text": thought}]}


def _spoken(text: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": None}]
    return {"type": "message", "id": "msg_", "role": "assistant", "status": "completed", "content": content, **more}


def _item(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    called = {"call_id": "call_", "name": name, "arguments": json.dumps(arguments), "status": "completed"}
    return {"type": "function_call", "id": "fc_", **called}


RESPONSES: dict[str, list[Shape]] = {
    "gpt-oss": [
        lambda question, _: {"output": [_thought(FIRST, _shown(FIRST)), _item("search", {"query": question})]},
        lambda _, docid: {"output": [_thought(SECOND, _shown(SECOND)), _item("get_document", {"docid": docid})]},
        {"output": [_thought(THIRD, _shown(THIRD)), _spoken(FINAL)]},
    ],
    "openai-responses": [
        lambda question, _: {
            "output": [
                _thought(FIRST, _summed(FIRST)),
                _spoken("I look for it.", phase="commentary"),
                _item("search", {"query": question}),
            ]
        },
        lambda _, docid: {"output": [_thought(SECOND, _summed(SECOND)), _item("get_document", {"docid": docid})]},
        {"output": [_thought(THIRD, _summed(THIRD)), _spoken(FINAL, phase="final_answer")]},
    ],
}
"""By the Responses API: its items under ``output``; ids end with what distinguishes them."""


def messages(shapes: list[Shape], question: str, docid: str) -> list[dict[str, Any]]:
    """The messages themselves for one question and one document."""
    return [shape(question, docid) if callable(shape) else shape for shape in shapes]
