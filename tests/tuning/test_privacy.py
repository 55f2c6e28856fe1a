"""What is redacted, what is left alone, and that nobody can make it slow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tuning.conftest import passage, turn
from tuning.conversations.privacy import pseudonym, redact, redact_turn


@pytest.mark.parametrize(
    ("language", "written", "kept"),
    [
        ("en", "Mail bob.o'neil+x@mail.example.co.uk.", "Mail [email]."),
        ("en", "<mailto:bob@x.example|bob@x.example>", "<mailto:[email]|[email]>"),
        ("es", "escríbeme a maría@peña.example", "escríbeme a [email]"),
        ("en", "call (415) 555-2671 or 415.555.2671", "call [phone] or [phone]"),
        ("en", "call +44 7700 900 123, +34 612 34 56 78", "call [phone], [phone]"),
        ("es", "mi móvil es 612345678, el fijo 91 123 45 67", "mi móvil es [phone], el fijo [phone]"),
        ("en", "my phone number is 60-56-85-91, cell: 467 3395 x12", "my phone number is [phone], cell: [phone]"),
        ("en", "4111 1111 1111 1111 12/27 123", "[card] 12/27 123"),
        ("en", "12 4111-1111-1111-1111", "12 [card]"),
        ("en", "4111\u00a01111\u00a01111\u00a01111 and 4111\u202f1111\u202f1111\u202f1111", "[card] and [card]"),
        ("en", "4111111111111111,4242424242424242,12/27", "[card],[card],12/27"),
        ("es", "IBAN ES91\u00a02100\u00a00418\u00a04502\u00a00005\u00a01332", "IBAN [iban]"),
        ("en", "token: ya29." + "a1B2" * 500 + " end", "token: [secret] end"),
        ("en", "amex 3782 822463 10005", "amex [card]"),
        ("en", "my maestro card is 630495060000", "my maestro card is [card]"),
        ("en", "IBAN GB82 WEST 1234 5698 7654 32 and more", "IBAN [iban] and more"),
        ("es", "ES9121000418450200051332", "[iban]"),
        ("en", "my PC AB12 has GB82WEST12345698765432", "my PC AB12 has [iban]"),
        ("en", "from 203.0.113.9:8080 and 10.1.2.3.", "from [ip]:8080 and [ip]."),
        ("en", "2001:db8::8a2e:370:7334, fe80::1, ::ffff:203.0.113.9", "[ip], [ip], [ip]"),
        ("es", "DNI 12345678Z, 12.345.678-Z, NIE X1234567L", "DNI [national id], [national id], NIE [national id]"),
        ("en", "SSN 536-90-4399", "SSN [national id]"),
        ("pt", "CPF 390.533.447-05", "CPF [national id]"),
        ("es", "CURP BOXW310820HNERXN09, CUIT 20-05536168-2", "CURP [national id], CUIT [national id]"),
        ("es", "RUT 12.531.909-2", "RUT [national id]"),
        ("it", "RCCMNL83S18D969H", "[national id]"),
        ("fr", "2 95 10 99 126 111 93", "[national id]"),
        ("de", "Steuer-ID 36 574 261 809", "Steuer-ID [national id]"),
        (
            "en",
            "NHS 943 476 5870, NINO QQ 12 34 56 C, AB123456C",
            "NHS [national id], NINO QQ 12 34 56 C, [national id]",
        ),
        ("es", "mi DNI: 30.123.456", "mi DNI: [national id]"),
        ("en", "xoxb-" + "1234567890-abcdef", "[secret]"),
        ("en", "token sk-" + "abcdefghijklmnopqrstuvwx", "token [secret]"),
        ("en", "AKIA" + "IOSFODNN7EXAMPLE", "[secret]"),
        ("en", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[secret]"),
        ("en", "123456789:" + "AAabcdefghijklmnopqrstuvwxyz0123456", "[secret]"),
        ("en", "redis://user:p4ss@db.example/0", "redis://[secret]@db.example/0"),
        ("es", "contraseña: hunter22", "contraseña: [secret]"),
        ("en", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[secret]"),
    ],
)
def test_personal_data_is_replaced_by_its_kind(language: str, written: str, kept: str) -> None:
    assert redact(written, language=language) == kept


@pytest.mark.parametrize(
    ("language", "harmless"),
    [
        ("en", "released 2024-05-01 10:30:45, 12/31/2024, from 9:00-17:00, 2001-2020"),
        ("en", "version 1.2.3.4, v10.0.19045.3803, firmware 7.1.2.9"),
        ("en", "it costs $1,234,567.89 or 1.234.567,89 €, and 1,000,000 rows"),
        ("es", "cuesta 1.234.567 euros; abre el 12/05/2024 a las 10:30"),
        ("en", "listen on port 8080, 127.0.0.1:5432, 0.0.0.0 with mask 255.255.255.0 and ::1"),
        ("en", "order 4155552671, order number: 4155552671, ticket #4155552671, tracking 4155552671"),
        ("es", "la razón es 0,4111111111111111 o 0.4111111111111111"),
        ("es", "el pedido 612345678, factura nº 912345678"),
        ("en", "a 16-digit order 4111111111111112 with a wrong check digit"),
        ("en", "550e8400-e29b-41d4-a716-446655440000, sha256 9f86d081884c7d65, 00:1A:2B:3C:4D:5E"),
        ("en", "call before 2024-05-01 10:30, call order 4839201745, 24 phones for 1,234,567 users"),
        ("en", "std::vector, a::b, 12:30:45, @bob, user@host, RFC 2616, ISO 8601"),
        ("en", "my password: I forgot it; the token expires"),
        ("es", "mi DNI es 12345678A", ),
        ("en", "section [1], [2] and [email] stay"),
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_left_alone(language: str, harmless: str) -> None:
    assert redact(harmless, language=language) == harmless


PIECES = st.sampled_from("""
    bob@x.example 415-555-2671 +34612345678 4111111111111111 GB82WEST12345698765432 10.1.2.3 fe80::1 12345678Z
    536-90-4399 sk-abcdefghijklmnopqrstuvwx [email] [phone] order # v DNI card 1 12 123 1234567 0 00 +
