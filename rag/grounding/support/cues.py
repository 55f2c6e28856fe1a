"""What a statement hangs on besides its subject: names, denials, conditions, amounts, duties; and where they apply."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

Stem = Callable[[str], tuple[int, ...]]
"""The term of a word, or nothing for one without content."""

SCOPE = 6
"""Words behind a denial that it reaches, within its clause."""
EDIT = 5
"""Words that differ between the same words, up to which a text counts as the other one with a change."""
NEAR = 5
"""Words around a condition that tell what it is about."""

_TOKEN = re.compile(r"\w+(?:[-'.]\w+)*|[,;:()]")
_WORD = re.compile(r"\w+(?:[-'’.]\w+)*")
_JOINED = (
    (re.compile(r"\b(?:can ?not|can't|can t)\b"), "can not"),
    (re.compile(r"\bwon'?t\b"), "will not"),
    (re.compile(r"(?<=[a-z])n't\b|(?<=(?:do|es|id|is|re|as|ld|ve|ed|ad))n t\b"), " not"),
    (re.compile(r"\b(?:not only|no solo|not just|no later than|no earlier than|whether or not|no longer than)\b"), "also"),
    (re.compile(r"\b(?:no|not) (?:less|fewer) than\b"), "at_least"),
    (re.compile(r"\b(?:no|not) more than|no mas de\b"), "at_most"),
    (re.compile(r"\b(?:at least|al menos|por lo menos|como minimo|a minimum of)\b"), "at_least"),
    (re.compile(r"\b(?:at most|como maximo|a maximum of|up to)\b"), "at_most"),
    (re.compile(r"\b(?:more|greater|higher|longer|other) than|mas de\b"), "more_than"),
    (re.compile(r"\b(?:less|fewer|lower|shorter) than|menos de\b"), "less_than"),
    (re.compile(r"\b(?:prior to|antes de)\b"), "before"),
    (re.compile(r"\b(?:a menos que|a no ser que)\b"), "unless"),
    (re.compile(r"\b(?:have|has|need|needs|had|having) to\b"), "must"),
    (re.compile(r"\b(?:tiene|tienes|tienen|hay) que\b"), "must"),
    (re.compile(r"\b(?:in person)\b"), "in_person"),
    (re.compile(r"\b(?:fails?|failed|unable|refuse[sd]?) to\b"), "not"),
)  # fmt: skip
_DENIALS = frozenset(
    [
        "not",
        "never",
        "no",
        "none",
        "nobody",
        "nothing",
        "neither",
        "nor",
        "without",
        "unless",
        "except",
        "excluding",
        "ineligible",
        "nunca",
        "jamas",
        "sin",
        "salvo",
        "excepto",
        "ningun",
        "ninguna",
        "ninguno",
        "nadie",
        "nada",
        "ni",
        "tampoco",
    ]
)
_BREAKS = frozenset([",", ";", ":", "(", ")", "but", "however", "although", "pero", "aunque", "sino"])

GROUPS: dict[str, str] = {
    "before": "before antes",
    "after": "after following once afterwards despues tras luego",
    "until": "until till hasta",
    "from": "from starting beginning since desde",
    "at_least": "at_least minimum",
    "at_most": "at_most maximum",
    "more_than": "more_than over above exceed exceeds exceeding older",
    "less_than": "less_than under below younger",
    "if": "if when provided whether si cuando whenever where",
    "unless": "unless except salvo excepto excluding",
    "must": "must required require requires need needs mandatory shall obligatorio debe deben debes should necesita",
    "may": "may might optional could can possible puede pueden puedes opcional able",
    "all": "all every each entire todo todos todas cada both",
    "some": "some few certain several algunos algunas ciertos ciertas",
    "any": "any cualquier",
    "always": "always siempre",
    "sometimes": "sometimes occasionally usually veces",
    "increase": "increase increases increased raise raised higher more aumenta aumentar sube mayor increasing",
    "decrease": "decrease decreases decreased reduce reduces reduced lower less disminuye reduce baja menor reduction",
    "allow": "allow allows allowed permit permits permitted permite permitido",
    "forbid": "prohibit prohibits prohibited forbid forbidden ban banned prohibe prohibido",
    "include": "include includes included including incluye incluido incluidos",
    "exclude": "exclude excludes excluded excluding excluye excluido",
    "accept": "accept accepts accepted approve approves approved acepta aprueba",
    "reject": "reject rejects rejected deny denies denied rechaza deniega denegado",
    "earlier": "earlier early earliest",
    "later": "later late latest",
    "with": "with con",
    "without": "without sin",
    "within": "within dentro",
    "during": "during while durante mientras",
    "inside": "inside",
    "outside": "outside fuera",
    "only": "only solo unicamente just solely",
    "and": "and y e",
    "or": "or o u",
    "online": "online",
    "in_person": "in_person",
    "enabled": "enable enables enabled activa activar activado habilitado",
    "disabled": "disable disables desactiva desactivar desactivado deshabilitado",
}
"""Words that turn a statement, by what they mean."""
OPPOSED = (
    "before after", "until from", "until after", "at_least at_most", "more_than less_than", "at_least less_than",
    "at_most more_than", "if unless", "must may", "all some", "always sometimes", "increase decrease", "allow forbid",
    "include exclude", "accept reject", "earlier later", "with without", "within after", "during after", "during before",
    "inside outside", "and or", "online in_person", "enabled disabled", "before during", "at_least up_to", "all any",
)  # fmt: skip
_GROUP_OF: dict[str, tuple[str, ...]] = {}
for _group, _listed in GROUPS.items():
    for _word in _listed.split():
        _GROUP_OF[_word] = (*_GROUP_OF.get(_word, ()), _group)
_OPPOSITE: dict[str, set[str]] = {}
for _pair in OPPOSED:
    _one, _other = _pair.split()
    _OPPOSITE.setdefault(_one, set()).add(_other)
    _OPPOSITE.setdefault(_other, set()).add(_one)


def words(text: str) -> list[str]:
    """Its words in small letters without accents, in order."""
    return _WORD.findall(folded(text))


def folded(text: str) -> str:
    """Small letters, no accents, one kind of apostrophe."""
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    return plain.lower().replace("’", "'")


@dataclass(frozen=True, kw_only=True)
class Read:
    """A text, word by word. ``denied`` tells of each word whether a denial reaches it."""

    tokens: tuple[str, ...]
    stems: tuple[int, ...]  # 0 for a word without content
    denied: tuple[bool, ...]
    denials: tuple[int, ...]  # their places
    groups: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, text: str, stem: Stem) -> Read:
        """Reads a text."""
        flat = folded(text)
        for pattern, one in _JOINED:
            flat = pattern.sub(one, flat)
        tokens = tuple(_TOKEN.findall(flat))
        groups = tuple(_GROUP_OF.get(token, ()) for token in tokens)
        stems = tuple(0 if group else (stem(token) or (0,))[0] for token, group in zip(tokens, groups, strict=True))
        denials = tuple(place for place, token in enumerate(tokens) if token in _DENIALS)
        return cls(tokens=tokens, stems=stems, denied=_denied(tokens, denials), denials=denials, groups=groups)

    def signs(self) -> list[str | int]:
        """What makes two words the same: what they turn, their term, or themselves."""
        return [
            groups[0] if groups else stem or token
            for groups, stem, token in zip(self.groups, self.stems, self.tokens, strict=True)
        ]

    def content(self) -> set[int]:
        """Its terms."""
        return {stem for stem in self.stems if stem}

    def around(self, place: int, reach: int = NEAR) -> set[int]:
        """The terms near a word, behind it rather than before."""
        return {stem for stem in self.stems[max(0, place - reach // 2) : place + reach + 1] if stem}

    def behind(self, place: int, count: int = 2) -> list[int]:
        """The next terms after a word, within a denial's reach."""
        return [stem for stem in self.stems[place + 1 : place + 1 + SCOPE] if stem][:count]


