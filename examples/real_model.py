"""The loop with a real language model as the agent: does a retriever trained on simulated runs help it?

    python examples/real_model.py [--out runs/real-model] [--tasks 150] [--base-url URL] [--own-runs FOLDER]

Serve a model first, by default that of agents/qwen2.5-coder-1.5b.yaml on llama.cpp, or with
benchmarks/openvino_server.py, which takes many requests at once (--concurrency 12). The tasks are single facts of a
generated world, which a model of 1.5 billion parameters can find. Two encoders are trained, on the simulated agent's
runs and on the model's own, and both agents then work with five retrievers on the same held-out tasks. This takes
minutes on a GPU and many hours on two cores; rerun the same command to resume.
"""

import argparse
import json
import random
from pathlib import Path

from scipy.stats import kendalltau

import lrat_sim as ls
from lrat_sim.text import normalise

QUESTIONS = ("who", "whom", "which", "what", "when", "where", "how", "in")
K = 3  # few results, shown almost whole: a model of this size repeats a search rather than open a document
MEASURES = ("success", "evidence_recall", "evidence_opened", "steps")


def one_hop(world: ls.Dataset, split: str, count: int) -> list[dict]:
    """Tasks that ask for one fact each, from the hops of a world's tasks."""
    texts = {document.id: normalise(f"{document.title} {document.text}") for document in world.corpus}
    tasks: dict[tuple[str, str], dict] = {}
    for task in world.tasks(split):
        found: list[str] = []
        for hop in task.plan.hops:
            subject = found[int(hop.subject[1:]) - 1] if hop.subject.startswith("#") else hop.subject
            found.append(hop.object)
            evidence = [
                docid
                for docid in task.evidence
                if all(f" {normalise(name)} " in f" {texts[docid]} " for name in (subject, hop.object))
            ]
            asked = next((words for words in hop.phrasings if words.split()[0].lower() in QUESTIONS), None)
            if evidence and asked:
                question = asked.replace("{subject}", subject) + "?"
                plan = {
                    "hops": [
                        {"subject": subject, "relation": hop.relation, "object": hop.object, "phrasings": hop.phrasings}
                    ]
                }
                task_id = f"{split}-{len(tasks):04d}"
                fields = {"question": question[0].upper() + question[1:], "answer": [hop.object], "evidence": evidence}
                tasks.setdefault((subject, hop.relation), {"id": task_id, **fields, "plan": plan})
    return random.Random(1).sample([*tasks.values()], min(count, len(tasks)))


def task_set(out: Path, documents: int, train: int, test: int) -> ls.Dataset:
    """The one-hop tasks as a task set of their own, over the documents of the world."""
    world = ls.world(out / "world", documents=documents, train_tasks=600, test_tasks=400)
    source = out / "source"
    source.mkdir(parents=True, exist_ok=True)
    for name, rows in {
        "corpus": ({"docid": d.id, "title": d.title, "text": d.text} for d in world.corpus),
        "train": one_hop(world, "train", train),
        "test": one_hop(world, "test", test),
    }.items():
        (source / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ls.prepare(source, out / "data")


def main() -> None:
    """All steps; each finds what an earlier call finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/real-model"))
    parser.add_argument("--agent", default="qwen2.5-coder-1.5b", help="profile of the real model")
    parser.add_argument("--base-url", help="its server, where it is not the profile's")
    parser.add_argument("--tasks", type=int, default=150, help="held-out tasks")
    parser.add_argument("--documents", type=int, default=10_000, help="documents of the world")
    parser.add_argument("--train-tasks", type=int, default=400, help="tasks that runs are collected on")
    parser.add_argument(
        "--own-runs", type=Path, help="the model's runs on the training tasks, if there are some already"
    )
    parser.add_argument("--concurrency", type=int, default=1, help="calls in flight; llama.cpp's server takes one")
    given = parser.parse_args()
    out, data = given.out, task_set(given.out, given.documents, given.train_tasks, given.tasks)
    real = {
        "agent": given.agent,
        "agent_options": {
            "limits.k": K,
            "limits.turns": 2,
            "limits.snippet_tokens": 128,
            "limits.document_tokens": 160,
        },
    }
    if given.base_url:
        real["agent_options"]["base_url"] = given.base_url
    # one file of answers for all arms: the first call of a task is the same whatever the retriever
    calls = {"concurrency": given.concurrency, "cache": str(out / "calls.sqlite")}

    simulated = ls.rollout(data, out / "collect-simulated", split="train", retriever="dense", k=5, samples=2)
    ls.mine(simulated, out / "pairs-simulated", data=data, recipe="mine-recommended")
    trained = ls.train(out / "pairs-simulated", out / "trained-on-simulated" / "model", data=data)
    arms = {"base": "dense", "trained": trained.folder, "bm25": "bm25", "oracle": "oracle"}
    agents = {"simulated": {"agent": "simulated", "ks": (K,)}, "real": real | {"calls": calls}}
    show(arms, agents, data, out, given.tasks)

    own = given.own_runs or out / "collect-own"
    if not given.own_runs:
        ls.rollout(data, own, split="train", retriever="dense", **real, **calls)
    own_pairs = ls.mine(own, out / "pairs-own", data=data, recipe="mine-confirmed")
    if own_pairs.report.pairs:  # a model that finds nothing teaches nothing
        arms["own"] = ls.train(own_pairs, out / "trained-on-own" / "model", data=data).folder
        show(arms, agents, data, out, given.tasks)


def show(arms: dict[str, object], agents: dict[str, dict], data: ls.Dataset, out: Path, tasks: int) -> None:
    """Lets both agents work with every retriever, and prints whether they order them alike."""
    orders = {}
    for who, agent in agents.items():
        result = ls.compare(arms, data, out / f"compare-{who}", limit=tasks, **agent)
        (comparison,) = result.comparisons.values()
        print(f"\n{who}: {result.answer}")
        for measure in MEASURES:
            figures = {arm.name: arm.means[measure] for arm in comparison.summaries}
            print(f"  {measure}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
            orders[who, measure] = [figures[arm] for arm in ("base", "trained", "bm25", "oracle")]
    for measure in ("success", "evidence_recall"):
        tau = kendalltau(orders["simulated", measure], orders["real", measure]).statistic
        print(f"Kendall's tau of {measure} between the simulated and the real agent: {tau:.2f}")


if __name__ == "__main__":
    main()
