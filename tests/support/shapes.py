"""How each profile's backbone words a search, a browse and an answer, as its server would return them: plain data.

``SHAPES[profile]`` is a list of assistant messages, in order: a search, the opening of a document, the answer.  An
entry is the message, or a function (question, docid) that gives it.  ``THOUGHTS`` is the reasoning in them, turn by
turn, and None where the model shows none.
"""

from __future__ import annotations

import json
import re
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


def _thinking_inline(opening: str, closing: str) -> list[Shape]:
    """Native calls beside a text that holds nothing but the thinking."""
    return [
        lambda question, _: _said(
            f"{opening}{FIRST}{closing}", tool_calls=[_native("call_1", "search", {"query": question})]
        ),
        lambda _, docid: _said(
            f"{opening}{SECOND}{closing}", tool_calls=[_native("call_2", "get_document", {"docid": docid})]
        ),
        _said(f"{opening}{THIRD}{closing}{FINAL}"),
    ]


def _mcp(name: str, arguments: dict[str, Any]) -> str:
    tool = f"<server_name>documents</server_name>\n<tool_name>{name}</tool_name>"
    return f"<use_mcp_tool>\n{tool}\n<arguments>\n{json.dumps(arguments)}\n</arguments>\n</use_mcp_tool>"


def _seeker(name: str, arguments: dict[str, Any]) -> str:
    call = json.dumps({"tool_name": name, "tool_args": arguments})
    return f"<tool_calls_begin>\n<tool_call>{call}</tool_call>\n</tool_calls_end>"


_ON_VLLM = [f"qwen3.5-{size}" for size in ("4b", "9b", "27b", "35b-a3b")]
_ON_VLLM += ["qwen3.6-27b", "gpt-oss-20b", "gemma-4", "gemma-4-e2b"]

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
    # vLLM: reasoning in `reasoning`, ids of its own
    **{name: _with_ids("chatcmpl-tool-", lambda thought: {"reasoning": thought}) for name in _ON_VLLM},
    # their own hosts
    "deepseek-v4-flash": _with_ids("call_00_", lambda thought: {"reasoning_content": thought}, content=""),
    "deepseek-v4-pro": _with_ids("call_00_", lambda thought: {"reasoning_content": thought}, content=""),
    "kimi-k2.6": _with_ids("functions.search:", lambda thought: {"reasoning_content": thought}, content=""),
    "kimi-k3": _with_ids("functions.search:", lambda thought: {"reasoning_content": thought}, content=""),
    "minimax-m3": _with_ids("call_function_", _details, content=""),
    "glm-5": _with_ids("call_-82", lambda thought: {"reasoning_content": thought}, content="\n"),
    # without a reasoning parser
    "openresearcher-30b-a3b": _thinking_inline("<think>\n", "\n</think>\n\n"),
    "mirothinker-1.7": [
        lambda question, _: _said(f"<think>\n{FIRST}\n</think>\n\n{_mcp('search', {'query': question})}"),
        lambda _, docid: _said(f"<think>\n{SECOND}\n</think>\n\n{_mcp('get_document', {'docid': docid})}"),
        _said(f"<think>\n{THIRD}\n</think>\n\n<answer>\n{FINAL}\n</answer>"),
    ],
    "openseeker-v2": [
        lambda question, _: _said(f"<think>\n{FIRST}\n</think>\n{_seeker('search', {'query': [question]})}"),
        lambda _, docid: _said(f"<think>\n{SECOND}\n</think>\n{_seeker('visit', {'url': [docid], 'goal': 'who'})}"),
        _said(f"<think>\n{THIRD}\n</think>\n<answer>\n{FINAL}\n</answer>"),
    ],
    "qwen2.5-coder-1.5b": [
        lambda question, _: _said(f"Thought: {FIRST}\nAction: search[{question}]"),
        lambda _, docid: _said(f"Thought: {SECOND}\nAction: get_document[{docid}]"),
        _said(f"Thought: {THIRD}\nFinal Answer:\n{FINAL}"),
    ],
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
    "minimax-m2": _thinking_inline("<think>\n", "\n</think>\n\n"),
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