def _denied(tokens: Sequence[str], denials: Sequence[int]) -> tuple[bool, ...]:
    reached = [False] * len(tokens)
    for place in denials:
        for index in range(place + 1, min(len(tokens), place + 1 + SCOPE)):
            if tokens[index] in _BREAKS:
                break
            reached[index] = not reached[index]
    return tuple(reached)


def denials(statement: Read, source: Read) -> tuple[int, int]:
    """Denials of the statement whose words the source has and does not deny, and the other way round."""
    return _undenied(statement, source), _undenied(source, statement)


def _undenied(one: Read, other: Read) -> int:
    """A denial is answered by a denial of the first of its words that the other has; by none where it has none of them."""
    polarity: dict[int, set[bool]] = {}
    for stem, denied in zip(other.stems, other.denied, strict=True):
        if stem:
            polarity.setdefault(stem, set()).add(denied)
    count = 0
    for place in one.denials:
        heads = one.behind(place)
        count += bool(heads) and all(polarity.get(stem) == {False} for stem in heads)
    return count


KINDS_OF_TURN = {
    "or": "joint", "and": "joint", "must": "duty", "may": "duty", "all": "amount", "some": "amount", "any": "amount",
    "if": "if", "unless": "if", "increase": "amount", "decrease": "amount",
}  # fmt: skip
"""Opposites that paraphrases take lightly, to be weighed by themselves; the rest is weighed together."""


