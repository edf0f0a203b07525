"""The confidence that agents state, and how far it is from how often they are right."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lrat_sim.agent.answer import table_cells
from lrat_sim.numerals import in_digits

_STATED = re.compile(
    r"confidence\b(?:[^:：=|→\n]{0,30}?(?:[:：=|→]|\s[-–—]\s|\b(?:is|of)\s(?=[^\w\n]*(?:about |around )?\d))"
    r"|[ \t](?=\d)|(?:[ \t](?:level|score))?[*_#\s]*\n)[\s*_`>|]*([^\n]*)",
    re.IGNORECASE,
)
_NUMBER = r"(?<![\w.,−-])(?P<first>\d+(?:[.,]\d+)?|\.\d+)"
_RANGE = r"\s*(?:-|–|—|to\b|and\b)\s*(?P<last>\d+(?:[.,]\d+)?)"
_MARK = r"\s*(?:(?P<mark>%|percent\b)|(?:/|out of\b)\s*(?P<of>\d+))"
_ABOUT = r"\b(?:about|around|approximately|roughly|nearly|almost|over|at least|between)\b"
_PLAIN = re.compile(rf"(?:[^\w\n−-]|{_ABOUT})*{_NUMBER}(?:\s*(?:%|percent\b))?(?:{_RANGE})?(?:{_MARK})?", re.IGNORECASE)
_AFTER_WORDS = re.compile(rf"{_NUMBER}(?:\s*(?:%|percent\b))?(?:{_RANGE})?{_MARK}", re.IGNORECASE)


def stated_confidence(text: str) -> float | None:
    """The confidence that a text states after ``Confidence:``, from 0 to 100; None where it states none.

    Its heading may be marked up in every way that an answer's may (:mod:`lrat_sim.agent.answer`).  ``80%``, ``80`` and
    ``80/100`` are 80, and so are ``8 out of 10``, the share ``0.8`` and ``high (80%)``; ``70-80%`` is 75.  The last
    statement counts.  None are a word alone ("high"), since a scale for it would be ours, not the agent's; a bare
    ``1``, which may be of either scale; and what lies outside 0 to 100.
    """
    lines = list(table_cells(text, r"confidence\b.*")) or _STATED.findall(text)
    line = in_digits(lines[-1][:1000].replace("\\boxed", "")) if lines else ""
    match = _PLAIN.match(line) or _AFTER_WORDS.search(line)
    if match is None:
        return None
    low, high = (float((digits or match["first"]).replace(",", ".")) for digits in (match["first"], match["last"]))
    value = (low + high) / 2 if high > low else low
    if match["of"]:
        value = 100 * value / float(match["of"]) if float(match["of"]) else -1.0
    elif not re.search(r"%|percent", match[0], re.IGNORECASE) and 0 < value <= 1:
        value = 100 * value if re.search(r"[.,]\d", match[0]) else -1.0
    return round(value, 6) if 0 <= value <= 100 else None


def calibration_error(confidences: Sequence[float], right: Sequence[float], *, bins: int = 10) -> float | None:
    """The expected calibration error: sum over bins of n_b / n * abs(mean confidence - share right), from 0 to 1.

    Bins are of equal width over 0 to 100 and all count, the most confident one too; the public script of
    BrowseComp-Plus leaves that one out.  None where there are no answers; for arguments see :func:`confidence_bins`.
    """
    if not confidences:
        return None
    # n_b times the difference of the means is the difference of the sums
    return float(np.abs(confidence_bins(confidences, right, bins=bins)).sum() / len(confidences))


def confidence_bins(confidences: Sequence[float], right: Sequence[float], *, bins: int = 10) -> npt.NDArray[np.float64]:
    """The sum of confidence - right in each bin, shape (bins,), of which :func:`calibration_error` is made.

    Sums of several sets of answers add up, which is how a comparison resamples and exchanges tasks.  ``confidences``
    are stated ones, from 0 to 100; ``right`` is 1 where the answer is correct, else 0.
    """
    share, hit = np.asarray(confidences, dtype=float) / 100, np.asarray(right, dtype=float)
    bin_of = np.minimum((share * bins).astype(int), bins - 1)
    return np.bincount(bin_of, share - hit, bins).astype(np.float64)
