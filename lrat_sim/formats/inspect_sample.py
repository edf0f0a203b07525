"""One sample of an inspect_ai log as a trajectory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.formats.fields import count, items, mapping, seconds_of, text, text_of, usage
from lrat_sim.formats.formats import Entry
from lrat_sim.formats.inspect_files import REMEDY
from lrat_sim.formats.inspect_messages import resolved, said
from lrat_sim.formats.inspect_submit import appended, events_of, submitted, submitting
from lrat_sim.formats.messages import Conversation, Said, answer_in, conversation
from lrat_sim.formats.observations import RANKS_AS_SCORES
from lrat_sim.grading.confidence import stated_confidence
from lrat_sim.records import EndReason, Failure, Grade, Status, Task, Trajectory, Turn, Usage, known_sum
from lrat_sim.text import TOKENIZER

_LIMITS: dict[str, EndReason] = {
    "context": "token_limit",
    "token": "token_limit",
    "time": "time_limit",
    "working": "time_limit",
    "message": "turn_limit",
    "turn": "turn_limit",
    "cost": "cost_limit",
}
_STOPS: dict[str, EndReason] = {
    "max_tokens": "length",
    "model_length": "token_limit",
    "content_filter": "content_filter",
}
_AGENT = ("solver", "solver_args", "model_args", "model_generate_config", "model_base_url", "model_roles")
"""What of the header's ``eval`` decides how the agent runs."""


def entry_of(sample: Any, header: dict[str, Any], path: Path) -> Entry:
    """One sample.

    Args:
        sample: its JSON.
        header: the log's, with ``eval`` and ``plan``.
        path: where it stands, for messages.

    Raises:
        RecordError: it cannot be read.
    """
    if not isinstance(sample, dict) or not isinstance(sample.get("id"), str | int):
        raise RecordError(path, 0, "a sample has no `id`", REMEDY)
    name, epoch = str(sample["id"]), count(sample.get("epoch")) or 1

    def refuse(problem: str) -> RecordError:
        return RecordError(path, 0, f"sample {name}, epoch {epoch}: {problem}", REMEDY)

    attached = mapping(sample.get("attachments"))
    messages = resolved(sample.get("messages"), attached)
    if not isinstance(messages, list | None):
        raise refuse("the field `messages` should be a list")
    told = list(said(messages or []))
    talk = conversation(told, refuse)
    turns = _with_seconds(_with_usage(talk, told, sample), sample)
    question = talk.question or _question(resolved(sample.get("input"), attached))
    answer = answer_in(_last_words(turns, sample, header, talk.system))
    status, end_reason, failure = _ended(sample, answer)
    canary = text(mapping(sample.get("metadata")).get("canary"))
    agent, retriever = _agent(header, talk.system), {"kind": "unknown", **_scores(talk)}
    trajectory = Trajectory(
        id=f"{name}.{epoch - 1}.{fingerprint([header['eval'].get('eval_id'), sample])[:8]}",
        task_id=name,
        question=question,
        sample=epoch - 1,
        agent={**agent, "fingerprint": fingerprint(agent)},
        retriever={**retriever, "fingerprint": fingerprint(retriever)},
        seed=0,
        status=status,
        end_reason=end_reason,
        answer=answer if status == "answered" else None,
        turns=turns,
        usage=_usage(turns, sample, header),
        error=failure,
        seconds=seconds_of(sample.get("total_time")),
        extra={
            **talk.extra,
            "inspect": {"log": _log(header), "sample": _rest(sample, turns, question)},
            **({} if canary is None else {"canary": canary}),
        },
    )
    answers = sample.get("target")
    answers = [answers] if isinstance(answers, str) else items(answers)
    answers = [each for each in answers if isinstance(each, str) and each]
    return Entry(
        trajectory=trajectory,
        task=Task(id=name, question=question, answers=answers, canary=canary),
        grades=_grades(trajectory, sample, header),
    )


def _ended(sample: dict[str, Any], answer: str | None) -> tuple[Status, EndReason, Failure | None]:
    error, limit = sample.get("error"), mapping(sample.get("limit")).get("type")
    if error is not None:
        message = error.get("message") if isinstance(error, dict) else error
        return "error", "error", Failure(boundary="task", message=str(message))
    reason = _LIMITS.get(limit, "gave_up") if isinstance(limit, str) else None
    if reason is None and answer is None:
        last = mapping(next(iter(items(mapping(sample.get("output")).get("choices"))), None)).get("stop_reason")
        reason = _STOPS.get(last) if isinstance(last, str) else None
    if answer is None:
        return "unanswered", reason or "gave_up", None
    return "answered", "answer" if reason in (None, "gave_up") else reason, None


def _last_words(turns: list[Turn], sample: dict[str, Any], header: dict[str, Any], prompt: str | None) -> str | None:
    """What the answer is read from: what was handed in, else the last message or the sample's output."""
    agent = submitting(header)
    handed = submitted(turns, sample, agent.tool)
    if handed is not None:
        return handed
    if not turns:
        return text(mapping(sample.get("output")).get("completion"))
    words = turns[-1].text
    if agent.appends or f"{agent.tool}()" in (prompt or ""):
        # it ends with what was submitted, unless a limit ended the run first
        return appended(words, sample, agent.delimiter) if words and not sample.get("limit") else None
    return None if turns[-1].calls else words


