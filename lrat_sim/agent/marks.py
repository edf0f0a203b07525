"""The patterns of calls in a text: what marks a call, and what stands around its name and its arguments."""

from __future__ import annotations

import re

from lrat_sim.agent.calls import FUNCTION_TAG
from lrat_sim.retrieval.control_tokens import OWN_TOOL as OWN
from lrat_sim.retrieval.control_tokens import TOOL_NAMES

WRAPPER = (
    r"(?:tool_?calls?(?:_\w{1,10})?|function_?calls?|tool_?use|tool_request|tool_code|use_mcp_tool|execute_tool|tools?"
    r"|action)"
)
TOKEN = r"<[|｜][^<>|｜\n]{1,40}[|｜]?>|<[\w▁/ ]{1,40}[|｜]>"
SPECIAL = (
    r"(?=<[^<>]{0,40}(?:tool|call|function|python_tag|action|plugin))"
    r"(?!<\|call\||<[^<>]{0,40}(?:response|output|result|end[|｜]?>|[|｜_▁ ]end))<[|｜][^<>|｜\n]{1,40}[|｜]?>"
)
NAMED_TAG = rf"<{FUNCTION_TAG}(?:\s{{0,3}}=|\s[^<>=]{{0,40}}(?:name|tool)\s{{0,3}}=)"
MARKER = re.compile(
    rf"<\s{{0,3}}{WRAPPER}\s{{0,3}}>|{SPECIAL}|\[TOOL_(?:CALLS?|REQUEST)\]|\[ARGS\]|functools(?=\s{{0,3}}\[)"
    rf"|✿FUNCTION✿\s{{0,3}}[:：]?|{NAMED_TAG}"
    rf"|<arg_key>|\bAction:\s{{0,3}}(?={OWN}\s?[\[(])|(?:assistant)?(?:commentary|analysis)?\s{{0,3}}(?<!\w)to=(?=functions\.\w|{TOOL_NAMES})"
    rf"|<(?:{TOOL_NAMES})(?:\s[^<>]{{0,200}})?>|<\|begin_of_(?:search_)?query\|>",
    re.IGNORECASE,
)
"""What stands for nothing but a call."""
BARE = re.compile(
    r"^[ \t>*-]{0,20}(?:```\w{0,20}\s{0,3})?(?:print\()?(?:\[\s{0,3})?"
    rf"(?=(?:call:|>>>)?{OWN}\s{{0,3}}[(\[{{<`]|{{|\[\s{{0,3}}{{)|(?<![\w.])\[?(?=(?:call:|>>>)?{OWN}\s?[{{(\[\n])"
    r"|(?=[\[{][\s\[{]{0,4}[\"'](?:name|type|action|function|tool\w*)[\"']\s?:)",
    re.MULTILINE,
)
"""Where a call may begin that has no mark."""
CLOSER = rf"(?:</\s{{0,3}}(?:{WRAPPER}|{FUNCTION_TAG}|{TOOL_NAMES}|arguments|parameter)\s{{0,3}}>|\[/TOOL_CALLS?\])"
NEXT = re.compile(
    rf"{CLOSER}|{TOKEN}|\[END_TOOL_REQUEST\]|<\s{{0,3}}{WRAPPER}\s{{0,3}}>|\[TOOL_CALLS?\]|✿", re.IGNORECASE
)
"""Where arguments end that cannot be told to end before."""
BETWEEN = re.compile(
    rf"(?:\s|{TOKEN}|{CLOSER}|<\s{{0,3}}{WRAPPER}\s{{0,3}}>|\[/?TOOL_\w+\]|\[ARGS\]|\[CALL_ID\]\w*|✿\w+✿\s?[:：]?|functools"
    r"|to=|call:|>>>|Action:|assistant(?:commentary|analysis)?(?!\w)|(?:commentary|analysis)(?=to=)|,|;"
    r"|<server_name>[^<>]{0,80}</server_name>|(?<![\w.])(?:json|function|commentary|analysis|code|tool_code)(?![\w.(]))*",
    re.IGNORECASE,
)
"""What may stand between a mark, a name and its arguments."""
NAME = re.compile(
    r"(?:<(?:tool_name|name)>\s{0,3})?"
    r"(\d{1,6}(?=<)|[A-Za-z_][\w./-]{0,80}(?::\d+|:[A-Za-z_][\w-]{0,80})?)(?:\s{0,3}</(?:tool_name|name)>)?"
)
OPENED = re.compile(r"<(?:arguments|parameters|params|args|tool_args|input)>|Action Input:", re.IGNORECASE)
INVENTED = re.compile(
    r"<\s{0,3}/?tool_(?:response|result|output)|<[|｜]/?tool[_▁](?:response|output|result)|<information>|✿RESULT✿"
    r"|<function_results?>|<\|begin_of_search_result|^[ \t*_#>-]*observation[ \t*_]*[:：]",
    re.IGNORECASE | re.MULTILINE,
)
CODE = re.compile(r"(?<!`)`(?!``)[^`\n]{1,300}`(?!`)")
STATED = re.compile(r"(?:exact|final)[ _]answer\W{0,6}[:：]|<answer>", re.IGNORECASE)
MEANT = re.compile(
    rf"^[ \t]*(?:```\w{{0,20}}\s{{0,3}})?(?!\{{\\)[\[{{](?:(?![\[{{<]\\)[^}}]){{0,200}}?[\"'](?:{TOOL_NAMES})[\"']"
    rf"|^[ \t]*(?:\[\[|\{{\{{|\A[@/$]|[@/$](?={OWN}[(\[{{])){OWN}(?!\\)"
    rf"|^[ \t]*<{{1,2}}(?:\w[^<>\n]{{0,40}}\s(?:name|tool|function)\s?=\s?[\"']?)?{OWN}(?!\\)"
    rf"|(?<![\w.]){OWN}[(\[{{][^()\[\]{{}}\n]{{0,300}}\Z|<\|open\|>call\b"
    rf"|(?:functions|default_api)[.:]{TOOL_NAMES}(?::\d{{1,6}})?\s{{0,3}}\Z",
    re.MULTILINE,
)
"""What is plainly meant as a call of one of our tools, in a wording that is not known."""

