"""The personality of a simulated agent, which is the ``simulation`` of an agents/*.yaml, and the chance it acts by."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from statistics import NormalDist
from typing import Annotated, Literal, TypeVar

from msgspec import Meta

from lrat_sim.settings import NotNegative, Positive, Settings, Share

T = TypeVar("T")

Writer = Literal["terse", "verbose", "vague", "wrong", "silent"]
"""Ways of writing down the same run, each described in writers.yaml."""


class Habits(Settings, frozen=True, kw_only=True):
    """How a practised searcher goes about it; a persona without habits opens the first hit that looks right."""

    # one list proves little: this is why several wordings are tried before anything is opened
    consensus: Annotated[NotNegative, Meta(description="Gain of a hit that all of the hop's lists put first.")] = 1.0
    caution: Annotated[NotNegative, Meta(description="Lists at which `consensus` and `momentum` count half.")] = 2.0
    conviction: Annotated[Share, Meta(description="Share of `snippet_noise` that stays when a hit recurs.")] = 0.8
    momentum: Annotated[NotNegative, Meta(description="Fall of pickiness after a useless document.")] = 0.4
    scrutiny: Annotated[NotNegative, Meta(description="Loss of a hit per 100 words of its snippet.")] = 0.5
    diligence: Annotated[NotNegative, Meta(description="Fall of pickiness per deviation of own verbosity.")] = 0.2
    doubt: Annotated[Share, Meta(description="Probability that a fact is checked by a search that holds it.")] = 0.5
    discovery: Annotated[Positive, Meta(description="Factor of reasoning about a document with a fact.")] = 1.2
    elaboration: Annotated[NotNegative, Meta(description="Log growth of reasoning from first to last hop.")] = 0.3
    fatigue: Annotated[NotNegative, Meta(description="Power by which fruitless searches shorten reasoning.")] = 0.1


class Persona(Settings, frozen=True, kw_only=True):
    """How a simulated agent searches, opens, reads, writes and gives up."""

    patience: Annotated[Positive, Meta(description="Mean searches spent on one hop before giving up.")] = 4.0
    patience_spread: Annotated[NotNegative, Meta(description="Lognormal sigma of patience between runs.")] = 0.4
    # on the scale of `reading.promise`, where a title that names the subject is 1
    pickiness: Annotated[float, Meta(description="How promising a hit must look to be opened.")] = 0.9
    eagerness: Annotated[NotNegative, Meta(description="Fall of pickiness per fruitless search on the hop.")] = 0.2
    satiety: Annotated[NotNegative, Meta(description="Rise of pickiness per document opened from a list.")] = 0.25
    snippet_noise: Annotated[NotNegative, Meta(description="Standard deviation in judging a snippet.")] = 0.3
    recurrence: Annotated[NotNegative, Meta(description="Gain of a hit per earlier search that returned it.")] = 0.1
    rank_prior: Annotated[NotNegative, Meta(description="Loss of a hit per unit of ln(rank).")] = 0.15
    rambling: Annotated[Share, Meta(description="Probability that a query carries words from elsewhere.")] = 0.4
    trust: Annotated[Share, Meta(description="Probability that a fact in a snippet is believed unopened.")] = 0.5
    credulity: Annotated[Share, Meta(description="Probability that a look-alike is taken for the subject.")] = 0.5
    misreading: Annotated[Share, Meta(description="Probability that the subject's page is misread.")] = 0.05
    candour: Annotated[Share, Meta(description="Probability that a useless page is called useless.")] = 0.3
    bluff: Annotated[Share, Meta(description="Probability that giving up ends in a guess.")] = 0.35
    verbosity: Annotated[Positive, Meta(description="Mean tokens of reasoning about a useless document.")] = 77.0
    verbosity_spread: Annotated[NotNegative, Meta(description="Lognormal sigma of reasoning's length.")] = 0.7
    # decides the reasoning alone: the same seed sends the same calls and gives the same answer
    writer: Annotated[Writer | None, Meta(description="Other way of writing its reasoning, if it has one.")] = None
    habits: Annotated[Habits | None, Meta(description="Habits of a practised searcher, if it has them.")] = None


# --- randomness without state: the same keys give the same draw, in any process and at any concurrency ----------------


def uniform(*keys: object) -> float:
    """A number in (0, 1), decided by the keys."""
    digest = blake2b("\x1f".join(map(str, keys)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**64


def normal(*keys: object) -> float:
    """A standard normal number, decided by the keys."""
    return NormalDist().inv_cdf(uniform(*keys))


def pick(options: Sequence[T], *keys: object) -> T:
    """One of the options, decided by the keys."""
    return options[int(uniform(*keys) * len(options))]


def shuffled(options: Sequence[T], *keys: object) -> list[T]:
    """The options in an order decided by the keys."""
    return [option for _, option in sorted((uniform(*keys, index), option) for index, option in enumerate(options))]


def verbosity(seed: int) -> float:
    """By how many standard deviations a run's reasoning is longer than usual."""
    return normal(seed, "verbosity")
