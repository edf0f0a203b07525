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
beside them.  Answers that the rule holds equal as texts are not different; other aliases are in the count.

    python benchmarks/answer_matching.py
"""

from __future__ import annotations

import json
import random
import re
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from lrat_sim.agent.answer import read_answer
from lrat_sim.catalog import data_root
from lrat_sim.corpus.formats import reader_class
from lrat_sim.grading.match import is_match
from lrat_sim.text import fold, normalise

SETS = {"2wikimultihopqa": {"questions": "all"}, "hotpotqa": {"questions": "all"}, "infoseek-eval": {}}
MONTHS = "January February March April May June July August September October November December".split()
SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
DATE = re.compile(rf"(?:(\d{{1,2}}) ({'|'.join(MONTHS)})|({'|'.join(MONTHS)}) (\d{{1,2}})),? (\d{{4}})")
NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+|\d+")
