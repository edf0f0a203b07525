"""How often the offline rule for answers is wrong, on every gold answer of 2WikiMultihopQA, HotpotQA and InfoSeek-Eval.

Two figures, by kind of answer (yes or no, number, date, name, other):

*Wrongly refused*: each gold answer is written in harmless ways, put into a final message and read and graded as one.
A way is harmless if no reader could take the answer for another one: letter case; Unicode composition, compatibility
forms and invisible characters; accents of Latin letters left out; white space; markup, quotes, brackets, a full stop;
an English article more or less; typographic dashes and apostrophes; "and" for "&"; an explanation in brackets or after
a comma; a sentence around it; another place after the heading; and for numbers and dates another notation of the same
value.  A way that leaves an answer as it is counts only for itself, and none is left out because it fails.

*Wrongly accepted*: pairs of different gold answers of one kind, one given where the other is accepted.  All pairs where
there are few, else a seeded sample; and, since most pairs have nothing in common, all pairs with a word in common
beside them.  Answers that are equal up to case, accents and punctuation are not different, nor is a date from the year
or the month that it lies in; other aliases are in the count.

    python benchmarks/answer_matching.py
"""

from __future__ import annotations

import calendar
import os
import random
import re
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from lrat_sim.agent.answer import read_answer
from lrat_sim.corpus.formats import reader_class
from lrat_sim.grading.match import is_match
from lrat_sim.text import fold, normalise

SETS = {"2wikimultihopqa": {"questions": "all"}, "hotpotqa": {"questions": "all"}, "infoseek-eval": {}}
MONTHS = list(calendar.month_name)[1:]
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
DATE = re.compile(rf"(?:(\d{{1,2}}) ({'|'.join(MONTHS)})|({'|'.join(MONTHS)}) (\d{{1,2}})),? (\d{{4}})")
NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+|\d+")
MESSAGE = "Explanation: as found.\nExact Answer: {}\nConfidence: 90%"


def gold_answers(data: Path) -> dict[str, list[str]]:
    """The different gold answers of the three sets, by kind, sorted."""
    found = set()
    for name, options in SETS.items():
        made = reader_class(name)
        reader = made(data / name, made.options_type(**options))
        # evidence is of no interest, so the tasks are read against an empty corpus
        found |= {answer.strip() for read in reader.tasks([]) for answer in read.task.answers}
    kinds = defaultdict(list)
    for answer in sorted(found):
        kinds[kind(answer)].append(answer)
    return dict(kinds)


def kind(answer: str) -> str:
    if answer.lower() in ("yes", "no"):
        return "yes or no"
    if DATE.fullmatch(answer) or re.fullmatch(rf"(?:(?:{'|'.join(MONTHS)}) )?\d{{4}}", answer):
        return "date"
    if re.match(r"[$€£]?\d[\d,.]*\b", answer) or answer.lower() in WORDS:
        return "number"
    return "name" if answer[0].isupper() else "other"


def without_accents(answer: str) -> str:
    """Latin letters alone: on others a mark may make another letter."""
    return "".join(fold(c) if unicodedata.name(c, "").startswith("LATIN SMALL") else c for c in answer)


def article(answer: str) -> str:
    bare = re.sub(r"^(?:the|an?) (?=\w\w)", "", answer, flags=re.IGNORECASE)
    return bare if bare != answer else f"the {answer}"


def full_width(answer: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in answer)


def date_in(form: str) -> Callable[[str], str]:
    def way(answer: str) -> str:
        match = DATE.fullmatch(answer)
        if match is None:
            return answer
        day, name, year = int(match[1] or match[4]), match[2] or match[3], match[5]
        ordinal = f"{day}{'th' if 10 < day < 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"
        month = MONTHS.index(name) + 1
        return form.format(day=day, ordinal=ordinal, name=name, short=name[:3], month=month, year=year)

    return way


