"""What a decision on a statement is made from: figures of how it stands to one source."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rag.grounding.support.cues import Read, absent, denials, edits, names, turned, words
from rag.grounding.support.numbers import claimed, figures, months
from rag.grounding.support.passages import Premise

Floats = NDArray[np.float64]

GENTLE = ("and", "or", "if", "with", "only", "may", "must", "more_than", "increase", "from", "during", "within", "any")
"""Turning words that paraphrases leave out or put in: each is weighed by itself, the others together."""


FRAGMENT = 0.5
"""Tens of words below which every content word must be there: a fragment is too short for the others to outweigh one."""
COMPOUND = 6
"""Letters of a name from which on it may stand anywhere in a text without spaces: by chance shorter ones do."""


def evidence(claim: str, vector: Floats, source: Premise, vectors: Floats) -> dict[str, float]:
    """By the name of each figure. ``vectors`` are of the source's windows and of the whole."""
    statement = Read.of(claim, source.stem)
    cosines = vectors @ vector
    content = statement.content()
    covered = np.array([share(content, read.content()) for read in source.reads])
    best = int(np.argmax(cosines[:-1] + covered))
    near = source.reads[best]
    alone = source.reads[int(np.argmax((cosines[:-1] + covered)[: len(source.sentences)]))]
    added, lost = denials(statement, near)
    added_alone, lost_alone = denials(statement, alone)
    missing = absent(statement, near)
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
        "denied": float(added),
        "undenied": float(lost),
        "denies": float(bool(statement.denials) and not near.denials),
        "affirms": float(bool(near.denials) and not statement.denials),
        "parity": float(len(statement.denials) % 2 != len(near.denials) % 2),
        "denied_alone": float(added_alone),
        "undenied_alone": float(lost_alone),
        "parity_alone": float(len(statement.denials) % 2 != len(alone.denials) % 2),
        **{f"turned_{kind}": float(count) for kind, count in turned(statement, near).items()},
        "absent": float(len(missing - set(GENTLE))),
        **{f"no_{group}": float(group in missing) for group in GENTLE},
        **{name: float(count) for name, count in edits(statement, near).items()},
        "order": _order(statement, near),
        **_vetoes(claim, source, source.windows[best]),
    }


def refuted(found: Mapping[str, float]) -> bool:
    """What no weighing makes good: a figure or month that is not there, a condition or denial turned in the same words,

    nothing that could be there.
    """
    same_words = found["edit_denied"] and (found["denied_alone"] or found["undenied_alone"])
    denied = same_words or (found["denied_alone"] and found["parity_alone"])
    joined = found["turned_joint"] and found["no_or"]
    swapped = found["edit_swapped"] or found["turned_other"] or found["turned_if"] or joined
    fragment = found["words"] < FRAGMENT and found["missing"]
    empty = not found["covered"] and not found["missing"]
    return bool(found["numbers"] or found["months"] or denied or swapped or fragment or empty)


def share(part: AbstractSet[int], whole: AbstractSet[int]) -> float:
    """Of one set, the part that the other has too; nothing of nothing."""
    return len(part & whole) / len(part) if part else 0.0


def _order(statement: Read, source: Read) -> float:
    """The share of the pairs of neighbouring content words that are near each other in the source too."""
    mine = [stem for stem in statement.stems if stem]
    other = [stem for stem in source.stems if stem]
    there = {(one, two) for index, one in enumerate(other) for two in other[index + 1 : index + 4]}
    pairs = list(pairwise(mine))
    return sum(pair in there for pair in pairs) / len(pairs) if pairs else 1.0


def _vetoes(claim: str, source: Premise, near: str) -> Mapping[str, float]:
    numbers = claimed(claim)
    close = figures(near)
    strange = [name for name in names(claim) if is_strange(name, source)]
    close_by = set(words(near))
    return {
        "numbers": float(sum(not number & source.figures for number in numbers)),
        "numbers_far": float(sum(not number & close for number in numbers)),
        "months": float(len(months(claim) - source.months)),
        "names": float(len(strange)),
        "names_far": float(sum(name not in close_by and name not in strange for name in names(claim))),
    }


def is_strange(name: str, source: Premise) -> bool:
    """Whether a passage lacks a name; a part of a compound is enough."""
    plain = name.replace(".", "")
    if plain in source.plain_words or (len(plain) >= COMPOUND and plain in source.compact):
        return False
    parts = [part for part in plain.split("-") if len(part) > 1]
    return not any(part in source.plain_words or set(source.stem(part)) & source.content for part in parts)
