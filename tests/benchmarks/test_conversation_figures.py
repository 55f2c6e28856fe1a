"""What ``make bench-conversation`` counts, on answers and pages that can be reckoned by hand; and its sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from rag.types import Answer, Passage, Source
from tests.benchmarks.conversation import sets
from tests.benchmarks.conversation.cited import is_of, right_first, right_page_first
from tests.benchmarks.conversation.followups import repeats
from tests.benchmarks.conversation.judged import Case, figures
from tests.benchmarks.conversation.libraries import HANDBOOK
from tests.benchmarks.conversation.pages import sections
from tests.benchmarks.conversation.peers import begins_in
from tests.benchmarks.conversation.whole import keeps_opening, listed, markup, says_missing
from tests.benchmarks.conversation.wishes import heard
from tests.benchmarks.retrieval.systems import Shown

PAGE = """# Shop

Buy here.

## Is it open? { #open }

Yes: it opens at `nine`. Come early.

```sh
# no heading
```

## Order

Do this:

1. Choose a <b>thing</b> that you like.
2. Pay it with [money](https://example.com/pay).
   1. Or with a card.
3. Take it home with you.

Then rest.

### Late

It comes late.
"""
KNOWN = {section.name: section for section in sections("en/shop.md", PAGE)}


def passage(*headings: str, text: str = "", document: str = "en/shop.md") -> Passage:
    return Passage(
        id="1",
        document=document,
        source="en",
        title="Shop",
        headings=headings,
        url="",
        text=text,
        position=0,
        language="en",
        audience="public",
    )


def answer(text: str, *cited: Passage, outcome: str = "answered") -> Answer:
    found = tuple(Source(number=number, passage=one, score=1.0) for number, one in enumerate(cited, 1))
    return Answer(text=text, outcome=outcome, language="en", sources=found)  # type: ignore[arg-type]


def test_a_page_is_cut_at_its_headings_and_not_at_comments_in_code() -> None:
    assert list(KNOWN) == ["en/shop.md#shop", "en/shop.md#open", "en/shop.md#order", "en/shop.md#late"]
    assert KNOWN["en/shop.md#late"].headings == ("Shop", "Order", "Late")


def test_a_section_knows_its_list_and_how_it_opens() -> None:
    assert len(KNOWN["en/shop.md#order"].items()) == 3
    assert KNOWN["en/shop.md#shop"].items() == []
    assert KNOWN["en/shop.md#open"].opens_with_yes_or_no()
    assert not KNOWN["en/shop.md#order"].opens_with_yes_or_no()


def test_a_passage_is_of_the_section_whose_headings_it_has() -> None:
    late = KNOWN["en/shop.md#late"]
    assert is_of(passage("Shop", "Order", "Late"), late)
    assert is_of(passage("Order", "Late"), late)
    assert not is_of(passage("Shop", "Order"), late)
    assert not is_of(passage("Shop", "Order", "Late", document="es/shop.md"), late)


def test_a_passage_that_short_neighbours_share_is_of_each_whose_heading_it_has() -> None:
    both = passage("Shop", text="**Is it open?**\n\nYes.\n\n**Order**\n\nDo this:")
    assert is_of(both, KNOWN["en/shop.md#order"])
    assert not is_of(both, KNOWN["en/shop.md#late"])


def test_only_the_source_cited_first_counts() -> None:
    both = answer("…", passage("Shop", "Order"), passage("Shop", "Is it open?"))
    assert right_first(both, ["en/shop.md#order"], KNOWN)
    assert not right_first(both, ["en/shop.md#open"], KNOWN)
    assert right_page_first(both, ["en/shop.md#open"])
    assert not right_first(answer("I do not know."), ["en/shop.md#open"], KNOWN)


def test_an_answer_repeats_where_it_cites_the_section_before_again() -> None:
    first = answer("…", passage("Shop", "Order"))
    assert repeats(first, answer("…", passage("Shop", "Order")))
    assert not repeats(first, answer("…", passage("Shop", "Is it open?")))
    assert not repeats(first, answer("I do not know."))


def test_a_figure_that_not_all_cases_have_says_over_how_many_it_is() -> None:
    cases = [
        Case(language="en", asked=("a",), wanted=(), answer=answer("…"), values={"right": 1.0, "late": 1.0}),
        Case(language="en", asked=("b",), wanted=(), answer=answer("…"), values={"right": 0.0}),
        Case(language="es", asked=("c",), wanted=(), answer=answer("…"), values={"right": 0.0}),
    ]
    found = figures(cases, "en", "right")
    assert (found["right"], found["n"], found["late"], found["late_n"]) == (0.5, 2, 1.0, 1)
    assert [one["asked"] for one in found["wrong"]] == [["b"]]


ITEMS = "1. Choose a thing that you like. [1]\n2. Pay it with money. [1]\n"


def test_a_list_is_cut_where_items_are_missing_and_nothing_says_so() -> None:
    [cut] = listed(answer(ITEMS, passage("Shop", "Order")), KNOWN)
    assert (cut.items, cut.quoted, cut.signed, cut.is_whole) == (3, 2, False, False)
    [signed] = listed(answer(f"{ITEMS}… and 1 more in the shop's page", passage("Shop", "Order")), KNOWN)
    assert signed.signed
    [whole] = listed(answer(f"{ITEMS}3. Take it home with you.", passage("Shop", "Order")), KNOWN)
    assert whole.is_whole
    assert list(listed(answer("Then rest.", passage("Shop", "Order")), KNOWN)) == []


@pytest.mark.parametrize("line", ["and 4 more steps", "y 4 pasos más", "Hay otros 4 en la página"])
def test_a_sign_says_how_many_more_there_are(line: str) -> None:
    assert says_missing(line, 4)
    assert not says_missing(line, 3)


def test_an_opening_is_lost_where_its_words_are_not_in_the_answer() -> None:
    section = KNOWN["en/shop.md#open"]
    assert keeps_opening(answer("Yes: it opens at `nine`. [1]"), section)
    assert not keeps_opening(answer("Come early. [1]"), section)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("a <abbr title='x'>b</abbr>", ["tag"]),
        ("Title { #anchor }", ["attributes"]),
        ("{* ../a.py hl[1] *}", ["include"]),
        ("/// note\nx\n///", ["admonition"]),
        ("x <!-- y -->", ["comment"]),
        ("so it is[^1]", ["footnote"]),
        ("```html\n<div>\n```\nand `<b>` and [x](<https://example.com>) with 1 < 2 [1]", []),
    ],
)
def test_markup_counts_outside_of_code(text: str, kinds: list[str]) -> None:
    assert markup(text) == kinds


def test_a_wish_is_heard_by_what_is_answered() -> None:
    quoted = answer("…", passage("Shop"))
    assert heard("person", answer("Wait.", outcome="wants_person"))
    assert not heard("person", answer("Hello!", outcome="small_talk"))
    assert heard("courtesy", answer("Hello!", outcome="small_talk"))
    assert not heard("courtesy", quoted)
    assert not heard("talk", answer("I do not know.", outcome="abstained"))
    assert heard("offer_yes", quoted)


def test_a_peer_is_right_where_its_passage_holds_the_beginning_of_the_section() -> None:
    order = KNOWN["en/shop.md#order"]
    assert begins_in(Shown(path="en/shop.md", text=PAGE), order)
    assert not begins_in(Shown(path="en/shop.md", text="It comes late."), order)
    assert not begins_in(Shown(path="es/shop.md", text=PAGE), order)


def test_cases_are_taken_evenly_where_there_are_more_than_wanted() -> None:
    assert sets.spread([0, 1, 2, 3, 4, 5], 3) == [0, 2, 4]
    assert sets.spread([0, 1], None) == sets.spread([0, 1], 5) == [0, 1]


@pytest.mark.parametrize("part", sets.PARTS)
def test_each_half_has_as_many_cases_in_each_language(part: sets.Part) -> None:
    read: dict[str, tuple[Iterable[sets.Pair | sets.Single | sets.Wish], int]] = {
        "followups": (sets.followups(part, None), 30),
        "offtopic": (sets.offtopic(part, None), 20),
        "paraphrases": (sets.paraphrases(part, None), 30),
        "across": (sets.across(part, None), 30),
        "composition": (sets.composition(part, None), 30),
        "wishes": (sets.wishes(part, None), 30),
    }
    for name, (cases, count) in read.items():
        assert Counter(one.language for one in cases) == {"en": count, "es": count}, name


def test_every_section_of_the_handbook_that_the_sets_name_is_there() -> None:
    known = {
        section.name
        for file in HANDBOOK.rglob("*.md")
        for section in sections(str(file.relative_to(HANDBOOK)), file.read_text(encoding="utf-8"))
    }
    pairs = [one for part in sets.PARTS for one in (*sets.followups(part, None), *sets.offtopic(part, None))]
    singles = [one for part in sets.PARTS for one in (*sets.paraphrases(part, None), *sets.composition(part, None))]
    named = [
        *(
            name
            for one in pairs
            if one.library == "handbook"
            for turn in (one.first, one.then)
            for name in turn.sections
        ),
        *(name for one in singles if one.library == "handbook" for name in one.turn.sections),
    ]
    assert len(named) > 200
    assert [name for name in named if name not in known] == []