SAME = (
    (re.compile(r"\]<\]minimax\[>\["), r""),
    (re.compile(r"<(/?)[|｜]\s?DSML\s?[|｜]"), r"<\1"),
    (re.compile(r"<[|｜]\s?(/?)DSML\s?[|｜]"), r"<\1"),
    (re.compile(r"<(/?)\w{1,20}:(?=(?:tool_calls?|function_calls?|invoke|parameter|function)\b)"), r"<\1"),
    (re.compile(r"<(/?)\w{1,20}_(?=(?:tool_call|arg_key|arg_value)>)"), r"<\1"),
    (re.compile(r"<\|open\|>([^<>|]{1,200})<\|sep\|>"), r"<\1>"),
    (re.compile(r"<\|close\|>([^<>|]{1,200})<\|sep\|>"), r"</\1>"),
)
"""Marks of single models that say what others say by tags."""
QUOTE = re.compile(r'<\|"\|>(.*?)<\|"\|>', re.DOTALL)
TAG = re.compile(
    rf"{NAMED_TAG}|<(?P<own>{TOOL_NAMES})(?:\s[^<>]{{0,200}})?/?>|<\|begin_of_(?:search_)?query\|>",
    re.IGNORECASE,
)
FUNCTION_ENDS = rf"</{FUNCTION_TAG}s?\s{{0,3}}>"
BROKEN = re.compile(r"\[?\s{0,9}\{\\")
FENCE = re.compile(r"```[a-z_]*\s*")
ATTRIBUTE = re.compile(r"""(\w{1,40})\s?=\s?["']([^"'<>]*)["']""")
PYTHON = re.compile(r"\s*([A-Za-z_][\w.]{0,80}(?::\d{1,6})?)\s?(\(|\[(?!ARGS\]|CALL_ID\]))")
CLOSES = {"(": ")", "[": "]"}
QUOTED = re.compile(r"[\"'=]")
ARGUMENTS = re.compile(r"[\"'](?:\w+_)?(?:arguments|args|parameters|params|input|kwargs)[\"']\s?:")
BRACKET = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[()\[\]{}]')
KEYWORD = re.compile(
    r"""\s*(?:(\w+)\s*=\s*)?("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\[[^\[\]]*\]|[\w.+-]+)\s*(?:,|\Z)""", re.DOTALL
)
