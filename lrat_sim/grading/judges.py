"""Judges by name, and what judging came to: verdicts, failures, tokens and cost, apart from the agents'."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from msgspec import Struct

from lrat_sim import catalog
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import AnswerJudge, MatchJudge, ModelAnswerJudge
from lrat_sim.grading.relevance import ModelJudge, RelevanceJudge, RuleJudge
from lrat_sim.grading.replies import JudgeModel
from lrat_sim.models.client import Client
from lrat_sim.models.facts import require_key
from lrat_sim.records import Grade, Usage, Verdict

RULE = "rule"


def judge_model(name: str, options: Mapping[str, Any] | None = None) -> JudgeModel:
    """The model behind a judge.

    Args:
        name: litellm's name of it.
        options: fields of :class:`lrat_sim.grading.replies.JudgeModel` by name, dots reach into nested ones
            (``sampling.temperature``); strings are read as YAML scalars.

    Raises:
        InputError: a field is unknown or has a value that is not allowed, or the model's key is not set.
    """
    options = dict(options or {})
    if "model" in options:
        raise InputError("the judge's model is given by its name, not as an option; leave `model` out of the options.")
    model = catalog.checked({"model": name}, JudgeModel, options, "the judge")
    require_key(model.model, base_url=model.base_url, key_env=model.key_env)
    return model


def answer_judge(
    name: str = RULE, *, votes: int = 1, options: Mapping[str, Any] | None = None, client: Client | None = None
) -> AnswerJudge:
    """The judge of answers behind a name.

    Args:
        name: ``rule`` is the offline match; else litellm's name of a model.
        votes: of a model on each answer.
        options: see :func:`judge_model`; the offline judge has none.
        client: what the calls share; by default one of the judge's own.

    Raises:
        InputError: see :func:`judge_model`; or there are votes or options for the offline judge.
    """
    if name == RULE:
        _no_options(votes, options)
        return MatchJudge()
    return ModelAnswerJudge(judge_model(name, options), votes=votes, client=client)


def relevance_judge(
    name: str = RULE, *, votes: int = 1, options: Mapping[str, Any] | None = None, client: Client | None = None
) -> RelevanceJudge:
    """The judge of opened documents behind a name; as :func:`answer_judge`, where ``rule`` are the offline rules."""
    if name == RULE:
        _no_options(votes, options)
        return RuleJudge()
    return ModelJudge(judge_model(name, options), votes=votes, client=client)


def _no_options(votes: int, options: Mapping[str, Any] | None) -> None:
    if votes != 1 or options:
        raise InputError("the offline judge takes neither votes nor options; name a model, or leave them out.")


class JudgeMetrics(Struct, frozen=True, kw_only=True):
    """What judging a run came to.

    Args:
        relevant, irrelevant, unjudged: browses by their latest verdict.
        unjudged_failed: of the unjudged, those where the judge failed; asked again, they may be judged.
        ungraded_failed: answers that are ungraded because the judge failed.
        prompt_tokens, completion_tokens, reasoning_tokens: of all judges, repeated calls too; None where any is
            unknown.
        cost: likewise, in US dollars.
    """

    relevant: int
    irrelevant: int
    unjudged: int
    unjudged_failed: int
    ungraded_failed: int
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None


def judge_metrics(grades: Iterable[Grade], verdicts: Iterable[Verdict], trajectories: Container[str]) -> JudgeMetrics:
    """What the judges of a run said and used.

    Args:
        grades: in the order in which they were written.
        verdicts: likewise.
        trajectories: the ids of those that count.
    """
    usage = Usage.zero()
    states: dict[tuple[str, int, int], tuple[str, bool]] = {}
    ungraded: dict[str, bool] = {}
    for grade in grades:
        if grade.trajectory_id in trajectories:
            usage = usage + grade.usage
            ungraded[grade.trajectory_id] = grade.error is not None
    for verdict in verdicts:
        if verdict.trajectory_id in trajectories:
            usage = usage + verdict.usage
            place = (verdict.trajectory_id, verdict.turn, verdict.call)
            states[place] = (verdict.state, verdict.error is not None)
    found = list(states.values())
    return JudgeMetrics(
        relevant=sum(state == "relevant" for state, _ in found),
        irrelevant=sum(state == "irrelevant" for state, _ in found),
        unjudged=sum(state == "unjudged" for state, _ in found),
        unjudged_failed=sum(failed for _, failed in found),
        ungraded_failed=sum(ungraded.values()),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost=usage.cost,
    )
