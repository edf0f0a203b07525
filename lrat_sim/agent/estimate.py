"""What a rollout will take, before it is begun: calls of the model, tokens, money."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from rich.console import Console

from lrat_sim.agent.profile import AgentSettings, profile_yaml
from lrat_sim.agent.transcript import prompt_window
from lrat_sim.errors import InputError
from lrat_sim.models.budget import Price
from lrat_sim.models.litellm_model import model_facts
from lrat_sim.records import Task
from lrat_sim.tables import Table, dollars
from lrat_sim.text import TOKENIZER, count_tokens

STEPS = 29
"""Tool calls of a typical run: the mean of six agents on InfoSeek-Eval (LRAT, Table 2, base retriever) is 28.8."""
BROWSES_A_SEARCH = 0.25
"""LRAT, Table 1: 0.31 in correct runs, 0.20 in incorrect ones."""
REASONING_TOKENS = 150
"""A turn's reasoning: the mean of 111 turns in the trajectories that LRAT publishes is 153."""
CALL_TOKENS = 30
ANSWER_TOKENS = 150
HIT_TOKENS = 10  # a hit's id and title, beside its snippet
HEAD_TOKENS = 15  # what stands above a result list or a document
_MEASURED = 200  # questions that are measured


class Amount(Struct, frozen=True):
    """What runs take: calls of the model, tokens sent and written, US dollars (None where the price is not known)."""

    calls: float
    prompt_tokens: float
    cached_tokens: float  # those that the call before had sent already
    completion_tokens: float
    cost: float | None
    cost_cached: float | None  # with what the provider charges for tokens in its cache

    def times(self, runs: int) -> Amount:
        """The amount of several runs."""
        amounts: dict[str, float | None] = msgspec.structs.asdict(self)
        scaled = {name: amount * runs for name, amount in amounts.items() if amount is not None}
        return msgspec.structs.replace(self, **scaled)


class RolloutEstimate(Struct, frozen=True, kw_only=True):
    """The estimate of a rollout: one typical run, all runs, and all runs if each reaches its limits."""

    runs: int
    run: Amount
    typical: Amount
    at_limit: Amount
    price: Price | None
    assumptions: list[str]


def estimate(settings: AgentSettings, tasks: Sequence[Task], samples: int = 1) -> RolloutEstimate:
    """What a rollout of ``samples`` runs of each task takes, for typical runs and at most, without calling anything.

    Every call sends the whole conversation.  With P the tokens of the system prompt, the tools and the question, r
    those of a turn's reasoning, c of its call and o of its output, call i (from 0) sends P + i (r + c + o) and gets
    r + c; after n such turns one more call gets the answer:

        prompt = (n + 1) P + (r + c + o) n (n + 1) / 2        completion = n (r + c) + r + answer

    P is measured; o follows from ``limits``, in the shares in which searches and browses occur; r counts in the prompt
    only where reasoning goes back to the model.  A typical run takes :data:`STEPS` turns, at most ``limits.turns``;
    both end earlier where the window, ``limits.tokens`` or ``limits.cost`` is reached, as the loop ends them.
    """
    if not tasks or samples < 1:
        raise InputError("there is nothing to estimate: give at least one task and one sample.")
    agent, facts = settings.resolved(), model_facts(settings.model)
    measured = tasks[:_MEASURED]
    question = sum(count_tokens(task.question) for task in measured) / len(measured)
    tools = agent.tool_protocol.tools
    start = count_tokens(agent.prompt) + (count_tokens(json.dumps(tools)) if tools else 0) + question
    turns = (STEPS, agent.limits.turns) if agent.harness == "loop" else (0, 0)
    run, longest = (_run(agent, start, steps, facts.price) for steps in turns)
    runs = len(tasks) * samples
    assumptions = [
        f"A typical run makes {STEPS} tool calls (or limits.turns), one a turn, {BROWSES_A_SEARCH} browses a search, "
        f"with {REASONING_TOKENS} tokens of reasoning each, as in the LRAT paper; at the limit it takes "
        f"{agent.limits.turns} turns and is then made to answer. Agents that think longer take more.",
        f"Tokens are those of {TOKENIZER}; a model's own differ by some 10 to 30 %.",
        "Retries, and the judges' calls, are not counted.",
    ]
    if agent.harness != "loop":
        assumptions[0] = f"A run of {agent.harness} makes one call, with {REASONING_TOKENS} tokens of reasoning."
    if (agent.window or facts.window) is None and not agent.simulated:
        assumptions.append("The model's window is unknown, so nothing is cut by it; set it by `window`.")
    if facts.price is None:
        assumptions.append(f"The price of {agent.model} is unknown, so there is no cost.")
    return RolloutEstimate(
        runs=runs,
        run=run,
        typical=run.times(runs),
        at_limit=longest.times(runs),
        price=facts.price,
        assumptions=assumptions,
    )


