"""Patterns and checks that find personal data in text.

Every pattern can match only at the start of a token, and every repetition has a limit, so that hostile text costs linear time.
A finder returns (start, end) offsets in order, without overlaps. Only forms and check digits are looked at, never names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import phonenumbers
from stdnum import iban, luhn

Span = tuple[int, int]

NEARBY = 48
"""How many characters before a number are searched for a word that says what it is."""
CARD_GROUPS = 5
"""The largest number of groups in which people write a card number."""

_SECRETS = re.compile(
    r"""
    -----BEGIN\ [A-Z ]{0,40}PRIVATE\ KEY-----[\s\S]*?(?:-----END\ [A-Z ]{0,40}PRIVATE\ KEY-----|\Z)
    | \bhooks\.slack\.com/services/[\w/-]{20,200}
    | (?<![\w-])eyJ[\w-]{8,4000}\.[\w-]{8,4000}\.[\w-]{0,4000}        # JSON web token
    | \b\d{8,10}:[A-Za-z0-9_-]{35,45}(?![\w-])                # Telegram bot
    | \bx(?:ox[a-z]|app)-[A-Za-z0-9-]{10,400}                 # Slack
    | \bsk-[A-Za-z0-9_-]{20,400}                              # OpenAI, Anthropic
    | \b[sr]k_(?:live|test)_[A-Za-z0-9]{16,200}               # Stripe
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                           # AWS
    | \bAIza[\w-]{35}                                         # Google
    | \bgh[oprsu]_[A-Za-z0-9]{30,255} | \bgithub_pat_\w{22,255} | \bglpat-[\w-]{20,255}
    | \bhf_[A-Za-z0-9]{30,100} | \bnpm_[A-Za-z0-9]{36} | \bpypi-[\w-]{50,400}
    """,
    re.VERBOSE,
)
_NAMED_SECRETS = re.compile(
    r"""
    (?:\b(?:password|passwd|passphrase|pwd|contraseña|clave|api[ _-]?key|secret|token)["']?\s{0,3}[:=]\s{0,3}["']?
       (?=[^\s"'\d]{0,128}\d)([^\s"'\[\]]{6,4000})
     | \bbearer\s{1,3}([A-Za-z0-9._~+/=-]{16,4000})
     | ://([^\s/@:\[\]]{0,128}:[^\s/@\[\]]{1,256})@)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62}")
# A lookahead, so that a wrong candidate does not hide an IBAN that begins inside it.
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}\d{2}(?:[ \u00a0\u202f-]?[A-Za-z0-9]){11,30}))")
# A comma before a number separates items of a list, except after a single digit: "3,1416" is one number.
_DIGIT_GROUPS = re.compile(r"(?<![\w.+-])(?<!\b\d,)\d+(?:[ \u00a0\u202f-]\d+)*")
_CARD_PREFIX = re.compile(
    r"""
    4(?:\d{12}|\d{15}|\d{18})                                                                      # Visa
    | (?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720|220[0-4])\d{12}                    # Mastercard, Mir
    | 3[47]\d{13} | 3(?:0[0-5]|095|[689]\d)\d{11} | 3(?:0[0-5]|[689]\d)\d{13}                      # Amex, Diners
    | 35(?:2[89]|[3-8]\d)\d{12,15} | (?:1800|2131)\d{11}                                           # JCB
    | 6(?:011|4[4-9]\d|5\d\d|2\d\d|0\d\d|39\d|7\d\d)\d{12,15} | 8[12]\d{14} | 50\d{14}  # Discover, UnionPay, Maestro
    """,
    re.VERBOSE,
)
_CARD_END = re.compile(r"(?!\w|\.\d)")
_MAESTRO_SHORT = re.compile(r"(?:50|5[6-9]|6\d)\d{10,13}")
_CARD_WORDS = re.compile(r"\b(?:card|credit|debit|maestro|tarjeta|crédito|débito)\b", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
# IP addresses and lists of single digits are never phones, and the phone library is slow in refusing them one by one.
_NO_PHONE = re.compile(rf"{_IPV4.pattern}|(?<!\w)\d(?:[^\w\n]{{1,2}}\d){{5,}}(?!\w)")
_NAMED_PHONE = re.compile(
    r"""
    \b(?:phone|tel|telephone|mobile|cell|cellphone|call|fax|whatsapp|teléfono|telefono|móvil|movil|celular|llám\w{2,8}
       |llamar|llama)\b
    [^\d\n+(]{0,24}
    (?!\d{4}-\d\d-\d\d|\d{1,2}[./-]\d{1,2}[./-]\d{4})                                              # not a date
    ([+(]?\d(?:[ ().-]{0,2}\d){6,14}(?:\s?(?:x|ext\.?)\s?\d{1,5})?)(?!\w|[.,-]\d)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:][0-9A-Fa-f:.]{2,44}(?![\w:])")
_VERSION_WORDS = re.compile(
    r"\b(?:v|ver|versi[oó]n|versions|release|build|firmware|driver)\b[\s.:=]{0,3}$", re.IGNORECASE
)
_ORDER_WORDS = re.compile(
    r"""(?:\b(?:order|pedido|invoice|factura|ticket|case|caso|ref|reference|referencia|id|sku|isbn|ean|version|versión
           |build|tracking|seguimiento|serial|serie|article|artículo|item|port|puerto|pid|error|code|código)\b
        [\s.:#]{0,3}(?:(?:number|num|no|nr|id|número|núm|n[º°])[\s.:#]{0,3})?(?:is|es|:)?\s{0,2}
        |\#\s?|n[º°]\s?)$""",
    re.IGNORECASE | re.VERBOSE,
)

REGIONS = {
    "en": ("US", "GB", "AU", "IE"),
    "es": ("ES", "MX", "AR", "CO", "CL", "PE"),
    "pt": ("PT", "BR"),
    "fr": ("FR", "BE", "CH"),
    "de": ("DE", "AT", "CH"),
    "it": ("IT", "CH"),
    "nl": ("NL", "BE"),
}
"""Countries that a number without a country code may belong to, by language; numbers with one are found in any language."""
OTHER_REGIONS = ("US", "GB", "ES", "MX")
"""Countries for every other language."""


def find_secrets(text: str, _language: str) -> list[Span]:
    """Keys and tokens by their form; if there are none, what a word such as "password:" announces."""
    spans = [match.span() for match in _SECRETS.finditer(text)]
    # Not both at once: "token: xoxb-…" matches twice. ``privacy.find`` looks again at what is left.
    return spans or [match.span(match.lastindex or 0) for match in _NAMED_SECRETS.finditer(text)]


def find_emails(text: str, _language: str) -> list[Span]:
    return [match.span() for match in _EMAIL.finditer(text)]


def find_ibans(text: str, _language: str) -> list[Span]:
    """IBANs with a valid check sum, in any grouping."""
    # The next word may look like more of the number, so ends are tried from the longest to the shortest.
    candidates = (_iban_span(text, *match.span(1)) for match in _IBAN.finditer(text))
    return without_overlaps(span for span in candidates if span)


def _iban_span(text: str, start: int, longest: int) -> Span | None:
    for end in range(longest, start + 14, -1):
        whole = text[end - 1].isalnum() and not text[end : end + 1].isalnum()
        if whole and iban.is_valid(text[start:end], check_country=False):
            return start, end
    return None


def find_cards(text: str, _language: str) -> list[Span]:
    return without_overlaps(span for run in _DIGIT_GROUPS.finditer(text) for span in _card_spans(text, run))


def _card_spans(text: str, run: re.Match[str]) -> Iterator[Span]:
    """The card numbers within a run of digit groups. Other numbers (date, code) may stand beside one, so sub-runs are tried."""
    groups = [(run.start() + part.start(), run.start() + part.end()) for part in re.finditer(r"\d+", run.group())]
    for first, (start, _) in enumerate(groups):
        for _, end in groups[first : first + CARD_GROUPS]:
            if _CARD_END.match(text, end) and _is_card(text, start, end):
                yield start, end


def _is_card(text: str, start: int, end: int) -> bool:
    if not 12 <= end - start <= 19 + CARD_GROUPS:
        return False
    digits = re.sub(r"\D", "", text[start:end])
    if not luhn.is_valid(digits):
        return False
    if _CARD_PREFIX.fullmatch(digits):
        return True
    # One in ten of any numbers has a valid check digit, and Maestro's short ones have no narrow prefix: a word must help.
    return bool(_MAESTRO_SHORT.fullmatch(digits)) and preceded_by(_CARD_WORDS, text, start)


def find_addresses(text: str, _language: str) -> list[Span]:
    """IP addresses that may identify somebody: no loopback addresses, netmasks or version numbers."""
    candidates = [_address_span(match) for pattern in (_IPV4, _IPV6) for match in pattern.finditer(text)]
    return without_overlaps(span for span in candidates if span and not preceded_by(_VERSION_WORDS, text, span[0]))


def _address_span(match: re.Match[str]) -> Span | None:
    written = match.group().rstrip(".")
    if written.count(":") == 1 or (":" in written and not any(map(str.isdigit, written))):
        return None  # a time, a port, or C++'s a::b
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    impersonal = address.is_loopback or address.is_unspecified or written.startswith("255.")
    return None if impersonal else (match.start(), match.start() + len(written))


LEAST_PHONE_DIGITS = 5
"""A text with fewer digits holds no phone number."""


def find_phones(text: str, language: str) -> list[Span]:
    """Phone numbers: with a country code, valid in a country of the language, or announced by a word such as "call"."""
    # Most texts have hardly any digit, and phonenumbers is slow.
    if sum(map(str.isdigit, text)) < LEAST_PHONE_DIGITS:
        return []
    rest = _blanked(text, (match.span() for match in _NO_PHONE.finditer(text)))
    phones: list[Span] = []
    for matcher in _phone_matchers(language):
        spans = [(match.start, match.end) for match in matcher(rest)]
        # What is found is blanked, so that a later region does not find a part of it as another number.
        rest = _blanked(rest, spans)
        phones += spans
    phones += [match.span(1) for match in _NAMED_PHONE.finditer(rest)]
    return without_overlaps(span for span in phones if not preceded_by(_ORDER_WORDS, text, span[0]))


def _phone_matchers(language: str) -> Iterator[Callable[[str], phonenumbers.PhoneNumberMatcher]]:
    # POSSIBLE, not VALID: a number with a country code is meant as a phone, even if the numbering plan lacks it (yet).
    yield partial(phonenumbers.PhoneNumberMatcher, region=None, leniency=phonenumbers.Leniency.POSSIBLE)
    for region in REGIONS.get(language[:2].lower(), OTHER_REGIONS):
        yield partial(phonenumbers.PhoneNumberMatcher, region=region)


def _blanked(text: str, spans: Iterable[Span]) -> str:
    """The text with newlines instead of the spans. No pattern matches across a newline, and offsets do not change."""
    characters = list(text)
    for start, end in spans:
        characters[start:end] = "\n" * (end - start)
    return "".join(characters)


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, without those that overlap an earlier one. Of spans with the same start, the longest stays."""
    separate: list[Span] = []
    for span in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not separate or span[0] >= separate[-1][1]:
            separate.append(span)
    return separate


def preceded_by(words: re.Pattern[str], text: str, position: int) -> bool:
    """Whether one of the words stands shortly before the position."""
    return words.search(text[max(0, position - NEARBY) : position]) is not None
