"""The personality of a simulated agent: the ``simulation`` part of an agents/*.yaml."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from lrat_sim.settings import NotNegative, Positive

Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Habits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a practised searcher goes about it: it asks several times before it opens anything, and checks.

    All work on what was shown.  A persona without habits is one that opens the first hit that looks right.

    Args:
        consensus: what a hit gains that every list for the hop so far put first; one that stands lower, or is missing
            from some, gains less.  It is why several wordings are tried before anything is opened: one list proves
            little.
        caution: how many further lists the first ones are weighed against: with 2, a hit that two lists put first
            has half of ``consensus``.
        conviction: share of the error in judging a snippet that stays from one sight of it to the next, so that what
            was passed over once is mostly passed over again.
        momentum: by how much pickiness falls after a document that brought nothing, since the list is at hand: with
            ``caution`` lists for the hop by half of it, with more by more, since asking again would bring the same.
        scrutiny: what a hit loses with each 100 words of its snippet, since they are read and do not state the fact;
            so long snippets spare opening.
        diligence: by how much pickiness falls with each standard deviation by which a run's reasoning is longer than
            usual: a run that thinks more also reads more.
        doubt: probability that a fact, once found, is checked by a search that holds it, before the next step.  A
            result that states the fact otherwise corrects a mistake.
        discovery: how many times as long reasoning about a document is when it brought a fact.
        elaboration: by how much (as a logarithm) reasoning about a document grows from the first step to the last:
            the more is known, the more there is to bring together.
        fatigue: the power by which it shrinks with the number of searches on the hop that brought nothing.
    """

    consensus: NotNegative = 1.0
    caution: NotNegative = 2.0
    conviction: Share = 0.8
    momentum: NotNegative = 0.4
    scrutiny: NotNegative = 0.5
    diligence: NotNegative = 0.2
    doubt: Share = 0.5
    discovery: Positive = 1.2
    elaboration: NotNegative = 0.3
    fatigue: NotNegative = 0.1


class Persona(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a simulated agent searches, opens, reads, writes and gives up.

    Args:
        patience: searches spent on one hop, on average over runs, before the agent gives up.
        patience_spread: sigma of the lognormal by which patience differs from run to run.
        pickiness: how promising a hit must look before it is opened, on the scale of
            :func:`lrat_sim.agent.simulated.judgement.promise` (a title that names the subject is worth 1).
        eagerness: by how much pickiness falls with each search on the same hop that brought nothing.
        satiety: by how much pickiness rises with each document opened from the list at hand, since reading on
            costs more than asking again.
        snippet_noise: standard deviation of the error in judging a snippet.
        recurrence: what a hit gains with each earlier search of the run that returned it too.
        rank_prior: what a hit loses per unit of ln(rank), whatever it says.
        rambling: probability that a query carries context beside what it asks for: the question, an earlier step, or
            words from a text that was shown.
        trust: probability that a fact read in a snippet is believed without opening the document.
        credulity: probability that an opened document about a look-alike is taken for the subject's.
        misreading: probability that an opened document about the subject, which does not state the fact, is
            nevertheless taken to state something else.
        candour: probability that reasoning about a document which brought nothing rejects it in so many words.
        bluff: probability that an agent that gives up names its best guess as the answer.
        verbosity: mean tokens of reasoning about an opened document that brought nothing; one that brought a
            fact is written about at greater length, since there is more to say.
        verbosity_spread: sigma of the lognormal of the length of reasoning, within and between runs together.
        habits: those of a practised searcher, if it has them.
    """

    patience: Positive = 4.0
    patience_spread: NotNegative = 0.4
    pickiness: float = 0.9
    eagerness: NotNegative = 0.2
    satiety: NotNegative = 0.25
    snippet_noise: NotNegative = 0.3
    recurrence: NotNegative = 0.1
    rank_prior: NotNegative = 0.15
    rambling: Share = 0.4
    trust: Share = 0.5
    credulity: Share = 0.5
    misreading: Share = 0.05
    candour: Share = 0.3
    bluff: Share = 0.35
    verbosity: Positive = 77.0
    verbosity_spread: NotNegative = 0.7
    habits: Habits | UnsetType = UNSET  # left out where it is not set, so that older profiles keep their fingerprint