WORDINGS: dict[str, str] = {
    "qwen": "<tool_call>\n<function=TOOL>\n<parameter=FIELD>\nVALUE\n</parameter>\n</function>\n</tool_call>",
    "openresearcher": "<function=TOOL><parameter=FIELD>VALUE</parameter></function>",
    "gpt-oss": '<|channel|>commentary to=functions.TOOL <|constrain|>json<|message|>{"FIELD": "VALUE"}<|call|>',
    "deepseek": '<｜DSML｜tool_calls><｜DSML｜invoke name="TOOL"><｜DSML｜parameter name="FIELD" string="true">VALUE'
    "</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>",
    "kimi-k2": "<|tool_calls_section_begin|><|tool_call_begin|>functions.TOOL:0<|tool_call_argument_begin|>"
    '{"FIELD": "VALUE"}<|tool_call_end|><|tool_calls_section_end|>',
    "kimi-k3": '<|open|>call tool="TOOL" index="1"<|sep|><|open|>argument key="FIELD" type="string"<|sep|>VALUE'
    "<|close|>argument<|sep|><|close|>call<|sep|>",
    "minimax-m2": '<minimax:tool_call><invoke name="TOOL"><parameter name="FIELD">VALUE</parameter></invoke>'
    "</minimax:tool_call>",
    "minimax-m3": ']<]minimax[>[<invoke name="TOOL">]<]minimax[>[<FIELD>VALUE]<]minimax[>[</FIELD>'
    "]<]minimax[>[</invoke>",
    "glm": "<tool_call>TOOL<arg_key>FIELD</arg_key><arg_value>VALUE</arg_value></tool_call>",
    "gemma": '<|tool_call>call:TOOL{FIELD:<|"|>VALUE<|"|>}<tool_call|>',
    "openai": '<tool_call>{"name": "TOOL", "arguments": {"FIELD": "VALUE"}}</tool_call>',
}
"""How the models of a family word a call in their text, by how their profiles' names begin."""


def _marked(names: dict[str, str], think: Callable[[str], dict[str, Any]]) -> list[Shape]:
    said = _with_ids("call_", think)
    return (
        [
            lambda question, docid, shape=shape: json.loads(  # type: ignore[misc]
                re.sub(
                    r'"(search|get_document)"',
                    lambda name: json.dumps(names[name[1]]),
                    json.dumps(shape(question, docid)),
                )
            )
            for shape in said[:2]
        ]
        + said[2:]
    )


def faults(profile: str, field: str) -> dict[str, list[Shape]]:
    """What servers of a family with native calls get wrong; ``field`` is where they give reasoning."""
    wording = next(wording for family, wording in WORDINGS.items() if profile.startswith(family))

    def worded(tool: str, name: str, value: str) -> str:
        return wording.replace("TOOL", tool).replace("FIELD", name).replace("VALUE", value)

    def think(thought: str) -> dict[str, Any]:
        return _details(thought) if field == "reasoning_details" else {field: thought}

    def in_text(first: Callable[[str, str], dict[str, Any]]) -> list[Shape]:
        return [
            lambda question, _: first(FIRST, worded("search", "query", question)),
            lambda _, docid: first(SECOND, worded("get_document", "docid", docid)),
            _said(FINAL, **think(THIRD)),
        ]

    return {
        "the call in the text": in_text(lambda thought, call: _said(call, **think(thought))),
        "the call in the reasoning": in_text(lambda thought, call: _said(None, reasoning_content=f"{thought}\n{call}")),
        "marks in names": _marked(
            {"search": "functions.search:0", "get_document": "get_document<|channel|>commentary"}, think
        ),
        "null content": _with_ids("call_", think, content=None),
        "reasoning in the content": _thinking_inline(
            *(("<mm:think>", "</mm:think>") if profile == "minimax-m3" else ("<think>\n", "\n</think>\n\n"))
        ),
    }


def messages(shapes: list[Shape], question: str, docid: str) -> list[dict[str, Any]]:
    """The messages themselves for one question and one document."""
    return [shape(question, docid) if callable(shape) else shape for shape in shapes]
