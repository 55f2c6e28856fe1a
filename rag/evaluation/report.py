"""Figures of an evaluation run: quality of retrieval, quality of the decision to answer, and the worst turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rag.evaluation.bootstrap import Figure, Statistic, auroc, difference, figure, mean, ratio
from rag.evaluation.judging import JudgedTurn

DEPTHS = (1, 5, 10)
GAIN_DEPTH = 10
UNKNOWN = "unknown"
"""The source of a turn if the question set names none and nothing was retrieved."""

Figures = Mapping[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Parameters of a run. ``depth`` passages were retrieved; the first ``limit`` of them go to the answerer."""

    depth: int
    limit: int
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """A turn that went wrong. ``rank`` is None if no expected place was retrieved; ``expected`` is empty if there is none."""

    line: int
    question: str
    expected: tuple[str, ...]
    found: tuple[str, ...]
    rank: int | None
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All figures of one run, by name, without those that are undefined for the question set."""

    turns: int
    conversations: int
    answerable: int
    rules: Rules
    retrieval: Figures
    by_language: Mapping[str, Figures]
    by_source: Mapping[str, Figures]
    abstention: Figures
    worst: tuple[WorstCase, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A second run with changed settings, and its figures minus those of the first, paired by turn."""

    changes: Mapping[str, str]
    changed: Report
    difference: Figures


def report(judged: Sequence[JudgedTurn], rules: Rules, *, worst: int) -> Report:
    """The report of one run; ``worst`` is the number of worst turns in it."""
    located = [one for one in judged if one.case.expected]
    return Report(
        turns=len(judged),
        conversations=len({one.case.conversation for one in judged}),
        answerable=sum(one.case.answerable for one in judged),
        rules=rules,
        retrieval=_figures(retrieval_statistics(located, rules), located),
        by_language=_split(located, rules, lambda one: one.case.language),
        by_source=_split(located, rules, lambda one: one.source or UNKNOWN),
        abstention=_figures(abstention_statistics(judged, rules), judged),
        worst=_worst(judged, rules)[:worst],
    )


def compare(
    before: Sequence[JudgedTurn],
    after: Sequence[JudgedTurn],
    rules: tuple[Rules, Rules],
    changes: Mapping[str, str],
    *,
    worst: int,
) -> Comparison:
    """The comparison of two runs; ``before`` and ``after`` must hold the same turns in the same order."""
    located = [number for number, one in enumerate(before) if one.case.expected]
    return Comparison(
        changes=changes,
        changed=report(after, rules[1], worst=worst),
        difference={
            **_paired([before[at] for at in located], [after[at] for at in located], rules, retrieval_statistics),
            **_paired(before, after, rules, abstention_statistics),
        },
    )


def _paired(
    before: Sequence[JudgedTurn],
    after: Sequence[JudgedTurn],
    rules: tuple[Rules, Rules],
    statistics: Callable[[Sequence[JudgedTurn], Rules], dict[str, Statistic]],
) -> dict[str, Figure]:
    earlier, later = statistics(before, rules[0]), statistics(after, rules[1])
    # runs of different depth have different figures: only common ones are compared
    return _figures({name: difference(later[name], earlier[name]) for name in earlier if name in later}, before)


def retrieval_statistics(located: Sequence[JudgedTurn], rules: Rules) -> dict[str, Statistic]:
    """Recall at several depths, mean reciprocal rank and nDCG, over turns with expected places."""
    depths = sorted({depth for depth in DEPTHS if depth <= rules.depth} | {rules.depth})
    gain_depth = min(GAIN_DEPTH, rules.depth)
    recalls = {f"recall@{depth}": mean([float(one.answered_within(depth)) for one in located]) for depth in depths}
    return recalls | {
        "mrr": mean([1 / one.rank if one.rank else 0.0 for one in located]),
        f"ndcg@{gain_depth}": mean([_ndcg(one.places, gain_depth) for one in located]),
    }


def abstention_statistics(judged: Sequence[JudgedTurn], rules: Rules) -> dict[str, Statistic]:
    """Quality of the decision to answer, which rests on the score.

    ``auroc``: answerable against unanswerable turns. ``auroc_found``: turns whose passages answer against all others. At the
    threshold, ``answered`` and ``false_answers`` are the answered shares of answerable and of unanswerable turns, ``precision``
    is the share of answers with a passage that answers.
    """
    scores = [one.retrieval.score for one in judged]
    answered = [score >= rules.threshold for score in scores]
    right = [one.answered_within(rules.limit) for one in judged]
    answerable = [one.case.answerable for one in judged]
    return {
        "auroc": auroc(scores, answerable),
        "auroc_found": auroc(scores, right),
        "answered": _share(answered, answerable),
        "false_answers": _share(answered, [not each for each in answerable]),
        "precision": _share(right, answered),
    }


def _share(true: Sequence[bool], among: Sequence[bool]) -> Statistic:
    """The share of turns for which ``true`` holds, of those for which ``among`` holds."""
    marked = np.asarray(among, dtype=np.float64)
    both = np.asarray(true, dtype=np.float64) * marked
    return lambda weights: ratio(weights @ both, weights @ marked)


def _figures(statistics: Mapping[str, Statistic], judged: Sequence[JudgedTurn]) -> dict[str, Figure]:
    groups: list[Hashable] = [one.case.conversation for one in judged]
    found = {name: figure(statistic, groups) for name, statistic in statistics.items()} if groups else {}
    return {name: one for name, one in found.items() if one is not None}


def _split(located: Sequence[JudgedTurn], rules: Rules, key: Callable[[JudgedTurn], str]) -> dict[str, Figures]:
    names = sorted({key(one) for one in located})
    parts = {name: [one for one in located if key(one) == name] for name in names}
    return {name: _figures(retrieval_statistics(part, rules), part) for name, part in parts.items()}


def _ndcg(places: Sequence[int | None], depth: int) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002); every expected place counts once, with gain 1."""
    gain = sum(1 / math.log2(1 + place) for place in places if place is not None and place <= depth)
    best = sum(1 / math.log2(1 + place) for place in range(1, min(len(places), depth) + 1))
    return gain / best


def _worst(judged: Sequence[JudgedTurn], rules: Rules) -> tuple[WorstCase, ...]:
    """Turns whose expected place is not first, and unanswerable turns that were answered; highest score first within a rank."""
    wrong = [one for one in judged if _went_wrong(one, rules)]
    wrong.sort(key=lambda one: (1 / one.rank if one.rank else 0.0, -one.retrieval.score))
    return tuple(map(_worst_case, wrong))


def _went_wrong(one: JudgedTurn, rules: Rules) -> bool:
    if one.case.expected:
        return one.rank != 1
    return not one.case.answerable and one.retrieval.score >= rules.threshold


def _worst_case(one: JudgedTurn) -> WorstCase:
    return WorstCase(
        line=one.case.line,
        question=one.case.question,
        expected=tuple(map(str, one.case.expected)),
        found=tuple(dict.fromkeys(hit.passage.url or hit.passage.id for hit in one.retrieval.hits)),
        rank=one.rank,
        score=one.retrieval.score,
    )
