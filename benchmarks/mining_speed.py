"""How fast runs are mined: real-size trajectories, judged by the rules and mined in one pass.

    python benchmarks/mining_speed.py [trajectories] [--keep FOLDER]

26,000 trajectories by default, 60 kB and 15 steps each (1.6 GB on disk), are generated once.  Measured are: Python's
json module that only parses them, on one core; ``mine_run`` with the recipe of the paper and the rule judge, from
nothing to pairs.jsonl and verdicts.jsonl, on one core and on all; and with our recommended recipe, whose guards look
over all runs.  Each is a process of its own; its processor time stands beside the clock, since other work on the
machine does not lengthen it, and its peak memory is that of the largest single process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lrat_sim.grading.relevance import RuleJudge
from lrat_sim.mining.run import load_recipe, mine_run
from lrat_sim.records import Call, Hit, Trajectory, Turn, Usage, encode

STEPS, BYTES, LISTED = 15, 60_000, 10
TEXTS = 2000
"""Trajectories of which the texts differ; beyond that they come again under other ids and with other queries."""

WORDS = (  # noqa: SIM905  # one text reads better
    "the of and in to a was is for as on by with from at that it his her an were which are this be has had first one "
    "their its after new who two but they not have also time year city state other war film between national school "
    "later world during career team season born member history album university club party south north company played"
).split()
AFTER = [
    "The document says that {0}. This gives the {1} that we were looking for.",
    "This page is about a different {1}. It does not mention {0} at all.",
    "Interesting. According to the article, {0}. However, we still need the {1}.",
    "Okay, let me look at the results. The article mentions {0}, but not the {1}.",
    "Not helpful: the page is on another {1}. Let us search for {0} again.",
    "So {0}. The question asks for the {1}; we need to check that next.",
]


def text(draw: random.Random, words: int) -> str:
    """Some sentences."""
    made = draw.choices(WORDS, k=words)
    for place in range(0, words, 13):
        made[place] = made[place].capitalize() if place == 0 else ". " + made[place].capitalize()
    return " ".join(made)


def trajectory(number: int, draw: random.Random) -> Trajectory:
    """Fifteen steps: nine searches and six browses of what they listed, and reasoning before and after each."""
    turns: list[Turn] = []
    hits: list[Hit] = []
    for step in range(STEPS):
        said = draw.choice(AFTER).format(text(draw, 8), text(draw, 1)) + " " + text(draw, draw.randrange(40, 200))
        if step % 5 in (1, 3) and hits:
            docid = draw.choice(hits).docid
            shown = f"Document {docid}:\n{text(draw, 400)}"
            call = Call(
                id=f"c{step}",
                tool="get_document",
                arguments={"docid": docid},
                executed={"docid": docid},
                output=shown,
                docid=docid,
            )
        else:
            query = text(draw, 8)
            hits = [
                Hit(docid=str(draw.randrange(10_000_000)), score=draw.random() * 20, rank=rank)
                for rank in range(1, LISTED + 1)
            ]
            shown = "\n\n".join(f"DocID:{hit.docid}\n[{text(draw, 3)}]\n{text(draw, 48)}" for hit in hits)
            call = Call(
                id=f"c{step}",
                tool="search",
                arguments={"query": query},
                executed={"query": query, "k": LISTED},
                output=f"A search for '{query}' found {LISTED} results:\n\n## Web Results\n{shown}",
                hits=hits,
            )
        usage = Usage(prompt_tokens=draw.randrange(20_000), completion_tokens=draw.randrange(400), cost=0.01)
        turns.append(Turn(reasoning=said, reasoning_tokens=len(said.split()), calls=[call], usage=usage))
    turns.append(Turn(reasoning=text(draw, 60), reasoning_tokens=60, text="The answer is " + text(draw, 4)))
    return Trajectory(
        id=f"q{number}/0",
        task_id=f"q{number}",
        question=text(draw, 25),
        sample=0,
        agent={"name": "bench", "model": "bench", "fingerprint": "0" * 16},
        retriever={"kind": "bm25", "fingerprint": "0" * 16},
        seed=0,
        status="answered",
        end_reason="answer",
        answer=text(draw, 3),
        turns=turns,
        extra={"sent": {"messages": text(draw, 50)}},
    )


def generate(folder: Path, count: int) -> int:
    """Writes the trajectories; returns their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trajectories.jsonl"
    draw = random.Random(0)
    lines: list[bytes] = []
    for number in range(min(count, TEXTS)):
        line = encode(trajectory(number, draw))
        room = max(0, BYTES - len(line) - 20)
        lines.append(line[:-1] + b',"padding":"' + b"x" * room + b'"}\n' if room else line + b"\n")
    with path.open("wb") as stream:
        for number in range(count):
            own = number % TEXTS
            line = lines[own].replace(b'"q%d' % own, b'"q%d' % number, 2)
            stream.write(line.replace(b'"query":"', b'"query":"%d ' % number))
    return path.stat().st_size


