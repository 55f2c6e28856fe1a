"""Features that compare a statement with one passage: cosines, shared words, numbers, names, negations, conditions.

Their names are part of the learnt trees in ``weights``, so they change only together with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rag.grounding.support.cues import TokenizedText, edits, missing_groups, names, negation_conflicts, opposites, words
from rag.grounding.support.numbers import claimed_numbers, figures, months
from rag.grounding.support.passages import Premise

Floats = NDArray[np.float64]

GENTLE = ("and", "or", "if", "with", "only", "may", "must", "more_than", "increase", "from", "during", "within", "any")
"""Groups of cue words that a correct paraphrase may add or leave out. Each is a feature of its own."""


FRAGMENT = 0.5
"""Statements below this length (in tens of words) must share every content word: too few remain to outweigh a wrong one."""
COMPOUND = 6
"""Fewest letters of a name that may match inside a text without its spaces: shorter ones match by chance."""


def evidence(claim: str, vector: Floats, source: Premise, vectors: Floats) -> dict[str, float]:
    """Features by name. ``vectors`` holds one row for each window of the source and, last, one for the whole passage."""
    statement = TokenizedText.of(claim, source.stem)
    cosines = vectors @ vector
    content = statement.content()
    covered = np.array([share(content, window.content()) for window in source.tokenized_windows])
    best = int(np.argmax(cosines[:-1] + covered))
    near = source.tokenized_windows[best]
    alone = source.tokenized_windows[int(np.argmax((cosines[:-1] + covered)[: len(source.sentences)]))]
    added_negations, lost_negations = negation_conflicts(statement, near)
    added_in_sentence, lost_in_sentence = negation_conflicts(statement, alone)
    missing = missing_groups(statement, near)
    ratio = share(content, source.content)
    return {
        "cosine": float(cosines[:-1].max()),
        "here": float(cosines[best]),
        "whole": float(cosines[-1]),
        "covered": ratio,
        "near": float(covered[best]),
        "missing": float(len(content - source.content)),
        "far": float(len(content - near.content())),
        "returned": share(near.content(), content),
        "words": float(min(30, len(statement.tokens))) / 10,
        "denied": float(added_negations),
        "undenied": float(lost_negations),
        "denies": float(bool(statement.negations) and not near.negations),
        "affirms": float(bool(near.negations) and not statement.negations),
        "parity": float(len(statement.negations) % 2 != len(near.negations) % 2),
        "denied_alone": float(added_in_sentence),
        "undenied_alone": float(lost_in_sentence),
        "parity_alone": float(len(statement.negations) % 2 != len(alone.negations) % 2),
        **{f"turned_{kind}": float(count) for kind, count in opposites(statement, near).items()},
        "absent": float(len(missing - set(GENTLE))),
        **{f"no_{group}": float(group in missing) for group in GENTLE},
        **{name: float(count) for name, count in edits(statement, near).items()},
        "order": _order(statement, near),
        **_vetoes(claim, source, source.windows[best]),
    }


def is_refuted(features: Mapping[str, float]) -> bool:
    """Whether a feature rules support out, whatever the trees say.

    That is: a number or month that the source lacks, a condition or negation reversed in otherwise equal words, a fragment with
    a foreign word, or a statement without any content word.
    """
    # A swapped condition leaves all other words equal, so cosine and coverage would outvote it in any weighing.
    same_words = features["edit_denied"] and (features["denied_alone"] or features["undenied_alone"])
    denied = same_words or (features["denied_alone"] and features["parity_alone"])
    joined = features["turned_joint"] and features["no_or"]
    swapped = features["edit_swapped"] or features["turned_other"] or features["turned_if"] or joined
    fragment = features["words"] < FRAGMENT and features["missing"]
    empty = not features["covered"] and not features["missing"]
    return bool(features["numbers"] or features["months"] or denied or swapped or fragment or empty)


def share(part: AbstractSet[int], whole: AbstractSet[int]) -> float:
    """The share of ``part`` that ``whole`` contains; 0 for an empty ``part``."""
    return len(part & whole) / len(part) if part else 0.0


def _order(statement: TokenizedText, source: TokenizedText) -> float:
    """The share of pairs of neighbouring content words that also stand within three content words of each other in the source."""
    statement_stems = [stem for stem in statement.stems if stem]
    source_stems = [stem for stem in source.stems if stem]
    source_pairs = {(one, two) for index, one in enumerate(source_stems) for two in source_stems[index + 1 : index + 4]}
    pairs = list(pairwise(statement_stems))
    return sum(pair in source_pairs for pair in pairs) / len(pairs) if pairs else 1.0


def _vetoes(claim: str, source: Premise, near: str) -> Mapping[str, float]:
    """Counts of numbers, months and names of the claim that the source, or its nearest window, lacks."""
    numbers = claimed_numbers(claim)
    near_figures = figures(near)
    unknown_names = [name for name in names(claim) if is_unknown_name(name, source)]
    near_words = set(words(near))
    return {
        "numbers": float(sum(not number & source.figures for number in numbers)),
        "numbers_far": float(sum(not number & near_figures for number in numbers)),
        "months": float(len(months(claim) - source.months)),
        "names": float(len(unknown_names)),
        "names_far": float(sum(name not in near_words and name not in unknown_names for name in names(claim))),
    }


def is_unknown_name(name: str, source: Premise) -> bool:
    """Whether a passage lacks a name. One part of a hyphenated name is enough to have it."""
    plain = name.replace(".", "")
    if plain in source.plain_words or (len(plain) >= COMPOUND and plain in source.compact):
        return False
    parts = [part for part in plain.split("-") if len(part) > 1]
    return not any(part in source.plain_words or set(source.stem(part)) & source.content for part in parts)
