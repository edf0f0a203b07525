"""An agent's settings: model, protocol, prompts, window, sampling, limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lrat_sim import catalog
from lrat_sim.agent.protocols import PROTOCOLS, SLOT, PassReasoning, Protocol, ProtocolName
from lrat_sim.agent.simulated.persona import Persona
from lrat_sim.agent.tool import DEFAULT_TOOLS, Tool, open_tools
from lrat_sim.artifact import fingerprint
from lrat_sim.decoding import convert
from lrat_sim.errors import InputError, said_plainly
from lrat_sim.keys import refuse_secrets
from lrat_sim.models.call import Api, EmptyContent, Retries
from lrat_sim.retrieval.result_format import BROWSE, ESCAPE_RULES, SEARCH
from lrat_sim.settings import Positive, Settings, Whole
from lrat_sim.text import TOKENIZER

Tokens = Annotated[int, Meta(ge=1, le=1_000_000)]  # of a text: more than any model reads
Temperature = Annotated[float, Meta(ge=0, le=2)]
Nucleus = Annotated[float, Meta(gt=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Seed = Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)]
HeaderName = Annotated[str, Meta(pattern="^[A-Za-z0-9-]{1,64}$")]
FinishedReasoning = Literal["keep", "drop"]
ListQueries = Literal["first", "each"]

Harness = Literal["loop", "rag", "closed-book"]
# the tools of a harness in which the model calls none: `rag` has one search made for it
_TOOLS_OF: dict[Harness, tuple[str, ...]] = {"rag": ("passages",), "closed-book": ()}

HOW_SENT = ("name", "key_env", "timeout", "retries", "session_header")  # outside the fingerprint: they decide no answer


class Sampling(Settings, frozen=True, kw_only=True):
    """How the model samples, as in the LRAT paper (section 6.1); None is not sent, for providers that refuse it."""

    temperature: Annotated[Temperature | None, Meta(description="Sampling temperature.")] = 0.85
    top_p: Annotated[Nucleus | None, Meta(description="Nucleus sampling.")] = 0.95
    presence_penalty: Annotated[Penalty | None, Meta(description="Penalty for words already said.")] = 1.1
    max_tokens: Annotated[Whole | None, Meta(description="Largest number of tokens in one message.")] = None
    seed: Annotated[Seed | None, Meta(description="Seed of the model's sampling.")] = 2025
    stop: Annotated[list[str], Meta(description="Stop sequences beside those of the protocol.")] = []

    def sent(self, *, sample: int, seed: int, stop: Sequence[str] = ()) -> dict[str, Any]:
        """The parameters of a call; each sample of a task and each seed of a run has a seed of its own."""
        own_seed = None if self.seed is None else self.seed + sample + 10_007 * seed
        stops = list(dict.fromkeys([*stop, *self.stop])) or None
        parameters = msgspec.structs.asdict(self) | {"seed": own_seed, "stop": stops}
        return {name: value for name, value in parameters.items() if value is not None}


class Limits(Settings, frozen=True, kw_only=True):
    """What the agent is shown, and how far a run may go; the call that wants an answer at a limit may go beyond it."""

    k: Annotated[int, Meta(ge=1, le=1000, description="Results per search.")] = 10
    snippet_tokens: Annotated[Tokens, Meta(description="Tokens shown of each result.")] = 64
    document_tokens: Annotated[Tokens, Meta(description="Tokens shown of an opened document.")] = 512
    # the paper collects with 100 and evaluates with 50
    turns: Annotated[Whole, Meta(description="Largest number of turns in a run.")] = 50
    tokens: Annotated[Whole | None, Meta(description="Prompt and completion tokens of all calls of a run.")] = None
    seconds: Annotated[Positive | None, Meta(description="Seconds of a run.")] = None
    cost: Annotated[Positive | None, Meta(description="US dollars of a run.")] = None


class AgentSettings(Settings, frozen=True, kw_only=True):
    """One agent, as a file in agents/ describes it."""

    model: Annotated[str, Meta(min_length=1, description="litellm's name; sim/... is the simulated agent.")]
    name: Annotated[str, Meta(description="Name in tables; by default the file's.")] = ""
    # a harness other than the loop has the prompt of its own name where `prompt` is one of the loop's, and no tools
    harness: Annotated[Harness, Meta(description="A loop of tool calls, one search, or none.")] = "loop"
    tools: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16, description="Tools of the loop, by name.")] = (
        DEFAULT_TOOLS
    )
    protocol: Annotated[ProtocolName, Meta(description="Tool calls: native, in tags, or ReAct text.")] = "tools"
    api: Annotated[Api, Meta(description="Chat completions, or OpenAI's Responses API.")] = "chat"
    prompt: Annotated[str, Meta(description="System prompt: name, path, or text of several lines.")] = "search-agent"
    answer_prompt: Annotated[str, Meta(description="Prompt for an answer at a limit; as `prompt`.")] = "answer-now"
    base_url: Annotated[str | None, Meta(description="Endpoint, where it is not the provider's own.")] = None
    key_env: Annotated[str | None, Meta(description="Environment variable with the key, if not the usual one.")] = None
    window: Annotated[Whole | None, Meta(description="Context window in tokens; by default what is known.")] = None
    sampling: Annotated[Sampling, Meta(description="How the model samples.")] = Sampling()
    limits: Annotated[Limits, Meta(description="What the agent is shown, and how far it may go.")] = Limits()
    timeout: Annotated[Positive, Meta(description="Seconds that one attempt at a call may take.")] = 300.0
    retries: Annotated[Retries, Meta(description="How long a failed call is tried again.")] = Retries()
    # `inline` is <think>; signed thinking blocks go back as they came, except with `no`
    pass_reasoning: Annotated[PassReasoning | bool, Meta(description="How reasoning goes back.")] = "reasoning_content"
    finished_reasoning: Annotated[
        FinishedReasoning, Meta(description="Reasoning of the turns before a message of ours: keep or drop it.")
    ] = "keep"
    empty_content: Annotated[
        EmptyContent, Meta(description="Content of a message of calls alone: empty text, none (null), or as usual.")
    ] = "auto"
    list_queries: Annotated[
        ListQueries, Meta(description="A search for a list of queries: search for the first, or for each.")
    ] = "first"
    session_header: Annotated[
        HeaderName | None, Meta(description="Header with the rollout's id, for servers that cache prompts.")
    ] = "X-Session-ID"
    provider: Annotated[dict[str, Any], Meta(description="Further parameters, sent as they are.")] = {}
    simulation: Annotated[dict[str, Any] | None, Meta(description="Personality of a simulated agent.")] = None

    def __post_init__(self) -> None:
        if isinstance(self.pass_reasoning, bool):  # what YAML makes of a bare `no`
            msgspec.structs.force_setattr(self, "pass_reasoning", "reasoning_content" if self.pass_reasoning else "no")
        super().__post_init__()
        if self.simulation is not None and not self.simulated:
            raise InputError(f"agent {self.name!r}: `simulation` is for sim/ models, not {self.model!r}; remove it.")
        if self.simulated and self.protocol != "tools":
            raise InputError(f"agent {self.name!r}: sim/ speaks protocol tools, not {self.protocol}; change it.")
        if self.api == "responses" and (self.simulated or self.pass_reasoning == "inline"):
            lack = "sim/ has no API" if self.simulated else "reasoning goes back by items, not inline"
            remedy = "remove `api`" if self.simulated else "set `pass_reasoning` to reasoning_content, or to no"
            raise InputError(f"agent {self.name!r}: with `api: responses`, {lack}; {remedy}.")
        fields = ("name", "model", "base_url", "key_env", "provider", "simulation")
        refuse_secrets("the agent", {field: getattr(self, field) for field in fields})

    @property
    def simulated(self) -> bool:
        """Whether this is the simulated agent, which needs a task's plan."""
        return self.model.startswith("sim/")

    @property
    def tool_protocol(self) -> Protocol:
        """The protocol that ``protocol`` names, with the tools that the model may call."""
        return PROTOCOLS[self.protocol].using(self.own_tools() if self.harness == "loop" else [])

    def own_tools(self) -> list[Tool]:
        """New instances of the agent's tools, for one run."""
        return open_tools(_TOOLS_OF.get(self.harness, self.tools))

    def resolved(self) -> AgentSettings:
        """These settings with the prompts' texts, tools included, for their names, and the personality in full."""
        persona: dict[str, Any] = {}
        if self.simulated:
            self._check_simulated()
            try:
                persona = msgspec.to_builtins(convert(self.simulation or {}, Persona))
            except msgspec.ValidationError as error:
                problem = said_plainly(error, "simulation")
                raise InputError(f"agent {self.name!r}: {problem}; correct that field.") from error
        # habits and writer are left out where there are none, so that personas without them keep their fingerprint
        simulation = {name: value for name, value in persona.items() if value is not None} or None
        loop, protocol = self.harness == "loop", self.tool_protocol
        described = protocol.described
        prompt = _text(self.prompt if loop or not self.prompt.startswith(_LOOP_PROMPTS) else self.harness)
        if described:
            prompt = prompt.replace(SLOT, described)
        if described not in prompt and not protocol.native:
            raise InputError(
                f"agent {self.name!r}: the prompt lacks the slot {SLOT}, where protocol {self.protocol} describes the "
                "tools; add it."
            )
        return msgspec.structs.replace(
            self,
            prompt=prompt,
            answer_prompt=_text(self.answer_prompt) if loop else "",  # the first request wants the answer already
            tools=self.tools if loop else DEFAULT_TOOLS,
            simulation=simulation,
        )

    def _check_simulated(self) -> None:
        """Refuses tools that the simulated agent cannot use."""
        called = [tool.name for tool in self.own_tools()]
        if self.harness == "loop" and {*called} != {SEARCH, BROWSE}:
            raise InputError(
                f"agent {self.name!r}: the simulated agent uses {SEARCH} and {BROWSE}, both and no other, and `tools` "
                f"has {', '.join(called)}; change it."
            )

    def describe(self) -> dict[str, Any]:
        """All of it as plain JSON, with the tokenizer's name and the ``fingerprint``: enough to rebuild it."""
        described: dict[str, Any] = msgspec.to_builtins(self.resolved())
        described |= {"tools": [*described["tools"]], "tokenizer": TOKENIZER}
        decisive = {field: value for field, value in described.items() if field not in HOW_SENT}
        shown = {"tools": [tool.describe() for tool in self.own_tools()], "wording": self.tool_protocol.wording()}
        shown["harmless"] = ESCAPE_RULES
        return {**described, "fingerprint": fingerprint({**decisive, **shown})}


