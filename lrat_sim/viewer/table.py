"""The table of a run folder: its index, and beside each row what a list of trajectories shows of it."""

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
        pa.field("steps", pa.int64()),
        pa.field("tokens", pa.int64()),
        pa.field("outcome", pa.string()),
        pa.field("question", pa.string()),
        pa.field("words", pa.string()),
        pa.field("evidence", pa.int64()),
        pa.field("evidence_shown", pa.int64()),
        pa.field("evidence_opened", pa.int64()),
        pa.field("retriever_name", pa.string()),
        pa.field("agent_name", pa.string()),
        pa.field("arm", pa.string()),
    ]
)
"""The index, and what stands beside it: ``outcome`` is correct, incorrect, ungraded, unanswered or error, ``words``
the text that is searched, ``evidence`` the documents that prove the task's answer (0 where none are known) and how
many of them the run was shown and opened (null where not counted), ``arm`` the run's name, with agent and retriever
where the folder holds several."""


def joined(
    index: Any,
    tasks: Mapping[str, Task],
    grades: Sequence[str | None],
    counts: Sequence[tuple[int | None, int | None]],
    names: Sequence[tuple[str, str]],
    run: str,
) -> Any:
    """A table by :data:`SCHEMA`.

    Args:
        index: the rows, by :data:`INDEX_SCHEMA`.
        tasks: those asked, by id.
        grades, counts, names: of each row its grade, the evidence it was shown and opened, and what people call its
            agent and its retriever.
        run: what the viewer calls the run.
    """
    of_row = [tasks.get(name) for name in index["task_id"].to_pylist()]
    questions = [task.question if task else "" for task in of_row]
    several = len(set(names)) > 1
    made: dict[str, list[Any]] = {
        "outcome": [
            (grade or "ungraded") if status == "answered" else status
            for status, grade in zip(index["status"].to_pylist(), grades, strict=True)
        ],
        "question": questions,
        "words": [
            "\n".join((question, task, name, answer or "")).casefold()
            for question, (task, name, answer) in zip(questions, zip_of(index, "task_id", "id", "answer"), strict=True)
        ],
        "evidence": [len(set(task.evidence)) if task else 0 for task in of_row],
        "evidence_shown": [shown for shown, _ in counts],
        "evidence_opened": [opened for _, opened in counts],
        "retriever_name": [retriever for _, retriever in names],
        "agent_name": [agent for agent, _ in names],
        "arm": [f"{run} · {agent} · {retriever}" if several else run for agent, retriever in names],
    }
    index = index.set_column(index.schema.get_field_index("grade"), "grade", pa.array(grades, pa.string()))
    sums = {"steps": ("searches", "browses"), "tokens": ("prompt_tokens", "completion_tokens")}
    for name, (first, second) in sums.items():
        index = index.append_column(name, compute.add(index[first], index[second]))
    for name, values in made.items():
        index = index.append_column(name, pa.array(values, SCHEMA.field(name).type))
    return index.select(SCHEMA.names).combine_chunks()


def zip_of(table: Any, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The values of some columns, row by row."""
    return zip(*(table[name].to_pylist() for name in columns), strict=True)


def agent_label(agent: dict[str, Any]) -> str:
    """What people call an agent: its name, else its model."""
    return str(agent.get("name") or agent.get("model") or "unknown agent")


def retriever_label(retriever: dict[str, Any]) -> str:
    """What people call a retriever: its kind and its model; by its weights, where the model's folder is ``model``."""
    kind, model = str(retriever.get("kind") or "unknown retriever"), retriever.get("model")
    if not isinstance(model, str) or not model:
        return kind
    name = Path(model).name
    return f"{kind} {name} {str(retriever.get('weights', ''))[:6]}".strip() if name == "model" else f"{kind} {name}"
