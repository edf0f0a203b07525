"""Hits and documents as text: exactly what this project's agents are shown, with control tokens escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from msgspec import Struct

from lrat_sim.records import Hit

SEARCH, BROWSE = "search", "get_document"  # the names of the two tools

LONGEST_QUERY = 32_000  # characters of a query that is searched for; the longest prompt of a benchmark has a tenth
LONGEST_NAME = 1_000  # characters of an id, and of a title or a query that are repeated; public titles have 300 at most

Text = Callable[[str, int], tuple[str, str]]  # from id and number of tokens to a document's title and first tokens


class ToolDescription(Struct, frozen=True):
    """A tool as it is described to a model; it takes one text."""

    name: str
    description: str
    argument: str
    meaning: str

    def schema(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""
        properties = {self.argument: {"type": "string", "description": self.meaning}}
        return {"type": "object", "properties": properties, "required": [self.argument]}


TOOLS = (
    ToolDescription(
        SEARCH,
        "Search the collection. Returns the best documents, each with its id, its title and the beginning of its text.",
        "query",
        "What to look for, in a few words.",
    ),
    ToolDescription(
        BROWSE, "Open one document of an earlier result list.", "docid", "The document's id, as a result list shows it."
    ),
)


class ResultFormat(Struct, frozen=True):
    """How much an agent is shown: ``k`` hits a search, so many tokens of each, and of a document that is opened."""

    k: int = 10
    snippet_tokens: int = 64
    document_tokens: int = 512


def show_hits(query: str, hits: Sequence[Hit], texts: Text, tokens: int) -> str:
    """A result list as text, as :func:`hits_text`; nothing in it can end a model's turn."""
    return escape_control_tokens(hits_text(query, hits, texts, tokens))


def hits_text(query: str, hits: Sequence[Hit], texts: Text, tokens: int, note: str = "") -> str:
    """A result list with ``tokens`` of each document, of bounded length, and a ``note`` above them; not escaped yet."""
    blocks = [note] if note else []
    for hit in hits:
        title, snippet = texts(hit.docid, tokens)
        blocks.append("\n".join([f"DocID:{hit.docid}", *([f"[{title[:LONGEST_NAME]}]"] if title else []), snippet]))
    head = f"A search for '{query[:LONGEST_NAME]}' found {len(hits)} results:\n\n## Web Results"
    return "\n\n".join(["\n".join([head, *blocks[:1]]), *blocks[1:]])


def show_document(docid: str, texts: Text, tokens: int) -> str:
    """A document as text, its first ``tokens``; nothing in it can end a model's turn, and its length is bounded."""
    return escape_control_tokens(document_text(docid, *texts(docid, tokens)))


def document_text(docid: str, title: str, text: str) -> str:
    """A document, or a part of one, under its id and title; not escaped yet."""
    return f"Document {docid}:\n{title[:LONGEST_NAME]}\n{text}"


# --- what a document holds must neither end a turn nor pass for something that the agent wrote -----------------------
# It may hold a chat template's own tokens (<|im_end|>), a protocol's tags (<tool_call>, <answer>), its labels (Final
# Answer:) or a call of a tool (search["x"]).  A server's tokenizer would take the first for the end of a turn, and the
# parser the others for the model's, once the model quotes them.  A backslash after the first character of each, before
# the colon of a label or after the name of a tool prevents that: <\|im_end|>, Final Answer\:, search\["x"].

TOOL_NAMES = r"(?:search|web_search|get_document|getDocument|visit)"
# one of our tools where no mark says that it is a call; ``re.search`` and ``open`` are code
OWN_TOOL = rf"(?:(?:functions|tools?|default_api|api)[.:])?{TOOL_NAMES}(?![\w.])(?::\d{{1,6}})?"
# tags that no ordinary text has: broken with attributes, in any case, and where they are not closed
_NAMES = (
    r"think(?:ing)?|thoughts?|reasoning|answer|invoke|tool[\s_-]?(?:call|response|result|output|use|request|code|name)s?"
    rf"|function[\s_-]?(?:call|response|result)s?|function\s+name|(?:start|end)_of_\w+|start_function_\w+|{TOOL_NAMES}"
    r"|(?:\w+_)?arg_(?:key|value)|\w+:tool_calls?|(?:minimax|mm|seed):\w+|tools?|action|\w+_(?:mcp_)?tool|\w+_tool_call"
)
# tokens whose names are too short to be broken unless they stand alone between the brackets
_SHORT = r"s|bos|eos|pad|unk|sop|eop|eot|eod|eom|(?:special|reserved|extra_id)_\d+"

