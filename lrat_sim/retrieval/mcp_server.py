"""The agents' two tools by the Model Context Protocol, word for word, over HTTP (in the search server) or stdio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from lrat_sim import __version__
from lrat_sim.errors import LratSimError
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.result_format import SEARCH, TOOLS, ResultFormat
from lrat_sim.retrieval.schemas import Refused, ServerLimits
from lrat_sim.retrieval.service import Service


def mcp_server(service: Service) -> Server[Any]:
    """An MCP server with the tools ``search(query)`` and ``get_document(docid)``; any transport may run it."""
    # the SDK's decorators derive a schema from a function; ours is to be the agents' own, word for word
    tools = [
        Tool(
            name=tool.name,
            description=tool.description,
            input_schema=tool.schema(),
            annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
        )
        for tool in TOOLS
    ]
    arguments = {tool.name: tool.argument for tool in TOOLS}

    async def list_tools(_: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=tools)

    async def call_tool(_: Any, call: CallToolRequestParams) -> CallToolResult:
        if call.name not in arguments:
            known = " and ".join(f"{name}({argument})" for name, argument in arguments.items())
            raise MCPError(INVALID_PARAMS, f"there is no tool {call.name!r}; the tools are {known}")
        argument = arguments[call.name]
        value = (call.arguments or {}).get(argument)
        try:
            if not isinstance(value, str) or not value.strip():
                raise Refused(422, f"{call.name} needs a `{argument}` that is a text and not empty")
            answer = service.show_search if call.name == SEARCH else service.show_document
            text, failed = await answer(value.strip()), False
        except (LratSimError, Refused) as error:
            text, failed = f"Error: {str(error).rstrip('.')}.", True
        # half a surrogate pair, which a query may hold, cannot be sent
        content = TextContent(type="text", text=text.encode("utf-8", "replace").decode())
        return CallToolResult(content=[content], is_error=failed)

    return Server("lrat-sim", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def serve_stdio(retriever: Retriever, *, limits: ServerLimits | None = None, shown: ResultFormat | None = None) -> None:
    """Serves a retriever as an MCP server on this process's standard input and output, until the input ends."""

    async def run(service: Service) -> None:
        server = mcp_server(service)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    with contextlib.closing(Service(retriever, limits, shown)) as service:
        # a thread waits for input and cannot be woken; there is nothing to save, so a signal simply ends the process
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: os._exit(0))
        asyncio.run(run(service))