""".split())  # fmt: skip  # noqa: SIM905
GLUE = st.sampled_from(["", " ", " ", ", ", "-", ".", ":", "/", "\n", "(", ")", "@"])
MIXTURES = st.lists(st.tuples(PIECES | st.text(max_size=4), GLUE), max_size=12)


@settings(max_examples=300, deadline=None)
@given(mixture=MIXTURES, language=st.sampled_from(["en", "es", "de", ""]))
def test_redacting_twice_changes_nothing_more(mixture: list[tuple[str, str]], language: str) -> None:
    once = redact("".join(piece + glue for piece, glue in mixture), language=language)
    assert redact(once, language=language) == once


HOSTILE = (
    "1 ", "1", "12 34 ", "123-", "1.", "1:", "(1", "+1", "1/2/", "a", "a.", "a@", "a@a.", "@", "eyJ", "eyJ-", "sk-", "://a:",
    "AB12 ", "AB12", "-----BEGIN PRIVATE KEY-----", "::1 ", "f:", "password=", "[email]", "4111111111111111 ", "415-555-2671 ",
    "bob@x.example ", "order ", "\u0661", " ", "[",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.timeout(60)
def test_hostile_text_costs_linear_time(piece: str) -> None:
    """Sixty thousand characters, the longest message fifteen times: quadratic work would not end within the limit."""
    assert redact((piece * (60_000 // len(piece)))[:-1] + "!", language="en").endswith(("!", "]"))


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE)
def test_two_hundred_kilobytes_of_hostile_text_are_no_worse(piece: str) -> None:
    assert redact((piece * (200_000 // len(piece)))[:-1] + "!", language="en").endswith(("!", "]"))


def test_an_answer_keeps_what_the_documents_publish() -> None:
    shown = passage("Call the help desk: 415-555-2671, help@x.example.")
    answered = turn(
        question="I am ann@x.example, 415-555-9999. Whom do I call?",
        answer="Call 415-555-2671 or help@x.example [1], ann@x.example, not 415-555-9999.",
        passages=(shown,),
    )
    kept = redact_turn(answered)
    assert kept.question == "I am [email], [phone]. Whom do I call?"
    assert kept.answer == "Call 415-555-2671 or help@x.example [1], [email], not [phone]."
    assert kept.passages == (shown,)
    assert redact_turn(kept) == kept


def test_what_the_asker_wrote_is_redacted_even_where_a_document_has_it() -> None:
    written = turn(
        question="Is (415) 555 2671 mine?", answer="Call 415-555-2671.", passages=(passage("Call 415-555-2671."),)
    )
    assert redact_turn(written) == replace(written, question="Is [phone] mine?", answer="Call [phone].")


def test_a_pseudonym_is_stable_keyed_and_its_own() -> None:
    name = pseudonym(b"one", "U123")
    assert name == pseudonym(b"one", "U123") == pseudonym(b"one", name) == pseudonym(b"two", name)
    assert name not in (pseudonym(b"two", "U123"), pseudonym(b"one", "U124"))
    assert "U123" not in name
    assert pseudonym(b"one", "") == ""


def test_summary_and_notes_are_redacted_as_questions_are() -> None:
    kept = redact_turn(
        turn(summary="Ann asked, from ann@x.example", notes=("my IBAN is ES9121000418450200051332", "tea"))
    )
    assert kept.summary == "Ann asked, from [email]"
    assert kept.notes == ("my IBAN is [iban]", "tea")
