"""LRAT's flat list of steps as turns, and back.

- A reasoning step opens a turn; text and one call join the turn that is open.  So of two reasoning steps in a row
  each is a turn, and what was written *directly* after a browse stays the reasoning of the turn after it.
- A call after a call opens a turn without reasoning (``None``): the format does not say whether calls were made in
  parallel, and the released miner takes the reasoning directly after a browse, which for the first of two is none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.errors import RecordError
from lrat_sim.formats.fields import text_of
from lrat_sim.formats.observations import observe, read_arguments
from lrat_sim.records import Call, Trajectory, Turn
from lrat_sim.text import count_tokens

REMEDY = "correct the file, or leave it out"


def turns_of(steps: Any, path: Path, line: int = 0) -> tuple[list[Turn], dict[int, dict[str, Any]]]:
    """The steps as turns, and those of other types by their place (from 0).

    Raises:
        RecordError: they are no list of steps; names file and step.
    """
    if not isinstance(steps, list):
        raise RecordError(path, line, f"the field `result` should be a list, not {type(steps).__name__}", REMEDY)
    turns: list[Turn] = []
    inserted: dict[int, dict[str, Any]] = {}
    open_turn = False  # without a call yet
    for number, step in enumerate(steps):
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "reasoning":
            reasoning = _text(step.get("output"))
            turns.append(Turn(reasoning=reasoning, reasoning_tokens=count_tokens(reasoning)))
            open_turn = True
        elif kind == "output_text":
            if not open_turn or turns[-1].text is not None:
                turns.append(Turn(reasoning=None, reasoning_tokens=0))
            turns[-1] = msgspec.structs.replace(turns[-1], text=_text(step.get("output")))
            open_turn = True
        elif kind == "tool_call" and isinstance(step.get("tool_name"), str):
            if not open_turn:
                turns.append(Turn(reasoning=None, reasoning_tokens=0))
            turns[-1] = msgspec.structs.replace(turns[-1], calls=[_call(step, len(turns) - 1)])
            open_turn = False
        elif isinstance(step, dict) and isinstance(kind, str):
            inserted[number] = step
        else:
            raise RecordError(path, line, f"step {number + 1} of `result` is not an object with a `type`", REMEDY)
    return turns, inserted


def _call(step: dict[str, Any], turn: int) -> Call:
    given = step.get("arguments")
    arguments = read_arguments(given) if isinstance(given, str) else given if isinstance(given, dict) else {}
    output = _text(step.get("output"))
    seen = observe(step["tool_name"], arguments, output)
    return Call(
        id=f"call_{turn}_0",
        tool=step["tool_name"],
        arguments=arguments,
        executed=seen.executed,
        output=output,
        hits=seen.hits,
        docid=seen.docid,
        error=seen.error,
    )


def _text(output: Any) -> str:
    """A step's text; some writers split it into parts."""
    return text_of(output, "\n") if isinstance(output, str | list | None) else json.dumps(output, ensure_ascii=False)


def steps_of(trajectory: Trajectory) -> list[dict[str, Any]]:
    """The turns as steps."""
    steps: list[dict[str, Any]] = []
    for turn in trajectory.turns:
        if turn.reasoning is not None:
            steps.append(_step("reasoning", turn.reasoning))
        said = [_step("output_text", turn.text)] if turn.text is not None else []
        called = [_step("tool_call", call.output, call.tool, _written(call.arguments)) for call in turn.calls]
        # an answer is looked for in the last step, also where calls came with it that no longer ran
        steps += called + said if turn is trajectory.turns[-1] else said + called
    if trajectory.answer is not None and all(turn.text is None for turn in trajectory.turns):
        steps.append(_step("output_text", trajectory.answer))
    return steps


def _step(kind: str, output: str, tool: str | None = None, arguments: str | None = None) -> dict[str, Any]:
    return {"type": kind, "tool_name": tool, "arguments": arguments, "output": output}


def _written(arguments: dict[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
