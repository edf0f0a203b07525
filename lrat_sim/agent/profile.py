"""An agent's settings: model, protocol, prompts, window, sampling, limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lrat_sim import catalog
from lrat_sim.agent.protocols import PROTOCOLS, SLOT, PassReasoning, Protocol, ProtocolName
from lrat_sim.agent.simulated.persona import Persona
from lrat_sim.agent.tools import TOOLS, SearchWith
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import InputError
from lrat_sim.keys import refuse_secrets
from lrat_sim.models.client import Retries
from lrat_sim.retrieval.control_tokens import RULES
from lrat_sim.settings import Positive, Whole
from lrat_sim.text import TOKENIZER

Tokens = Annotated[int, Meta(ge=1, le=1_000_000)]
"""Of a text: more than any model reads."""

HOW_SENT = ("name", "key_env", "timeout", "retries")
"""Fields that decide whether a call arrives, not what is answered: outside the fingerprint."""


class Sampling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model draws, as in the LRAT paper (section 6.1); None is not sent, for providers that refuse it.

    ``stop`` is added to the stop sequences of the protocol.
    """

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = 0.85
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = 0.95
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = 1.1
    max_tokens: Whole | None = None
    seed: Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)] | None = 2025
    stop: list[str] = []

    def sent(self, *, sample: int, seed: int, stop: Sequence[str] = ()) -> dict[str, Any]:
        """The parameters of a call; each sample and each seed of a run has a seed of its own.

        Args:
            sample: which of several runs of a task, from 0.
            seed: the run's seed.
            stop: the protocol's stop sequences.
        """
        parameters = {field: value for field, value in msgspec.structs.asdict(self).items() if value is not None}
        if self.seed is not None:
            parameters["seed"] = self.seed + sample + 10_007 * seed
        parameters["stop"] = list(dict.fromkeys([*stop, *self.stop]))
        return parameters if parameters["stop"] else {key: parameters[key] for key in parameters if key != "stop"}


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the agent is shown, and how far it may go.

    ``k`` results a search with the first ``snippet_tokens`` of each; ``document_tokens`` of a document that is
    opened.  ``turns``: the paper collects with 100 and evaluates with 50.  ``tokens`` (prompt and completion
    of all its calls; no call is made that would pass it), ``seconds`` and ``cost`` (US dollars) bound one run; None is
    no bound.  The call that wants an answer at a limit may go beyond it.
    """

    k: Annotated[int, Meta(ge=1, le=1000)] = 10
    snippet_tokens: Tokens = 64
    document_tokens: Tokens = 512
    turns: Whole = 50
    tokens: Whole | None = None
    seconds: Positive | None = None
    cost: Positive | None = None


class AgentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent, as a file in agents/ describes it.

    Args:
        model: litellm's name of the model; ``sim/...`` is the simulated agent.
        name: what it is called in tables; the file's name where none is given.
        protocol: how the model calls tools: ``tools`` are native tool calls, ``tagged`` are ``<tool_call>`` tags in
            the text, ``react`` is thought, action and observation in the text.
        prompt: the system prompt, by name, by path, or as the text itself where it has a line break; it has a slot
            ``{tools}`` where the protocol describes the tools in it.
        answer_prompt: what the agent is told at a limit; given as ``prompt`` is.
        base_url: the endpoint, where it is not the provider's own.
        key_env: the environment variable that holds the key, where it is not the provider's usual one.
        window: the model's context window in tokens; None is what is known of the model.
        sampling, limits: see there.
        timeout: seconds that one attempt at a call may take.
        retries: how long a failed call is tried again.
        pass_reasoning: in which field the model gets its own reasoning back, where it came in one: ``inline`` is a
            ``<think>`` block in the text; signed thinking blocks go back as they came with any of them but ``no``.
        search_with: what the retriever is sent: the ``query`` alone, the turn's ``reasoning`` followed by it (AgentIR),
            or the question, reasoning, query and ``history`` of earlier queries (ITER).  A retriever that was trained
            on such texts needs them in search, too; ``query`` of a mining recipe is the other side of it.
        provider: further parameters of the provider, sent as they stand (``reasoning_effort: high``).
        simulation: the personality of a simulated agent, for sim/ models alone.
    """

    model: Annotated[str, Meta(min_length=1)]
    name: str = ""
    protocol: ProtocolName = "tools"
    prompt: str = "search-agent"
    answer_prompt: str = "answer-now"
    base_url: str | None = None
    key_env: str | None = None
    window: Whole | None = None
    sampling: Sampling = Sampling()
    limits: Limits = Limits()
    timeout: Positive = 300.0
    retries: Retries = Retries()
    pass_reasoning: PassReasoning | bool = "reasoning_content"
    search_with: SearchWith = "query"
    provider: dict[str, Any] = {}
    simulation: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.pass_reasoning, bool):  # what YAML makes of a bare `no`
            msgspec.structs.force_setattr(self, "pass_reasoning", "reasoning_content" if self.pass_reasoning else "no")
        if self.simulation is not None and not self.simulated:
            raise InputError(f"agent {self.name!r}: `simulation` is for sim/ models, not {self.model!r}; remove it.")
        if self.simulated and self.protocol != "tools":
            raise InputError(
                f"agent {self.name!r}: a sim/ model speaks protocol tools, not {self.protocol}; change it."
            )
        fields = ("name", "model", "base_url", "key_env", "provider", "simulation")
        refuse_secrets("the agent", {field: getattr(self, field) for field in fields})

    @property
    def simulated(self) -> bool:
        """Whether this is the simulated agent, which needs a task's plan."""
        return self.model.startswith("sim/")

    @property
    def talks(self) -> Protocol:
        """The protocol itself."""
        return PROTOCOLS[self.protocol]

    def resolved(self) -> AgentSettings:
        """These settings, checked, with the prompts' texts, tools included, in place of their names and a simulated
        agent's personality in full.

        Raises:
            InputError: a value is not allowed, or the prompt lacks the slot that its protocol needs.
            UnknownName: no such prompt.
        """
        try:
            checked = msgspec.convert(msgspec.to_builtins(self), type=AgentSettings)
            if self.simulated:
                persona = msgspec.to_builtins(msgspec.convert(self.simulation or {}, type=Persona))
                checked = msgspec.structs.replace(checked, simulation=persona)
        except msgspec.ValidationError as error:
            raise InputError(f"agent {self.name!r}: {error}; correct that field.") from error
        texts = {field: _text(getattr(self, field)) for field in ("prompt", "answer_prompt")}
        if not checked.talks.fits(texts["prompt"]):
            raise InputError(
                f"agent {self.name!r}: the prompt lacks the slot {SLOT}, where protocol {self.protocol} describes the "
                "tools; add it."
            )
        return msgspec.structs.replace(checked, **texts | {"prompt": checked.talks.prompt(texts["prompt"])})

    def describe(self) -> dict[str, Any]:
        """All of it as plain JSON, with the tokenizer's name and the ``fingerprint``: enough to rebuild it."""
        described: dict[str, Any] = msgspec.to_builtins(self.resolved())
        described["tokenizer"] = TOKENIZER
        decisive = {field: value for field, value in described.items() if field not in HOW_SENT}
        shown = {"tools": TOOLS, "wording": self.talks.wording(), "harmless": RULES}
        return {**described, "fingerprint": fingerprint({**decisive, **shown})}


def load_agent(name: str, overrides: dict[str, Any] | None = None) -> AgentSettings:
    """An agent by name or path, with single fields overridden (``{"limits.k": 5}``).

    Raises:
        UnknownName: no such agent.
        InputError: a field is unknown or has a value that is not allowed; names the file and the field.
    """
    settings = catalog.load("agents", name, AgentSettings, overrides)
    named = settings if settings.name else msgspec.structs.replace(settings, name=Path(name).stem)
    named.resolved()  # a wrong personality or a missing prompt is said now, before indexes are built
    return named


def _text(prompt: str) -> str:
    return prompt if "\n" in prompt else catalog.read_text("prompts", prompt).strip() + "\n"
