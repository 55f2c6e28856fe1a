"""Lexical cues of a statement: negation, conditions, quantifiers, modals, comparisons and names, and the words they apply to.

A small change of one of them reverses what a sentence says while nearly all of its words stay the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

Stem = Callable[[str], tuple[int, ...]]
"""Maps a word to the id of its stem; to an empty tuple for a word without content."""

SCOPE = 6
"""Words after a negation that it applies to, within its clause."""
EDIT = 5
"""Most words that may differ between equal words for the difference to count as an edit of the source."""
NEAR = 5
"""Words after a cue (half as many before it) that tell what it applies to."""

_TOKEN = re.compile(r"\w+(?:[-'.]\w+)*|[,;:()]")
_WORD = re.compile(r"\w+(?:[-'’.]\w+)*")
_PHRASES = (
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
_NEGATIONS = frozenset(
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
_SCOPE_ENDS = frozenset([",", ";", ":", "(", ")", "but", "however", "although", "pero", "aunque", "sino"])

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
"""Cue words by meaning: exchanging one group for another changes what a statement says."""
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
    """The words of a text in order, lower case and without accents."""
    return _WORD.findall(folded(text))


def folded(text: str) -> str:
    """The text in lower case, without accents, with one kind of apostrophe."""
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    return plain.lower().replace("’", "'")


@dataclass(frozen=True, kw_only=True)
class TokenizedText:
    """A text as tokens. ``stems``, ``negated`` and ``groups`` have one entry for each token."""

    tokens: tuple[str, ...]
    stems: tuple[int, ...]  # 0 for a word without content
    negated: tuple[bool, ...]  # whether a negation applies to the word
    negations: tuple[int, ...]  # indices of the negations
    groups: tuple[tuple[str, ...], ...]  # keys of GROUPS

    @classmethod
    def of(cls, text: str, stem: Stem) -> TokenizedText:
        """Tokenizes a text and finds its cues."""
        flat = folded(text)
        for pattern, one in _PHRASES:  # in this order: contractions become "not" first, which later phrases contain
            flat = pattern.sub(one, flat)
        tokens = tuple(_TOKEN.findall(flat))
        groups = tuple(_GROUP_OF.get(token, ()) for token in tokens)
        stems = tuple(0 if group else (stem(token) or (0,))[0] for token, group in zip(tokens, groups, strict=True))
        negations = tuple(place for place, token in enumerate(tokens) if token in _NEGATIONS)
        return cls(tokens=tokens, stems=stems, negated=_negated(tokens, negations), negations=negations, groups=groups)

    def signs(self) -> list[str | int]:
        """For each token what it is compared by: its group, else its stem, else the token itself."""
        return [
            groups[0] if groups else stem or token
            for groups, stem, token in zip(self.groups, self.stems, self.tokens, strict=True)
        ]

    def content(self) -> set[int]:
        """Ids of the content words."""
        return {stem for stem in self.stems if stem}

    def around(self, place: int, reach: int = NEAR) -> set[int]:
        """Content words near the token at ``place``: up to ``reach`` tokens after it, half as many before it."""
        return {stem for stem in self.stems[max(0, place - reach // 2) : place + reach + 1] if stem}

    def behind(self, place: int, count: int = 2) -> list[int]:
        """The first ``count`` content words after the token at ``place``, within the scope of a negation."""
        return [stem for stem in self.stems[place + 1 : place + 1 + SCOPE] if stem][:count]


def _negated(tokens: Sequence[str], negations: Sequence[int]) -> tuple[bool, ...]:
    """For each token whether an odd number of negations applies to it."""
    negated = [False] * len(tokens)
    for place in negations:
        for index in range(place + 1, min(len(tokens), place + 1 + SCOPE)):
            if tokens[index] in _SCOPE_ENDS:
                break
            # a negation within the scope of another one cancels it
            negated[index] = not negated[index]
    return tuple(negated)


def negation_conflicts(statement: TokenizedText, source: TokenizedText) -> tuple[int, int]:
    """Counts of negations in the statement whose words the source affirms, and of the reverse."""
    return _affirmed_elsewhere(statement, source), _affirmed_elsewhere(source, statement)


def _affirmed_elsewhere(one: TokenizedText, other: TokenizedText) -> int:
    """Negations in ``one`` whose words ``other`` contains only without a negation; words that it lacks do not count."""
    polarity: dict[int, set[bool]] = {}
    for stem, negated in zip(other.stems, other.negated, strict=True):
        if stem:
            polarity.setdefault(stem, set()).add(negated)
    count = 0
    for place in one.negations:
        heads = one.behind(place)
        count += bool(heads) and all(polarity.get(stem) == {False} for stem in heads)
    return count


OPPOSITE_KINDS = {
    "or": "joint", "and": "joint", "must": "duty", "may": "duty", "all": "amount", "some": "amount", "any": "amount",
    "if": "if", "unless": "if", "increase": "amount", "decrease": "amount",
}  # fmt: skip
"""Opposites that correct paraphrases often exchange. Each kind is a feature of its own; all others are one together."""


def opposites(statement: TokenizedText, source: TokenizedText) -> dict[str, int]:
    """Cue words of the statement for which the source, near the same words, has the opposite instead; counts by kind."""
    counts = dict.fromkeys(("joint", "duty", "amount", "if", "other"), 0)
    for place, groups in enumerate(statement.groups):
        context = statement.around(place) if groups else set()
        if not context:
            continue
        same = _best_overlap(source, set(groups), context)
        opposite = _best_overlap(source, {other for group in groups for other in _OPPOSITE.get(group, ())}, context)
        counts[OPPOSITE_KINDS.get(groups[0], "other")] += opposite > same
    return counts


def _best_overlap(source: TokenizedText, wanted: set[str], context: set[int]) -> int:
    """The most words of ``context`` that stand around one cue of the ``wanted`` groups in the source."""
    overlaps = (
        len(source.around(place) & context) for place, groups in enumerate(source.groups) if wanted & set(groups)
    )
    return max(overlaps, default=0)


def missing_groups(statement: TokenizedText, source: TokenizedText) -> set[str]:
    """Groups of cue words that the statement has and the source lacks."""
    source_groups = {group for groups in source.groups for group in groups}
    return {groups[0] for groups in statement.groups if groups and not set(groups) & source_groups}


def edits(statement: TokenizedText, source: TokenizedText) -> dict[str, int]:
    """Cue words and negations added, left out or swapped between otherwise equal words; counts by kind of edit."""
    statement_signs, source_signs = statement.signs(), source.signs()
    counts = dict.fromkeys(("edit_denied", "edit_swapped", "edit_put_in", "edit_left_out"), 0)
    # autojunk would leave out frequent words of a window of 200 words or more, "not" and "must" among them
    codes = SequenceMatcher(None, statement_signs, source_signs, autojunk=False).get_opcodes()
    for number, (tag, start, end, first, last) in enumerate(codes):
        flanked = 0 < number < len(codes) - 1 or (tag != "equal" and len(codes) > 1)
        if tag == "equal" or not flanked or max(end - start, last - first) > EDIT:
            continue
        added, removed = _cues_between(statement, start, end), _cues_between(source, first, last)
        counts["edit_denied"] += (len(added[1]) - len(removed[1])) % 2
        opposite = {other for group in added[0] for other in _OPPOSITE.get(group, ())}
        counts["edit_swapped"] += bool(opposite & removed[0] - added[0])
        counts["edit_put_in"] += bool(added[0] - removed[0])
        counts["edit_left_out"] += bool(removed[0] - added[0])
    return counts


def _cues_between(text: TokenizedText, start: int, end: int) -> tuple[set[str], list[int]]:
    """The groups and the negations between two token indices."""
    groups = {group for groups in text.groups[start:end] for group in groups}
    return groups, [place for place in text.negations if start <= place < end]


def names(text: str) -> list[str]:
    """Words that look like names: a capital within a sentence, or mixed capitals and digits. Folded, each once."""
    listed: list[str] = []
    for match in _WORD.finditer(text):
        word = match[0]
        capital = word[0].isupper() and not _starts_sentence(text, match.start())
        mixed = any(mark.isupper() for mark in word[1:]) or (
            any(mark.isdigit() for mark in word) and any(mark.isalpha() for mark in word)
        )
        if (capital or mixed or "_" in word) and len(word) > 1:
            listed.append(folded(word))
    return list(dict.fromkeys(listed))


def _starts_sentence(text: str, start: int) -> bool:
    """Whether a word opens a sentence, a quote or an item, where a capital tells nothing."""
    before = text[max(0, start - 20) : start].rstrip(" *_\"'“«(¿¡")
    return not before or before.endswith((".", "!", "?", ":", "\n", "-", "•", ";"))
