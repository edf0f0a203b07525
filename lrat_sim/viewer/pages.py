"""The pages of runs and trajectories: what each asks of the library, and the template that shows it."""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from lrat_sim.errors import InputError
from lrat_sim.records import encode
from lrat_sim.viewer.arms import arms
from lrat_sim.viewer.listing import Query, choices, read_query, select
from lrat_sim.viewer.site import Site, facts, parameters
from lrat_sim.viewer.story import story
from lrat_sim.viewer.titles import found_in

_CHOICES = {
    "outcome": "outcome",
    "status": "status",
    "arm": "arm",
    "retriever": "retriever_name",
    "agent": "agent_name",
}


class _Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _At(Struct, frozen=True, forbid_unknown_fields=True):
    run: str
    id: str


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    run: str
    id: str
    docid: str


class Pages:
    """Answers in threads, since all of them read files.

    Args:
        site: what the pages share.
    """

    def __init__(self, site: Site):
        self.site, self.library = site, site.library

    def trajectories(self, request: Request) -> Response:
        """The list."""
        query = read_query(request.query_params)
        self.library.refresh(evidence=bool(query.evidence) or query.sort.lstrip("-") == "evidence")
        table = self.library.table
        return self.site.page(
            "trajectories.html",
            query=query,
            page=select(table, query),
            choices={name: choices(table, column) for name, column in _CHOICES.items()},
            all=table.num_rows,
        )

    def runs(self, request: Request) -> Response:
        """The runs with their figures, and what comparisons found."""
        parameters(request, _Nothing)
        self.library.refresh()
        return self.site.page("runs.html", arms=arms(self.library), answers=list(self.library.answers.values()))

    def trajectory(self, request: Request) -> Response:
        """One trajectory."""
        at = parameters(request, _At)
        self.library.refresh()
        run, found = self.site.trajectory(at.run, at.id)
        task, grades, verdicts = run.tasks.get(found.task_id), run.grades(found.id), run.verdicts(found.id)
        pairs = [(each, of.report) for of in self.library.pairs_of(run) for each in of.of(found.id)]
        same_task = select(self.library.table, Query(task=found.task_id, sort="arm", size=100)).rows
        return self.site.page(
            "trajectory.html",
            run=run,
            arm=self.site.arm(run, found.id),
            found=found,
            facts=facts(found, task),
            task=task,
            grade=grades[-1] if grades else None,
            turns=story(found, task, self.library.corpora.of(found.retriever), verdicts, pairs),
            pairs=[pair for pair, _ in pairs],
            others=[row for row in same_task if (row["run"], row["id"]) != (at.run, at.id)],
        )

    def record(self, request: Request) -> Response:
        """One trajectory as it is recorded, in JSON."""
        at = parameters(request, _At)
        self.library.refresh()
        return Response(encode(self.site.trajectory(at.run, at.id)[1]), media_type="application/json")

    def document(self, request: Request) -> Response:
        """One document of the corpus that a trajectory searched; without it what the run was shown of it."""
        at = parameters(request, _Document)
        self.library.refresh()
        run, found = self.site.trajectory(at.run, at.id)
        task, corpus = run.tasks.get(found.task_id), self.library.corpora.of(found.retriever)
        document = found_in(corpus, at.docid)
        turns = story(found, task, corpus)
        listed = [(turn, hit) for turn in turns for call in turn.calls for hit in call.hits if hit.docid == at.docid]
        opened = [(turn, call) for turn in turns for call in turn.calls if call.docid == at.docid]
        if document is None and not listed and not opened:
            raise InputError(f"this run was shown no document {at.docid!r}, and its corpus is not here.")
        titles = [hit.title for _, hit in listed] + [call.title for _, call in opened]
        return self.site.page(
            "document.html",
            docid=at.docid,
            document=document,
            title=document.title if document else next(iter(titles), ""),
            listed=listed,
            opened=opened,
            run=run,
            found=found,
            evidence=task is not None and at.docid in task.evidence,
        )
