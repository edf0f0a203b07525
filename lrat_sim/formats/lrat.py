"""LRAT's trajectory JSON and BrowseComp-Plus' run JSON: one file a question, read and written without loss.

The flat list of steps becomes turns.  A reasoning step opens one; text and one call join the turn that is open.  A call
after a call opens a turn without reasoning (``None``): the format does not say whether calls were made in parallel, and
the released miner takes the reasoning directly after a browse, which for the first of two is none.

Other steps, and fields that a trajectory does not give back, stand in ``extra["lrat"]``.  BrowseComp-Plus' runs have no
question and gold answer, and count as completed only with that status and a text as their last step.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.decoding import convert
from lrat_sim.foreign.values import SourceRecord, arguments_text, count, mapping, read_arguments, text, text_of
from lrat_sim.formats.entry import ENDS, Entry, imported, keeping, model_name, reason_in, restored
from lrat_sim.formats.messages import answer_in
from lrat_sim.formats.observations import observe
from lrat_sim.formats.output import write_files
from lrat_sim.formats.registry import About, Format, Notes, record_reader
from lrat_sim.records import Call, Failure, Task, Trajectory, Turn
from lrat_sim.text import count_tokens

# --- reading


def entry_of(record: Any, source: SourceRecord, *, asked: bool = True) -> Entry:
    """One run from its JSON; ``asked`` says that it must have the question, which BrowseComp-Plus' runs do without."""
    if not isinstance(record, dict):
        raise source.fault(f"a run is a JSON object, not {type(record).__name__}")
    name = _text_field(record, "query_id", source)
    question = _text_field(record, "query", source) if asked or isinstance(record.get("query"), str) else ""
    turns, inserted = _turns_of(record.get("result"), source)
    answer = answer_in(next((turn.text for turn in reversed(turns) if turn.text is not None), None))
    status = record.get("status")
    limit = reason_in(str(status), "lrat words")
    error = None
    if answer is None and limit is None:
        try:
            error = convert(record.get("error"), Failure)
        except msgspec.ValidationError:
            error = Failure(boundary="task", message=f"the run ended with the status {status!r}")
    sample, metadata, gold = count(record.get("sample")), mapping(record.get("metadata")), text(record.get("answer"))
    entry = imported(
        Task(id=name, question=question, answers=[] if gold is None else [gold], canary=text(record.get("canary"))),
        turns,
        {"name": model_name(text(metadata.get("model"))), "model": metadata.get("model"), "metadata": metadata},
        content=record,
        answer=answer,
        limit=limit,
        error=error,
        sample=sample if sample is not None and sample < 1 << 31 else 0,
        retriever=text(metadata.get("searcher_type")) or "unknown",
    )
    return keeping(entry, "lrat", record, record_of(entry, asked=asked), "result", inserted)


def _text_field(record: dict[str, Any], field: str, source: SourceRecord) -> str:
    value = record.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise source.fault(f"the field `{field}` should be a text that is not empty")
    return value


def _turns_of(steps: Any, source: SourceRecord) -> tuple[list[Turn], dict[int, dict[str, Any]]]:
    """The steps as turns, and those of other types by their position (from 0)."""
    if not isinstance(steps, list):
        raise source.fault(f"the field `result` should be a list, not {type(steps).__name__}")
    turns: list[Turn] = []
    inserted: dict[int, dict[str, Any]] = {}
    open_turn = False  # without a call yet
    for number, step in enumerate(steps):
        kind = step.get("type") if isinstance(step, dict) else None
        calls = kind == "tool_call" and isinstance(step.get("tool_name"), str)
        if kind == "reasoning":
            reasoning = _step_text(step.get("output"))
            turns.append(Turn(reasoning=reasoning, reasoning_tokens=count_tokens(reasoning)))
            open_turn = True
        elif kind == "output_text" or calls:
            if not open_turn or (not calls and turns[-1].text is not None):
                turns.append(Turn(reasoning=None, reasoning_tokens=0))
            output, given = _step_text(step.get("output")), step.get("arguments")
            if calls:
                arguments = read_arguments(given) if isinstance(given, str) else mapping(given)
                call = Call(id=f"call_{len(turns) - 1}_0", tool=step["tool_name"], arguments=arguments)
                turns[-1] = msgspec.structs.replace(turns[-1], calls=[observe(call, output)])
            else:
                turns[-1] = msgspec.structs.replace(turns[-1], text=output)
            open_turn = not calls
        elif isinstance(step, dict) and isinstance(kind, str):
            inserted[number] = step
        else:
            raise source.fault(f"step {number + 1} of `result` is not an object with a `type`")
    return turns, inserted


