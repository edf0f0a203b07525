"""How models are talked to: native tool calls, tags in the text, or thought, action and observation."""

from typing import Literal

from lrat_sim.agent.protocols.base import SLOT, ParsedMessage, PassReasoning, Protocol
from lrat_sim.agent.protocols.native import Native
from lrat_sim.agent.protocols.react import React
from lrat_sim.agent.protocols.tagged import Tagged

ProtocolName = Literal["tools", "tagged", "react"]

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in (Native(), Tagged(), React())}
"""The protocols by the names that a profile knows."""

__all__ = ["PROTOCOLS", "SLOT", "ParsedMessage", "PassReasoning", "Protocol", "ProtocolName"]
