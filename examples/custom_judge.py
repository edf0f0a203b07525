"""Judges of one's own: of answers by how soon they came, of opened documents by what the agent says it found."""

import re

from lrat_sim.agent import load_agent
from lrat_sim.agent.answer import read_answer
from lrat_sim.corpus import prepare
from lrat_sim.grading.answers import MatchJudge, Ruling
from lrat_sim.grading.match import is_match
from lrat_sim.grading.relevance import Opinion, RuleJudge
from lrat_sim.grading.run import grade_run, run_tables
from lrat_sim.mining.run import load_recipe, mine_run
from lrat_sim.records import Task, Trajectory
from lrat_sim.retrieval import open_retriever
from lrat_sim.rollout import rollout


class PromptJudge:
    """Correct where the answer is right and took at most so many searches: who asks for long has not been served."""

    def __init__(self, searches: int = 5):
        self.searches = searches
        self.name = f"prompt-{searches}:1"  # recorded with each grade; change it whenever a ruling could change

    async def ruling(self, task: Task, trajectory: Trajectory) -> Ruling:
        said = read_answer(trajectory.answer) or ""
        took = sum(call.hits is not None for turn in trajectory.turns for call in turn.calls)
        right = is_match(said, task.answers) and took <= self.searches
        return Ruling(state="correct" if right else "incorrect", extracted=said, rationale=f"after {took} searches")


class FindingJudge:
    """Relevant only where the agent says that it found something; what says neither stays unjudged."""

    name = "finding:1"
    found = re.compile(r"\b(settles|confirms|answers|says that|what I needed|completes)\b", re.IGNORECASE)
    rejected = re.compile(r"\b(irrelevant|no mention|set it aside|does not)\b", re.IGNORECASE)

    async def opinion(self, reasoning: str) -> Opinion:
        if self.found.search(reasoning):
            return Opinion(state="relevant", reason="names a finding")
        if self.rejected.search(reasoning):
            return Opinion(state="irrelevant", reason="names a rejection")
        return Opinion(state="unjudged", reason="names neither")


if __name__ == "__main__":
    OUT = "runs/custom-judge"
    data = prepare("world", f"{OUT}/data", options={"documents": 1000, "train_tasks": 30, "test_tasks": 5})
    bm25 = open_retriever("bm25", data.corpus, data.folder / "indexes")
    run = rollout(data.tasks("train"), load_agent("simulated"), bm25, f"{OUT}/run").folder

    for judge in (MatchJudge(), PromptJudge()):
        grade_run(run, judge)
        print(f"success by {judge.name}: {run_tables(run, judge=judge.name)[1].success:.1%}")
    for relevance in (RuleJudge(), FindingJudge()):
        report = mine_run(run, load_recipe("mine-paper"), run / relevance.name.replace(":", "-"), judge=relevance)
        print(f"pairs by {relevance.name}: {report.pairs}")