def _grades(trajectory: Trajectory, sample: dict[str, Any], header: dict[str, Any]) -> list[Grade]:
    """What the scorers say, the log's first one last, since the latest grade counts."""
    said_last = trajectory.turns[-1].text if trajectory.turns else None
    grades = [
        Grade(
            trajectory_id=trajectory.id,
            state="correct" if score["value"] == "C" else "incorrect",
            judge=f"inspect_ai/{scorer}",
            extracted=text(score.get("answer")),
            confidence=stated_confidence(said_last or ""),
            rationale=text(score.get("explanation")),
        )
        for scorer, score in mapping(sample.get("scores")).items()
        if isinstance(score, dict) and score.get("value") in ("C", "I")
    ]
    first = next((mapping(score).get("name") for score in items(mapping(header.get("results")).get("scores"))), None)
    return sorted(reversed(grades), key=lambda grade: grade.judge == f"inspect_ai/{first}")


def _with_usage(talk: Conversation, told: list[Said], sample: dict[str, Any]) -> list[Turn]:
    """The turns with the tokens of their calls, by the ids of the messages that the events name."""
    spent = {}
    for event in events_of(sample, "model"):
        output = mapping(event.get("output"))
        choices = output.get("choices")
        for choice in items(choices):
            message = mapping(choice.get("message")) if isinstance(choice, dict) else {}
            if isinstance(message.get("id"), str) and isinstance(output.get("usage"), dict):
                spent[message["id"]] = _tokens(output["usage"])
    names = [told[place].kept.get("id") for place in talk.places]
    used = [spent.get(name) if isinstance(name, str) else None for name in names]
    return [
        turn if usage is None else msgspec.structs.replace(turn, usage=usage)
        for turn, usage in zip(talk.turns, used, strict=True)
    ]


def _with_seconds(turns: list[Turn], sample: dict[str, Any]) -> list[Turn]:
    """The turns with the times of their calls, where an id names one call alone."""
    events = [event for event in events_of(sample, "tool") if isinstance(event.get("id"), str)]
    often = Counter(event["id"] for event in events)
    took = {event["id"]: seconds_of(event.get("working_time")) for event in events if often[event["id"]] == 1}
    return [
        msgspec.structs.replace(
            turn, calls=[msgspec.structs.replace(call, seconds=took.get(call.id, 0.0)) for call in turn.calls]
        )
        for turn in turns
    ]


def _usage(turns: list[Turn], sample: dict[str, Any], header: dict[str, Any]) -> Usage:
    """Of the agent's model, without the scorers' where these have models of their own."""
    if turns and all(turn.usage != Usage() for turn in turns):
        return sum((turn.usage for turn in turns[1:]), turns[0].usage)
    return _tokens(mapping(mapping(sample.get("model_usage")).get(str(header["eval"].get("model")))))


def _tokens(used: dict[str, Any]) -> Usage:
    fresh, *cached = (count(used.get(f"input_tokens{kind}")) for kind in ("", "_cache_read", "_cache_write"))
    written, thought = count(used.get("output_tokens")), count(used.get("reasoning_tokens"))
    return usage(known_sum((fresh, *(each or 0 for each in cached))), written, thought, used.get("total_cost"))


def _agent(header: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    evaluation = header["eval"]
    model = text(evaluation.get("model"))
    settings = {key: evaluation[key] for key in _AGENT if evaluation.get(key)}
    limits = {
        key: value for key, value in mapping(evaluation.get("config")).items() if key.endswith("_limit") and value
    }
    return {
        "name": (model or "unknown").rsplit("/", 1)[-1] or "unknown",
        "model": model,
        "prompt": prompt,
        "tokenizer": TOKENIZER,
        "inspect": {**settings, "limits": limits, "plan": header.get("plan")},
    }


def _log(header: dict[str, Any]) -> dict[str, Any]:
    """What names the evaluation; without the lists of all samples, which each of them would hold."""
    evaluation = {key: value for key, value in header["eval"].items() if key not in _AGENT}
    for part, lists in (("dataset", "sample_ids"), ("config", "sample_id")):
        if isinstance(evaluation.get(part), dict):
            evaluation[part] = {key: value for key, value in evaluation[part].items() if key != lists}
    return {**evaluation, "status": header.get("status")}


def _rest(sample: dict[str, Any], turns: list[Turn], question: str) -> dict[str, Any]:
    """The sample's fields that have no place in a trajectory or its task."""
    held = {question, *(said for turn in turns for said in (turn.text, turn.reasoning))}
    held |= {call.output for turn in turns for call in turn.calls}
    rest = {key: value for key, value in sample.items() if key != "messages" and value not in (None, [], {}, "")}
    attached = rest.pop("attachments", None)
    if isinstance(attached, dict):
        attached = {name: whole for name, whole in attached.items() if not isinstance(whole, str) or whole not in held}
    return {**rest, **({"attachments": attached} if attached else {})}


def _question(given: Any) -> str:
    """The sample's input, where its messages are missing."""
    if isinstance(given, list):
        users = [each for each in given if isinstance(each, dict) and each.get("role") == "user"]
        given = text_of(users[-1].get("content")) if users else ""
    return given if isinstance(given, str) else ""


def _scores(talk: Conversation) -> dict[str, str]:
    return {} if talk.scored else {"scores": RANKS_AS_SCORES}