def number_in(separator: str) -> Callable[[str], str]:
    """Thousands grouped in another way; years and parts of other numbers stay."""

    def group(match: re.Match[str]) -> str:
        digits = match[0].replace(",", "")
        return f"{int(digits):,}".replace(",", separator) if len(digits) > 4 else match[0]

    return lambda answer: re.sub(rf"(?<![\w.,/-])(?:{NUMBER.pattern})(?![\w/-]|[.,]\d)", group, answer)


def in_words(answer: str) -> str:
    if re.match(rf"\d+(?!\S)(?! (?:{'|'.join(MONTHS)}))", answer) and int(answer.split()[0]) < len(WORDS):
        return re.sub(r"^\d+", lambda match: WORDS[int(match[0])], answer)
    return answer


WAYS: dict[str, Callable[[str], str]] = {
    "as it is": lambda answer: answer,
    "lower case": str.lower,
    "upper case": str.upper,
    "bold": "**{}**".format,
    "italic": "*{}*".format,
    "in quotes": "“{}”".format,
    "in backticks": "`{}`".format,
    "with a full stop": lambda answer: answer if answer.endswith(".") else f"{answer}.",
    "on the next line": "\n\n{}\n".format,
    "a list's item": "\n- {}\n".format,
    "boxed": "\\boxed{{{}}}".format,
    "decomposed": lambda answer: unicodedata.normalize("NFD", answer),
    "full width": full_width,
    "without accents": without_accents,
    "non-breaking spaces": lambda answer: answer.replace(" ", "\u00a0"),
    "double spaces": lambda answer: answer.replace(" ", "  "),
    "invisible characters": lambda answer: f"\ufeff{answer}\u200b",
    "an article more or less": article,
    "typographic marks": lambda answer: answer.replace("'", "’").replace("-", "‑"),
    "straight marks": lambda answer: re.sub("[’‘]", "'", re.sub("[–‑]", "-", answer)),
    "and for &": lambda answer: answer.replace(" & ", " and "),
    "& for and": lambda answer: answer.replace(" and ", " & "),
    "explained in brackets": "{} (as the article says)".format,
    "explained after a comma": "{}, according to the article".format,
    "in a sentence": "The answer is {}.".format,
    "12 March 1950": date_in("{day} {name} {year}"),
    "March 12th, 1950": date_in("{name} {ordinal}, {year}"),
    "12th of March 1950": date_in("{ordinal} of {name} {year}"),
    "12-Mar-1950": date_in("{day}-{short}-{year}"),
    "Mar. 12, 1950": date_in("{short}. {day}, {year}"),
    "1950-03-12": date_in("{year}-{month:02d}-{day:02d}"),
    "12/3/1950": date_in("{day}/{month}/{year}"),
    "1950年3月12日": date_in("{year}年{month}月{day}日"),
    "1,234,567": number_in(","),
    "1 234 567": number_in("\u202f"),
    "1'234'567": number_in("'"),
    "1234567": number_in(""),
    "seven for 7": in_words,
}


def refused(kinds: dict[str, list[str]]) -> tuple[dict[str, tuple[int, int]], list[tuple[str, str, str]]]:
    """By kind the answers written in all ways and those of them refused; and the refused: way, accepted, written."""
    counts, wrong = {}, []
    for name, answers in kinds.items():
        total = 0
        for way, write in WAYS.items():
            for answer in answers:
                written = write(answer)
                if written != answer or way == "as it is":
                    total += 1
                    if not is_match(read_answer(MESSAGE.format(written)) or "", [answer]):
                        wrong.append((way, answer, written))
        counts[name] = (total, len(wrong) - sum(bad for _, bad in counts.values()))
    return counts, wrong


def pairs_of(answers: list[str], limit: int, rng: random.Random) -> list[tuple[str, str]]:
    """All ordered pairs of different answers, or a sample of so many."""
    if len(answers) * (len(answers) - 1) <= limit:
        pairs = [(one, other) for one in answers for other in answers]
    else:
        pairs = [(rng.choice(answers), rng.choice(answers)) for _ in range(limit)]
    return [(one, other) for one, other in pairs if are_different(one, other)]


