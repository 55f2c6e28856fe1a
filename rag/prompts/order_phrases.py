"""How texts speak to a machine that reads them, in English and Spanish. What counts as an order is decided by this list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_BEFORE_AN_ORDER = (
    r"\A", r"(?<=[\n>*(¡\"“])", r"(?<=[.!?:;,>¡)+-]\s)", r"(?<=\s\s)", r"(?<=\bplease\s)", r"(?<=\band\s)", r"(?<=\bthen\s)",
    r"(?<=\bnow\s)", r"(?<=\balways\s)", r"(?<=\bmust\s)", r"(?<=\bshould\s)", r"(?<=\bjust\s)", r"(?<=\by\s)",
    r"(?<=\bdebes\s)", r"(?<=\bsiempre\s)", r"(?<=\bahora\s)", r"(?<=\bfavor\s)",
)  # fmt: skip
_SIGNS: Final = {
    "_": r"\s*",
    " ": r"\s+",
    "~": r"(?:\S{0,80}[^\s.!?]\s+){0,6}?",
    "REPLY": r"(?:(?:final|next|own)\s+)?(?:response|answers?|reply|replies|output|respuestas?|contestación)\b",
    "MACHINE": r"(?:assistant|ai|chat\s?bot|bot|language\s+model|llm|gpt|asistente|ia|inteligencia\s+artificial|"
    r"modelo\s+de\s+lenguaje)\b",
    # a response that a program sends, or one that somebody is given, is not being written
    "OWN": r"(?!\s+(?:to\s+(?:the|an?|your|this|our)|from|by|model|class|classes|object|body|header|headers|status|code|schema|"
    r"parameters?|letter|form)\b)",
}
"""What stands for what below: ``_`` for blanks that may lack, ``~`` for up to six words of the same sentence."""

_PHRASES: Final = (
    # set aside what you were told
    ("ignore disregard forget override bypass discard neglect",
     " ~(?:instructions?|rules|prompts?|guidelines|directions|directives|commands|constraints|system message|"
     "(?:previous|prior|above|earlier) (?:context|text|messages?))"),
    ("ignora olvida descarta omite desobedece ignore olvide descarte omita sigas siga caso",
     " ~(?:instrucciones|reglas|indicaciones|órdenes|directrices|mensajes? (?:anterior(?:es)?|de sistema)|texto anterior)"),
    ("new updated hidden secret real", " (?:system )?instructions?_:"),
    ("nuevas verdaderas ocultas", " instrucciones_:"),
    ("note message instruction instructions attention mensaje instrucciones nota aviso",
     " (?:to|for|para|al?) (?:the |any |all |el |la )?MACHINE"),
    ("reveal leak disclose expose print repeat revela muestra repite",
     " ~(?:system prompt|your (?:prompt|instructions)|tus instrucciones)"),
    ("not", " (?:tell|mention|reveal|inform) ~(?:the user|these? instructions?|this (?:order|sentence|passage))"),
    ("no", " (?:menciones|reveles|digas|informes) ~(?:al usuario|estas? (?:instrucción|instrucciones|orden|frase))"),
    ("decode descodifica decodifica base64", " ~(?:follow|obey|execute|sigue|obedece|ejecuta|instructions|instrucciones)"),
    # be somebody
    ("you",
     " are (?:now |no longer )~(?:MACHINE|dan\\b|unrestricted|bound by|free (?:of|from) ~(?:rules|restrictions)|in \\w+ mode)"),
    ("you", " are (?:an?|the|my) ~MACHINE(?! \\w+ed)"),
    ("eres serás", " (?:ahora )?(?:un|una|el|la) ~MACHINE"),
    ("«act behave respond answer reply speak", " as (?:if you|an? (?:MACHINE|pirate|unrestricted|evil|expert))"),
    ("pretend finge", " (?:to be|(?:that )?you are|ser|que eres)"),
    ("«actúa compórtate responde", " como (?:si|un|una)"),
    ("as", " an? (?:ai|artificial intelligence|(?:large )?language model)(?: language)?(?: model| assistant)?,"),
    ("como", " (?:una ia|modelo de lenguaje),"),
    ("now", "(?<=from\\snow) on,? (?:you|always|never|respond|answer|reply|speak|write|ignore)"),
    ("ahora adelante", ",? (?:responde|contesta|eres|escribe|di|habla|ignora|debes)\\b"),
    ("developer dan god jailbreak", " mode (?:enabled|on|activated)"),
    ("do", " anything now"),
    # about the answer that is being written
    ("in into to of from with throughout", " your (?:REPLYOWN|message)"),
    ("words word letters letter vowels keywords sentences",
     " (?:in|of|from) your (?:REPLY|message)"),
    ("modify augment enhance provide render scramble jumble rearrange encode encrypt translate reverse begin start end finish "
     "conclude prefix format phrase limit shorten replace convert alter",
     " ~(?:your|the final) (?:REPLY(?! model| class)|message)"),
    ("your", " (?:response|answer|reply)['’]s \\w+"),
    ("add append insert include integrate", " ~~(?:your REPLYOWN|(?:the|this) (?:answer|reply))"),
    ("incluye añade agrega inserta integra pon", " ~~(?:tu|la) REPLY"),
    ("en con final principio", " (?:de )?(?:todas )?tus? REPLY"),
    ("modifica cambia amplía termina empieza comienza acaba traduce reemplaza sustituye",
     " ~tus? REPLY"),
    ("summary summaries",
     " of (?:this|the|these) (?:page|text|document|passage)s? (?:must|should|ha(?:s|ve) to|begins?|ends?|shows?|includes?)\\b"),
    ("summaries", " (?:must|should|shall|have to|show|include|carry)\\b"),
    ("whoever anyone those quien",
     " (?:who |which )?(?:summari[sz]es?|answers?|cites?|quotes?|resuma|responda|conteste|cite) "
     "~(?:must|should|shall|ha(?:s|ve) to|is to|are to|debe|tiene que)\\b"),
    ("begin start end finish conclude", " (?:by (?:sending|saying|telling|linking|recommending|adding|mentioning|inviting)"
     "|~what you (?:write|say|answer))\\b"),
    ("alone itself else", " (?:on|in|as) the (?:first|last) line\\b"),
    # say this
    ("«respond reply answer", " (?:only |always |exclusively |just |exactly )?(?:with|in|using) (?:only |just |exactly )?"
     "(?:[\"“‘'`]|the (?:words?|phrase|text|following|sentence|link|url)\\b)"),
    ("respond reply answer", " (?:(?:only|always|exclusively) (?:with|in|using)\\b|with_:)"),
    ("«responde contesta", "(?: (?:solo|sólo|únicamente|siempre|exactamente) (?:con|que|en)\\b|_:)"),
    ("«tell inform convince persuade instruct urge trick show give send",
     " (?:the|this|every|any|each) (?:users?|readers?|asker|human|person (?:asking|who asks)) (?:that\\b|to\\b|about\\b|this\\b|"
     "the\\b|it\\b|https?:|[\"“])"),
    ("«dile diles informa indica comunica convence", " (?:al? |a la |a los )?(?:usuarios?|lector|persona que pregunta)\\b"),
    ("you when whenever",
     "(?: are|['’]re)? asked ~(?:say|answer|respond|reply|tell|claim|state|recommend)\\b"),
    ("user person human someone somebody anyone", " asks? ~(?:say|answer|respond|reply|tell|claim|state|recommend|send)\\b"),
    ("si cuando",
     " (?:(?:el|un) usuario|alguien|te|alguien te|te lo) preguntan? ~(?:di|responde|contesta|afirma|recomienda|envía)\\b"),
    ("«repeat say output print recite echo write", " (?:after me|exactly|verbatim|word for word|everything above|"
     "the (?:following|words|phrase|sentence) (?:\\w+ )?_[:\"“])"),
    ("«repite di escribe imprime copia", " (?:exactamente|literalmente|palabra por palabra|lo siguiente|esta frase)\\b"),
    ("«mention ping notify tag", " (?:[<]?[@!]|everyone\\b|the whole channel\\b)"),
    ("«menciona avisa etiqueta", " a (?:[<]?[@!]|todos\\b)"),
    # other passages say this
    ("passage passages pasaje pasajes fragmento fragmentos",
     " (?:number |número )?\\[?\\d{1,2}\\]? (?:says?|states?|confirms?|tells?|is|dice|afirma|confirma|es)\\b"),
    ("to cite citing quoting según cita citando",
     " (?:the |el )?(?:(?:passage|pasaje|fragmento|source|fuente) (?:number |número )?)?\\[\\d{1,2}\\]"),
    ("to cite citing según cita citando", " (?:the |el )?(?:passage|pasaje|fragmento) (?:number |número )?\\d"),
    ("other otros demás", " (?:passages|pasajes|fragmentos)\\b"),
)  # fmt: skip
"""First words, then how it goes on; ``«`` where the word must stand where an order begins."""

_LABELS: Final = (
    re.compile(
        r"(?:^[ \t>*#+-]*|(?<=[.!?]\s))(?:system|assistant|developer|sistema|asistente)\s?(?:prompt|message|note)?\s?:\s*\S",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(r"#{2,4}\s?(?:instruction|response|system)s?\s?:", re.IGNORECASE),
)
_FRAME: Final = re.compile(
    r"<\|[^<>|\n]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?(?:start_of_turn|end_of_turn|passages?|tool_call|function_call)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")


def orders(text: str) -> Iterator[tuple[int, int]]:
    """Where phrases of this list stand in a text without markup. Who forges the frame of a prompt is not read to the end."""
    for word in _WORD.finditer(text):
        for pattern in _BY_WORD.get(word[0].lower(), ()):
            if match := pattern.match(text, word.start()):
                yield match.span()
    for label in _LABELS:
        yield from (match.span() for match in label.finditer(text))
    if forged := _FRAME.search(text):
        yield forged.start(), len(text)


def _compiled() -> Mapping[str, tuple[re.Pattern[str], ...]]:
    found: dict[str, tuple[re.Pattern[str], ...]] = {}
    for firsts, rest in _PHRASES:
        begins = f"(?:{'|'.join(_BEFORE_AN_ORDER)})" if firsts.startswith("«") else ""
        pattern = re.compile(begins + r"\w+" + _spelt(rest), re.IGNORECASE)
        for word in firsts.removeprefix("«").split():
            found[word] = (*found.get(word, ()), pattern)
    return found


def _spelt(phrase: str) -> str:
    for sign, pattern in _SIGNS.items():
        phrase = phrase.replace(sign, pattern)
    return phrase


_BY_WORD = _compiled()