def make(folder: Path, _: str, count: int) -> dict[str, Any]:
    """The trajectories; in a process of its own, since a process counts the memory of the one that began it."""
    return {"bytes": generate(folder, count)}


def parse(folder: Path, _: str, __: int) -> dict[str, Any]:
    """Python's json module alone."""
    with (folder / "trajectories.jsonl").open("rb") as stream:
        return {"pairs": sum(len(json.loads(line)["turns"]) > 0 for line in stream)}


def mine(folder: Path, recipe: str, processes: int) -> dict[str, Any]:
    """Judge by rules and mine, from nothing."""
    (folder / "verdicts.jsonl").unlink(missing_ok=True)
    report = mine_run(folder, load_recipe(recipe), judge=RuleJudge(), processes=processes)
    return {"pairs": report.pairs, "verdicts": (folder / "verdicts.jsonl").stat().st_size}


MEASURES = {"make": make, "parse": parse, "mine": mine}


def measured(name: str, folder: Path, recipe: str, processes: int) -> dict[str, Any]:
    """One measure in this process: what it says, seconds by the clock and of the processor, peak memory in MB."""
    began = time.perf_counter()
    said = MEASURES[name](folder, recipe, processes)
    seconds = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        **said,
        "seconds": seconds,
        "cpu": sum(each.ru_utime + each.ru_stime for each in used),
        "memory": max(each.ru_maxrss for each in used) / 1000,
    }


def apart(name: str, folder: Path, recipe: str = "mine-paper", processes: int = 1) -> dict[str, Any]:
    """A measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, str(folder), recipe, str(processes)]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return found


def main(count: int, folder: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    size = apart("make", folder, processes=count)["bytes"]
    print(f"{time.strftime('%Y-%m-%d')}, {cores} cores, {platform.machine()}, load before {os.getloadavg()[0]:.1f}")
    print(f"{count:,} trajectories of {size / count / 1000:.1f} kB and {STEPS} steps\n")
    print(f"{'':<44}{'runs a second':>14}{'by processor':>14}{': json':>8}{'peak MB':>9}{'pairs':>10}")
    arms = [
        ("json module, parsing only", "parse", "mine-paper", 1),
        ("mine-paper with the rule judge, one core", "mine", "mine-paper", 1),
        (f"mine-paper with the rule judge, {cores} cores", "mine", "mine-paper", cores),
        ("mine-recommended with the rule judge, one core", "mine", "mine-recommended", 1),
    ]
    parsing = None
    for title, name, recipe, processes in arms:
        found = apart(name, folder, recipe, processes)
        rate, by_processor = count / found["seconds"], count / found["cpu"]
        parsing = parsing or by_processor
        pairs = f"{found['pairs']:,}" if name == "mine" else ""
        print(
            f"{title:<47}{rate:>11,.0f}{by_processor:>14,.0f}{by_processor / parsing:>8.2f}"
            f"{found['memory']:>9,.0f}{pairs:>10}",
            flush=True,
        )
    print("\ntargets on one core: .63 of the json module with mine-paper, .32 with mine-recommended; 1,000 MB at most")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _, _, measure, where, named, number = sys.argv
        print(json.dumps(measured(measure, Path(where), named, int(number))))
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("trajectories", type=int, nargs="?", default=26_000)
        parser.add_argument("--keep", type=Path, help="a folder for the trajectories, which is kept")
        given = parser.parse_args()
        if given.keep:
            main(given.trajectories, given.keep)
        else:
            with tempfile.TemporaryDirectory() as temporary:
                main(given.trajectories, Path(temporary))