def _step_text(output: Any) -> str:
    """A step's text; some writers split it into parts."""
    return text_of(output, "\n") if isinstance(output, str | list | None) else json.dumps(output, ensure_ascii=False)


def read_runs(path: Path, notes: Notes | None = None, *, name: str = "lrat", asked: bool = True) -> Iterator[Entry]:
    """The runs of a file, or of the files below a folder that hold some."""
    fields = ("query_id", "query", "result") if asked else ("query_id", "result")

    def is_one(record: Any) -> bool:
        return isinstance(record, dict) and any(field in record for field in fields)

    return record_reader(name, is_one, partial(entry_of, asked=asked))(path, notes)


# --- writing


def write_runs(entries: Iterable[Entry], path: Path, about: About, *, prefix: str = "", asked: bool = True) -> int:
    """Writes a folder with one file a run, named for its question, and its sample where that is not the first."""

    def name(run: Trajectory) -> str:
        return prefix + run.task_id + (f"_{run.sample}" if run.sample else "")

    return write_files(path, ((name(entry.trajectory), record_of(entry, asked=asked)) for entry in entries))


def record_of(entry: Entry, *, asked: bool = True) -> dict[str, Any]:
    """One run as LRAT's JSON; ``asked`` adds question and gold answer, as LRAT does and BrowseComp-Plus does not."""
    trajectory = entry.trajectory
    calls, ended = list(trajectory.calls()), ENDS["lrat statuses"].get(trajectory.end_reason, "failed")
    record: dict[str, Any] = {
        "metadata": _metadata(trajectory),
        "query_id": trajectory.task_id,
        "tool_call_counts": dict(Counter(call.tool for call in calls if call.executed is not None)),
        "tool_call_counts_all": dict(Counter(call.tool for call in calls)),
        "status": "completed" if trajectory.status == "answered" else ended,
        "retrieved_docids": sorted({hit.docid for call in calls for hit in call.hits or ()}),
        "result": _steps_of(trajectory),
    }
    if asked:
        record["query"] = trajectory.question
        if entry.task is not None and entry.task.answers:
            record["answer"] = entry.task.answers[0]
    if trajectory.sample:
        record["sample"] = trajectory.sample
    if trajectory.error is not None:
        record["error"] = msgspec.to_builtins(trajectory.error)
    if entry.canary is not None:
        record["canary"] = entry.canary
    return restored(entry, "lrat", record, "result")


def _metadata(trajectory: Trajectory) -> dict[str, Any]:
    """As it came, or of our own agent's settings under LRAT's names."""
    agent = trajectory.agent
    if isinstance(agent.get("metadata"), dict):
        return dict(agent["metadata"])
    sampling, limits = mapping(agent.get("sampling")), mapping(agent.get("limits"))
    return {
        "model": agent.get("model"),
        **{name: sampling.get(name) for name in ("temperature", "top_p", "presence_penalty")},
        "snippet_max_tokens": limits.get("snippet_tokens"),
        "k": limits.get("k"),
        "searcher_type": trajectory.retriever.get("kind"),
    }


def _steps_of(trajectory: Trajectory) -> list[dict[str, Any]]:
    def step(kind: str, output: str, tool: str | None = None, arguments: str | None = None) -> dict[str, Any]:
        return {"type": kind, "tool_name": tool, "arguments": arguments, "output": output}

    steps: list[dict[str, Any]] = []
    for turn in trajectory.turns:
        if turn.reasoning is not None:
            steps.append(step("reasoning", turn.reasoning))
        texts = [step("output_text", turn.text)] if turn.text is not None else []
        # the published files escape what is not ASCII here, and nowhere else
        calls = [
            step("tool_call", call.output, call.tool, arguments_text(call.arguments, ascii=True)) for call in turn.calls
        ]
        # an answer is looked for in the last step, also where calls came with it that no longer ran
        steps += calls + texts if turn is trajectory.turns[-1] else texts + calls
    if trajectory.answer is not None and all(turn.text is None for turn in trajectory.turns):
        steps.append(step("output_text", trajectory.answer))
    return steps


FORMAT = Format(
    name="lrat",
    title="LRAT's trajectory JSON, one file a question",
    recognise=lambda path, record: {"query_id", "query"} <= record.keys() and isinstance(record.get("result"), list),
    read=read_runs,
    write=write_runs,
)
BROWSECOMP = Format(
    name="browsecomp-plus",
    title="BrowseComp-Plus' run JSON, for its evaluation scripts",
    recognise=lambda path, record: (
        record.keys() >= {"query_id", "result", "retrieved_docids"} and "query" not in record
    ),
    read=partial(read_runs, name="browsecomp-plus", asked=False),
    write=partial(write_runs, prefix="run_", asked=False),
)
