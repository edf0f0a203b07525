"""The personality of a simulated agent: the ``simulation`` part of an agents/*.yaml."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from lrat_sim.settings import NotNegative, Positive, Settings, Share


class Habits(Settings, frozen=True, kw_only=True):
    """How a practised searcher goes about it: it asks several times before it opens anything, and checks.

    All of it works on what was shown.  A persona without habits opens the first hit that looks right.
    """

    consensus: Annotated[
        NotNegative,
        # one list proves little: this is why several wordings are tried before anything is opened
        Meta(description="What a hit gains that every list for the hop put first; a lower or missing one gains less."),
    ] = 1.0
    caution: Annotated[
        NotNegative,
        Meta(description="How many further lists the first ones are weighed against: with 2, two make half of it."),
    ] = 2.0
    conviction: Annotated[
        Share, Meta(description="Share of the error in judging a snippet that stays from one sight of it to the next.")
    ] = 0.8
    momentum: Annotated[
        NotNegative,
        Meta(description="By how much pickiness falls after a useless document, half of it with `caution` lists."),
    ] = 0.4
    scrutiny: Annotated[
        NotNegative,
        Meta(description="What a hit loses per 100 words of its snippet, which were read and do not state the fact."),
    ] = 0.5
    diligence: Annotated[
        NotNegative,
        Meta(description="By how much pickiness falls per standard deviation by which a run's reasoning is longer."),
    ] = 0.2
    doubt: Annotated[
        Share, Meta(description="Probability that a fact, once found, is checked by a search that contains it.")
    ] = 0.5
    discovery: Annotated[
        Positive, Meta(description="How many times as long reasoning about a document is when it brought a fact.")
    ] = 1.2
    elaboration: Annotated[
        NotNegative, Meta(description="Growth (a logarithm) of reasoning about a document from first to last step.")
    ] = 0.3
    fatigue: Annotated[
        NotNegative, Meta(description="Power by which it shrinks with the number of fruitless searches on the hop.")
    ] = 0.1


class Persona(Settings, frozen=True, kw_only=True):
    """How a simulated agent searches, opens, reads, writes and gives up."""

    patience: Annotated[Positive, Meta(description="Searches spent on one hop before giving up, on average.")] = 4.0
    patience_spread: Annotated[
        NotNegative, Meta(description="Sigma of the lognormal by which patience differs from run to run.")
    ] = 0.4
    pickiness: Annotated[
        float, Meta(description="How promising a hit must look to be opened; a title that names the subject is 1.")
    ] = 0.9
    eagerness: Annotated[
        NotNegative, Meta(description="By how much pickiness falls with each fruitless search on the same hop.")
    ] = 0.2
    satiety: Annotated[
        NotNegative, Meta(description="By how much pickiness rises with each document opened from the current list.")
    ] = 0.25
    snippet_noise: Annotated[NotNegative, Meta(description="Standard deviation of the error in judging a snippet.")] = (
        0.3
    )
    recurrence: Annotated[
        NotNegative, Meta(description="What a hit gains with each earlier search of the run that returned it.")
    ] = 0.1
    rank_prior: Annotated[NotNegative, Meta(description="What a hit loses per unit of ln(rank), whatever it says.")] = (
        0.15
    )
    rambling: Annotated[
        Share, Meta(description="Probability that a query carries words of the question, an earlier step or a text.")
    ] = 0.4
    trust: Annotated[
        Share, Meta(description="Probability that a fact read in a snippet is believed without opening the document.")
    ] = 0.5
    credulity: Annotated[
        Share, Meta(description="Probability that an opened document about a look-alike is taken for the subject's.")
    ] = 0.5
    misreading: Annotated[
        Share, Meta(description="Probability that a document about the subject is taken to state what it does not.")
    ] = 0.05
    candour: Annotated[
        Share, Meta(description="Probability that reasoning about a useless document rejects it in so many words.")
    ] = 0.3
    bluff: Annotated[
        Share, Meta(description="Probability that an agent that gives up names its best guess as the answer.")
    ] = 0.35
    verbosity: Annotated[
        Positive, Meta(description="Mean tokens of reasoning about an opened document that brought nothing.")
    ] = 77.0
    verbosity_spread: Annotated[
        NotNegative, Meta(description="Sigma of the lognormal of reasoning's length, within and between runs.")
    ] = 0.7
    habits: Annotated[Habits | None, Meta(description="Habits of a practised searcher, if it has them.")] = None
