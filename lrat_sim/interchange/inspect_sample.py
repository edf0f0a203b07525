"""One sample of an inspect_ai log as a trajectory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.agent.answer import read_answer
from lrat_sim.errors import RecordError
from lrat_sim.fingerprint import fingerprint
from lrat_sim.grading.confidence import stated_confidence
from lrat_sim.interchange.formats import Entry
from lrat_sim.interchange.inspect_files import REMEDY
from lrat_sim.interchange.inspect_messages import resolved, said
from lrat_sim.interchange.messages import Conversation, Said, conversation, text_of
from lrat_sim.interchange.observations import RANKS_AS_SCORES
from lrat_sim.interchange.usage import count, money, seconds_of
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
_AGENT = ("solver", "solver_args", "model_args", "model_generate_config", "model_base_url", "model_roles")
"""What of the header's ``eval`` decides how the agent runs."""
_SUBMITS = "submit"
"""The tool by which inspect_ai's agents hand in their answer, which the sample's output then holds."""


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

    attached = sample.get("attachments")
    messages = resolved(sample.get("messages"), attached if isinstance(attached, dict) else {})
    if not isinstance(messages, list | None):
        raise refuse("the field `messages` should be a list")
    told = list(said(messages or []))
    talk = conversation(told, refuse)
    turns = _with_seconds(_with_usage(talk, told, sample), sample)
    question = talk.question or _question(sample.get("input"))
    answer = read_answer(_last_words(turns, sample))
    status, end_reason, failure = _ended(sample, answer)
    canary = _part(sample, "metadata").get("canary")
    canary = canary if isinstance(canary, str) else None
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
    answers = [answers] if isinstance(answers, str) else answers if isinstance(answers, list) else []
    answers = [each for each in answers if isinstance(each, str) and each]
    return Entry(
        trajectory=trajectory,
        task=Task(id=name, question=question, answers=answers, canary=canary),
        grades=_grades(trajectory, sample, header),
    )


def _ended(sample: dict[str, Any], answer: str | None) -> tuple[Status, EndReason, Failure | None]:
    error, limit = sample.get("error"), _part(sample, "limit").get("type")
    if error is not None:
        message = error.get("message") if isinstance(error, dict) else error
        return "error", "error", Failure(boundary="task", message=str(message))
    reason = _LIMITS.get(limit, "gave_up") if isinstance(limit, str) else None
    if answer is None:
        return "unanswered", reason or "gave_up", None
    return "answered", "answer" if reason in (None, "gave_up") else reason, None


def _last_words(turns: list[Turn], sample: dict[str, Any]) -> str | None:
    """What the answer is read from: the last message, or what was handed in."""
    last = turns[-1] if turns else None
    if last is None or any(call.tool == _SUBMITS for call in last.calls):
        completion = _part(sample, "output").get("completion")
        return completion if isinstance(completion, str) else None
    return last.text if not last.calls else None


def _grades(trajectory: Trajectory, sample: dict[str, Any], header: dict[str, Any]) -> list[Grade]:
    """What the scorers say, the log's first one last, since the latest grade counts."""
    said_last = trajectory.turns[-1].text if trajectory.turns else None
    grades = [
        Grade(
            trajectory_id=trajectory.id,
            state="correct" if score["value"] == "C" else "incorrect",
            judge=f"inspect_ai/{scorer}",
            extracted=_text(score.get("answer")),
            confidence=stated_confidence(said_last or ""),
            rationale=_text(score.get("explanation")),
        )
        for scorer, score in _part(sample, "scores").items()
        if isinstance(score, dict) and score.get("value") in ("C", "I")
    ]
    results = _part(header, "results").get("scores")
    first = results[0].get("name") if isinstance(results, list) and results and isinstance(results[0], dict) else None
    return sorted(reversed(grades), key=lambda grade: grade.judge == f"inspect_ai/{first}")


def _with_usage(talk: Conversation, told: list[Said], sample: dict[str, Any]) -> list[Turn]:
    """The turns with the tokens of their calls, by the ids of the messages that the events name."""
    spent = {}
    for event in _events(sample, "model"):
        output = _part(event, "output")
        choices = output.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            message = _part(choice, "message") if isinstance(choice, dict) else {}
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
    events = [event for event in _events(sample, "tool") if isinstance(event.get("id"), str)]
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
    models = _part(sample, "model_usage")
    used = models.get(str(header["eval"].get("model")))
    return _tokens(used) if isinstance(used, dict) else Usage()


def _tokens(used: dict[str, Any]) -> Usage:
    cached = [count(used.get(f"input_tokens_cache_{kind}")) or 0 for kind in ("read", "write")]
    return Usage(
        prompt_tokens=known_sum((count(used.get("input_tokens")), *cached)),
        completion_tokens=count(used.get("output_tokens")),
        reasoning_tokens=count(used.get("reasoning_tokens")),
        cost=money(used.get("total_cost")),
    )


def _agent(header: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    evaluation = header["eval"]
    model = _text(evaluation.get("model"))
    settings = {key: evaluation[key] for key in _AGENT if evaluation.get(key)}
    limits = {key: value for key, value in _part(evaluation, "config").items() if key.endswith("_limit") and value}
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
    held = {question, *(text for turn in turns for text in (turn.text, turn.reasoning))}
    held |= {call.output for turn in turns for call in turn.calls}
    rest = {key: value for key, value in sample.items() if key != "messages" and value not in (None, [], {}, "")}
    attached = rest.pop("attachments", None)
    if isinstance(attached, dict):
        attached = {name: text for name, text in attached.items() if not isinstance(text, str) or text not in held}
    return {**rest, **({"attachments": attached} if attached else {})}


def _question(given: Any) -> str:
    """The sample's input, where its messages are missing."""
    if isinstance(given, list):
        users = [each for each in given if isinstance(each, dict) and each.get("role") == "user"]
        given = text_of(users[-1].get("content")) if users else ""
    return given if isinstance(given, str) else ""


def _scores(talk: Conversation) -> dict[str, str]:
    return {} if talk.scored else {"scores": RANKS_AS_SCORES}


def _events(sample: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    events = sample.get("events")
    found = events if isinstance(events, list) else []
    return [event for event in found if isinstance(event, dict) and event.get("event") == kind]


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