def turned(statement: Read, source: Read) -> dict[str, int]:
    """Words of the statement in whose place, next to the same words, the source has only their opposite; by their kind."""
    counts = dict.fromkeys(("joint", "duty", "amount", "if", "other"), 0)
    for place, groups in enumerate(statement.groups):
        near = statement.around(place) if groups else set()
        if not near:
            continue
        same = _best_overlap(source, set(groups), near)
        opposite = _best_overlap(source, {other for group in groups for other in _OPPOSITE.get(group, ())}, near)
        counts[KINDS_OF_TURN.get(groups[0], "other")] += opposite > same
    return counts


def _best_overlap(source: Read, wanted: set[str], near: set[int]) -> int:
    found = (len(source.around(place) & near) for place, groups in enumerate(source.groups) if wanted & set(groups))
    return max(found, default=0)


def absent(statement: Read, source: Read) -> set[str]:
    """Turning words that the statement has and the source has not, by their group."""
    there = {group for groups in source.groups for group in groups}
    return {groups[0] for groups in statement.groups if groups and not set(groups) & there}


def edits(statement: Read, source: Read) -> dict[str, int]:
    """Turning words and denials that stand between the same words in one of both only: put in, left out, or swapped."""
    mine, there = statement.signs(), source.signs()
    counts = dict.fromkeys(("edit_denied", "edit_swapped", "edit_put_in", "edit_left_out"), 0)
    codes = SequenceMatcher(None, mine, there, autojunk=False).get_opcodes()
    for number, (tag, start, end, first, last) in enumerate(codes):
        flanked = 0 < number < len(codes) - 1 or (tag != "equal" and len(codes) > 1)
        if tag == "equal" or not flanked or max(end - start, last - first) > EDIT:
            continue
        ours, theirs = _critical(statement, start, end), _critical(source, first, last)
        counts["edit_denied"] += (len(ours[1]) - len(theirs[1])) % 2
        opposite = {other for group in ours[0] for other in _OPPOSITE.get(group, ())}
        counts["edit_swapped"] += bool(opposite & theirs[0] - ours[0])
        counts["edit_put_in"] += bool(ours[0] - theirs[0])
        counts["edit_left_out"] += bool(theirs[0] - ours[0])
    return counts


def _critical(read: Read, start: int, end: int) -> tuple[set[str], list[int]]:
    groups = {group for groups in read.groups[start:end] for group in groups}
    return groups, [place for place in read.denials if start <= place < end]


def names(text: str) -> list[str]:
    """Words that name: capitals within a sentence, capitals and figures mixed. Folded, each once."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match[0]
        capital = word[0].isupper() and not _opens(text, match.start())
        mixed = any(mark.isupper() for mark in word[1:]) or (
            any(mark.isdigit() for mark in word) and any(mark.isalpha() for mark in word)
        )
        if (capital or mixed or "_" in word) and len(word) > 1:
            found.append(folded(word))
    return list(dict.fromkeys(found))


def _opens(text: str, start: int) -> bool:
    """A word after a full stop, a colon or a bullet has a capital anyway."""
    before = text[max(0, start - 20) : start].rstrip(" *_\"'“«(¿¡")
    return not before or before.endswith((".", "!", "?", ":", "\n", "-", "•", ";"))