class AgentSetting(Settings, frozen=True, kw_only=True):
    """What the agents of a publication were given, for any profile: ``tongyi-deepresearch+lrat`` is that agent with
    what ``recipes/setting-lrat.yaml`` says."""

    description: Annotated[str, Meta(description="For readers.")] = ""
    tools: tuple[str, ...] | None = None
    list_queries: ListQueries | None = None
    window: Whole | None = None
    limits: dict[str, Any] = {}
    sampling: dict[str, Any] = {}

    def overrides(self) -> dict[str, Any]:
        """The fields of a profile that it sets, as :func:`lrat_sim.catalog.load` takes them."""
        plain = {field: getattr(self, field) for field in ("tools", "list_queries", "window")}
        fields = {field: value for field, value in plain.items() if value is not None}
        for part in ("limits", "sampling"):
            fields |= {f"{part}.{field}": value for field, value in getattr(self, part).items()}
        return fields


def load_agent(name: str, overrides: dict[str, Any] | None = None) -> AgentSettings:
    """An agent by name or path, with single fields overridden (``{"limits.k": 5}``), or in the name itself
    (``simulated:harness=rag,limits.k=5``), which then goes before; ``NAME=`` ahead of it is its name in tables.

    A ``+SETTING`` behind the name lays the fields of a publication over the profile, below what is overridden: see
    :class:`AgentSetting`.
    """
    label, equals, spec = name.partition("=")
    if not equals or {":", "/"} & {*label}:
        label, spec = "", name
    profile, colon, rest = spec.partition(":")
    given = dict(map(_option, _COMMA.split(rest))) if colon else {}
    profile, plus, setting = profile.partition("+")
    over = catalog.load("recipes", f"setting-{setting}", AgentSetting).overrides() if plus else {}
    settings = catalog.load("agents", profile, AgentSettings, {**over, **(overrides or {}), **given})
    own = label or f"{settings.name or Path(profile).name.removesuffix('.yaml')}{plus}{setting}{colon}{rest}"
    named = msgspec.structs.replace(settings, name=own)
    named.resolved()  # a wrong personality or a missing prompt is said now, before indexes are built
    return named


_COMMA = re.compile(r",(?![^\[]*\])")  # not within a list


def _option(part: str) -> tuple[str, str]:
    field, equals, value = part.partition("=")
    if not equals or not field.strip():
        raise InputError(f"an agent has {part!r} where an option should stand; write name:field=value.")
    return field.strip(), value.strip()


_LOOP_PROMPTS = "search-agent"  # how the names of the loop's prompts begin


def _text(prompt: str) -> str:
    return prompt if "\n" in prompt else catalog.read_text("prompts", prompt).strip() + "\n"


def profile_yaml(settings: AgentSettings) -> str:
    """The resolved profile as the run records it; without its last two lines it is a profile again."""
    return catalog.dump_yaml(settings.describe())