_MARKS = re.compile(
    rf"""
    <(?=
        \s{{0,9}}\|\s{{0,9}}[^\s<>|]{{1,60}}\s{{0,9}}\|?\s{{0,9}}>              # <|im_end|>, <|turn>
      | [\w/:]{{1,60}}\s{{0,9}}\|\s{{0,9}}>                         # <turn|>
      | \s{{0,9}}\uff5c                                       # DeepSeek's, with a full-width bar
      | \s{{0,9}}/?\s{{0,9}}(?:{_NAMES})(?![\w-])
      | \w{{1,40}}\s[^<>\n]{{0,40}}(?:name|tool|function)\s?=\s?["']?{TOOL_NAMES}
      | \s{{0,9}}/?\s{{0,9}}(?:function|parameter)\s{{0,9}}=              # <function=search>
      | \s{{0,9}}/?\s{{0,9}}(?:{_SHORT})\s{{0,9}}/?\s{{0,9}}>
      | <\s{{0,9}}/?\s{{0,9}}sys\s{{0,9}}>>                               # <<SYS>>
    )
  | \[(?=
        \s{{0,9}}/?\s{{0,9}}(?:inst|[gs]mask|tool_calls|tool_results|available_tools|system_prompt)\s{{0,9}}\]
      | /?(?:think(?:ing)?|args|call_id)\]
      | \|[^\[\]|\n]{{1,60}}\|\]                        # [|endofturn|]
      | e~\[                                            # MiniMax's
    )
  | \{{(?= \s{{0,9}}["']\w{{1,20}}["']\s{{0,9}}:\s{{0,9}}["'](?:functions\.)?{TOOL_NAMES}["'] )   # {{"name": "search"
  | \{{(?= \s{{0,9}}["'](?:type|function|tool_calls?)["']\s{{0,9}}:\s{{0,9}}[\["'{{]{{1,2}}\s{{0,9}}["'}}f] )
  | (?-i:                                                # one of our tools where code would call it:
        functions[.:]{TOOL_NAMES}(?![\w\\])
      | (?: (?<=<) | (?<=\[\[) | (?<=\{{\{{) | ^[ \t]{{0,9}}(?={TOOL_NAMES}[ \t]*$) ){TOOL_NAMES}(?![\w\\])
      | (?<![\w.]){OWN_TOOL}(?= \s{{0,3}}[\[({{<`] )             # search[x], search("x")
    )
  | functools(?=\s{{0,3}}\[) | to(?==(?:functions\.|{TOOL_NAMES}))
  | ✿(?=\w+✿)
  | \](?= ~!?\w{{1,20}}[\[\]] | !\w{{1,20}}~\[ | <\] )
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)

_LABELS = re.compile(
    r"""
    (?<!\w)(?:final\s+answer|exact\s+answer|action\s+input)[ \t*_]*(?=[:\uff1a])
  | (?<!\w)action[ \t*_]*(?=[:\uff1a][ \t]*\w+[ \t]*[\[(])
  | ^[ \t*_#>-]*(?:thought|action|observation|tool(?=[ \t*_]*[:\uff1a][ \t*_`"']*(?:search|get_document)))[ \t*_]*
    (?=[:\uff1a])
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_LABEL_WORDS = ("answer", "action", "thought", "observation", "tool")

ESCAPE_RULES = (_MARKS.pattern, _LABELS.pattern)  # part of every agent's fingerprint: they decide what is shown


def escape_control_tokens(text: str) -> str:
    """``text`` with a backslash in every mark of a chat template or a protocol; ordinary text is unchanged."""
    folded = text.casefold().replace("\u0131", "i").replace("i\u0307", "i")  # as re.IGNORECASE sees them
    if any(word in folded for word in _LABEL_WORDS):
        text = _LABELS.sub(r"\g<0>\\", text)
    return _MARKS.sub(r"\g<0>\\", text)


_MOST_BACKSLASHES, _LONGEST = 8, 1_000  # beyond these a text is taken as it is: every subset would have to be tried


def unescaped(text: str) -> str:
    """The text whose escaped form is ``text``; ``text`` itself where it is not the escaped form of another."""
    backslashes = [index for index, character in enumerate(text) if character == "\\"]
    if len(backslashes) > _MOST_BACKSLASHES or len(text) > _LONGEST:
        return text
    for count in range(len(backslashes), 0, -1):
        for ours in combinations(backslashes, count):
            bare = "".join(character for index, character in enumerate(text) if index not in ours)
            if escape_control_tokens(bare) == text:
                return bare
    return text
