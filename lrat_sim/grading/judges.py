"""Judges by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrat_sim import catalog
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import AnswerJudge, MatchJudge, ModelAnswerJudge
from lrat_sim.grading.judge_model import JudgeModel
from lrat_sim.grading.relevance import ModelJudge, RelevanceJudge, RuleJudge
from lrat_sim.models.client import Client
from lrat_sim.models.facts import require_key

RULE = "rule"


def judge_model(name: str, options: Mapping[str, Any] | None = None) -> JudgeModel:
    """The model behind a judge.

    Args:
        name: litellm's name of it.
        options: fields of :class:`lrat_sim.grading.judge_model.JudgeModel` by name, dots reach into nested ones
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