def _run(agent: AgentSettings, start: float, steps: int, price: Price | None) -> Amount:
    """One run of so many turns with calls, and its answer, from a prompt of ``start`` tokens; ended by its limits."""
    limits, window = agent.limits, prompt_window(agent)
    search = HEAD_TOKENS + limits.k * (limits.snippet_tokens + HIT_TOKENS)
    browse = HEAD_TOKENS + limits.document_tokens
    output = (search + BROWSES_A_SEARCH * browse) / (1 + BROWSES_A_SEARCH)
    growth = (0 if agent.pass_reasoning == "no" else REASONING_TOKENS) + CALL_TOKENS + output
    if agent.harness == "rag":
        start += HEAD_TOKENS + limits.k * (limits.document_tokens + HIT_TOKENS)
    longest = agent.sampling.max_tokens or REASONING_TOKENS + ANSWER_TOKENS
    context, before, turns = start, 0.0, 0
    prompt = cached = completion = 0.0
    while turns < min(steps, limits.turns):
        cost = None if price is None else price.cost(prompt, completion)
        if (
            (window is not None and context > window)
            or (limits.tokens is not None and prompt + completion + context > limits.tokens)
            or (limits.cost is not None and cost is not None and cost >= limits.cost)
        ):
            break
        prompt, cached = prompt + context, cached + before
        completion += min(REASONING_TOKENS + CALL_TOKENS, longest)
        context, before, turns = context + growth, context, turns + 1
    # at a limit the answer is demanded by one more request
    last = context + (count_tokens(agent.answer_prompt) if turns < steps or turns == limits.turns else 0.0)
    if window is not None:  # outputs that do not fit are left out before the answer is demanded
        last = min(last, max(window, start))
    prompt, cached = prompt + last, cached + before
    completion += min(REASONING_TOKENS + ANSWER_TOKENS, longest)
    cost = None if price is None else price.cost(prompt, completion)
    cost_cached = None if price is None or price.cached is None else price.cost(prompt, completion, cached)
    return Amount(turns + 1, prompt, cached, completion, cost, cost_cached)


def print_dry_run(settings: AgentSettings, estimated: RolloutEstimate, console: Console) -> None:
    """Prints the resolved profile as YAML, its lines as they are, and the estimate as a table with its assumptions."""
    amounts = (estimated.run, estimated.typical, estimated.at_limit)
    rows = [
        ["model calls", *(f"{amount.calls:,.0f}" for amount in amounts)],
        ["prompt tokens", *(f"{amount.prompt_tokens:,.0f}" for amount in amounts)],
        ["of these sent before", *(f"{amount.cached_tokens:,.0f}" for amount in amounts)],
        ["completion tokens", *(f"{amount.completion_tokens:,.0f}" for amount in amounts)],
        ["cost", *(dollars(amount.cost) for amount in amounts)],
    ]
    if estimated.run.cost_cached is not None:
        rows.append(["cost with the provider's cache", *(dollars(amount.cost_cached) for amount in amounts)])
    columns = ["", "a typical run", "all runs", "all at their limits"]
    table = Table.of(f"{estimated.runs:,} runs", columns, rows, notes=estimated.assumptions)
    console.print(profile_yaml(settings), markup=False, highlight=False, soft_wrap=True)
    console.print(table.to_terminal())
