"""Retrieval metrics by ``ir-measures``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures

from lrat_sim.errors import InputError
from lrat_sim.records import Hit

METRICS = ("nDCG@10", "R@10", "R@100", "RR")


def retrieval_metrics(
    run: Mapping[str, Sequence[Hit]], qrels: Mapping[str, Mapping[str, int]], metrics: Sequence[str] = METRICS
) -> dict[str, float]:
    """The mean of each metric over the queries that have judgements; one without hits counts as 0.

    Args:
        run: query id to hits, whose ranks count (not their scores).
        qrels: query id to document id to relevance, 0 or more.
        metrics: names as ir-measures reads them, for example ``nDCG@10``, ``R@100``, ``RR@10``.

    Raises:
        InputError: there is no judgement, or a metric is unknown.
    """
    judged = [ir_measures.Qrel(qid, docid, grade) for qid, of in qrels.items() for docid, grade in of.items()]
    if not judged:
        raise InputError("there are no relevance judgements to measure by; give some.")
    # by rank, since ir-measures would break ties of scores in its own way
    scored = [ir_measures.ScoredDoc(qid, hit.docid, -float(hit.rank)) for qid, hits in run.items() for hit in hits]
    try:
        measures = {name: ir_measures.parse_measure(name) for name in metrics}
    except (NameError, ValueError, SyntaxError) as error:
        raise InputError(f"a metric is unknown ({error}); write it as ir-measures does, as nDCG@10.") from error
    means = ir_measures.calc_aggregate(list(measures.values()), judged, scored)
    return {name: float(means[measure]) for name, measure in measures.items()}