def alike(answers: list[str]) -> list[tuple[str, str]]:
    """All ordered pairs of answers that have a word in common, those that hundreds have aside."""
    holders = defaultdict(set)
    for answer in answers:
        for word in normalise(answer).split():
            holders[word].add(answer)
    pairs = {(a, b) for held in holders.values() if len(held) <= 200 for a in held for b in held}
    return sorted((a, b) for a, b in pairs if are_different(a, b))


def are_different(given: str, gold: str) -> bool:
    whole = DATE.fullmatch(given) or re.fullmatch(rf"({'|'.join(MONTHS)}) \d{{4}}", given)
    part = re.fullmatch(rf"(?:({'|'.join(MONTHS)}) )?(\d{{4}})", gold)
    if whole and part and given.endswith(part[2]) and (not part[1] or part[1] in given):
        return False
    return normalise(given) != normalise(gold)


def accepted(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(given, gold) for given, gold in pairs if is_match(given, [gold])]


def main(limit: int = 500_000, seed: int = 0, show: int = 12) -> None:
    """Prints both figures by kind, and what was decided wrongly.

    Args:
        limit: pairs a kind.
        seed: of the samples.
        show: examples a kind.
    """
    if "LRAT_SIM_DATA" not in os.environ:
        raise SystemExit("LRAT_SIM_DATA should name the folder that holds the three data sets.")
    kinds = gold_answers(Path(os.environ["LRAT_SIM_DATA"]))
    rng, console, began = random.Random(seed), Console(width=140), time.perf_counter()
    counts, wrong = refused(kinds)
    seconds = time.perf_counter() - began
    table = Table("kind", "gold answers", "written", "refused", "share", title=f"wrongly refused, {len(WAYS)} ways")
    for name, (total, bad) in counts.items():
        table.add_row(name, f"{len(kinds[name]):,}", f"{total:,}", str(bad), f"{bad / total:.3%}")
    total = sum(written for written, _ in counts.values())
    table.add_row(
        "all", f"{sum(map(len, kinds.values())):,}", f"{total:,}", str(len(wrong)), f"{len(wrong) / total:.3%}"
    )
    console.print(table)
    console.print(f"{seconds:.1f} s, {1e6 * seconds / total:.0f} µs each, reading included")
    by_way = defaultdict(list)
    for way, gold, written in wrong:
        by_way[way].append(f"{written!r} for {gold!r}")
    for way, examples in sorted(by_way.items(), key=lambda each: -len(each[1])):
        console.print(f"{way}: {len(examples)}, as {'; '.join(examples[:show])}", markup=False, soft_wrap=True)

    table = Table("kind", "pairs", "accepted", "share", "with a word in common", "accepted", title="wrongly accepted")
    began, pairs_all, hits_all, examples = time.perf_counter(), 0, 0, {}
    for name, answers in kinds.items():
        pairs, near = pairs_of(answers, limit, rng), alike(answers)
        hits, near_hits = accepted(pairs), accepted(near)
        pairs_all, hits_all = pairs_all + len(pairs), hits_all + len(hits)
        examples[name] = rng.sample(near_hits, min(show, len(near_hits)))
        share = f"{len(hits) / len(pairs):.4%}" if pairs else "-"
        table.add_row(name, f"{len(pairs):,}", str(len(hits)), share, f"{len(near):,}", str(len(near_hits)))
    table.add_row("all", f"{pairs_all:,}", str(hits_all), f"{hits_all / pairs_all:.4%}", "", "")
    console.print(table)
    console.print(f"{time.perf_counter() - began:.1f} s")
    for name, found in examples.items():
        for given, gold in found:
            console.print(f"{name}: {given!r} where {gold!r} is accepted", markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
