"""The table of trajectories: their index, and beside each row what a list shows of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute

from lrat_sim.records import Task
from lrat_sim.rollout.index import Row

_KINDS = {"int": pa.int64(), "float": pa.float64(), "str": pa.string()}
INDEX_SCHEMA = pa.schema([(name, _KINDS[str(kind).split(" ")[0]]) for name, kind in Row.__annotations__.items()])
SCHEMA = pa.schema(
    [
        *INDEX_SCHEMA,
        *((name, pa.int64()) for name in ("steps", "tokens", "evidence", "evidence_shown", "evidence_opened")),
        *((name, pa.string()) for name in ("outcome", "question", "words", "retriever_name", "agent_name")),
        *((name, pa.string()) for name in ("run", "arm")),
    ]
)
"""The index, and what stands beside it: ``outcome`` is correct, incorrect, ungraded, unanswered or error, ``words``
the text that is searched, ``evidence`` the number of documents that prove the task's answer (0 where none are known),
then how many of them the run was shown and opened (null where not counted), ``run`` the run folder's name, ``arm``
what it is compared as."""


def extended(
    index: pa.Table, tasks: Mapping[str, Task], grades: Sequence[str | None], evidence: Sequence[tuple[int, int] | None]
) -> pa.Table:
    """Adds to an index all of :data:`SCHEMA` but the names of agent, retriever, run and arm.

    Args:
        index: the rows, by :data:`INDEX_SCHEMA`.
        tasks: those asked, by id.
        grades, evidence: of each row its grade, and the evidence it was shown and opened.
    """
    of_row = [tasks.get(name) for name in index["task_id"].to_pylist()]
    questions = [task.question if task else "" for task in of_row]
    index = index.set_column(index.schema.get_field_index("grade"), "grade", pa.array(grades, pa.string()))
    columns: dict[str, Any] = {
        "steps": compute.add(index["searches"], index["browses"]),
        "tokens": compute.add(index["prompt_tokens"], index["completion_tokens"]),
        "evidence": [len(set(task.evidence)) if task else 0 for task in of_row],
        "evidence_shown": [counts and counts[0] for counts in evidence],
        "evidence_opened": [counts and counts[1] for counts in evidence],
        "outcome": [
            (grade or "ungraded") if status == "answered" else status
            for status, grade in zip_of(index, "status", "grade")
        ],
        "question": questions,
        "words": [
            "\n".join((question, task, name, answer or "")).casefold()
            for question, (task, name, answer) in zip(questions, zip_of(index, "task_id", "id", "answer"), strict=True)
        ],
    }
    return with_columns(index, columns)


def with_columns(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """A table with further columns of :data:`SCHEMA`."""
    for name, values in columns.items():
        column = values if isinstance(values, pa.ChunkedArray) else pa.array(values, SCHEMA.field(name).type)
        table = table.append_column(name, column)
    return table


def zip_of(table: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The values of some columns, row by row."""
    return zip(*(table[name].to_pylist() for name in columns), strict=True)


def agent_label(agent: Mapping[str, Any]) -> str:
    """What people call an agent: its name, else its model."""
    return str(agent.get("name") or agent.get("model") or "unknown agent")


def retriever_label(retriever: Mapping[str, Any], arm: str | None = None) -> str:
    """What people call a retriever: its kind and its model.

    Models trained here all lie in a folder called ``model``; such a one is called as the arm of its study, else by its
    weights.
    """
    kind, model = str(retriever.get("kind") or "unknown retriever"), retriever.get("model")
    if not isinstance(model, str) or not model:
        return kind
    name = Path(model).name
    if name != "model":
        return f"{kind} {name}"
    return arm or f"{kind} {name} {str(retriever.get('weights', ''))[:6]}".strip()
