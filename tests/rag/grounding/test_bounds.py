"""Where the check of statements draws its lines: statements of either side, on the packaged model, in both languages.

Each is so near to its line that moving the line by much lets a wrong one through or drops a right one.
"""

from __future__ import annotations

import pytest

from rag.grounding.support.judge import Support
from rag.grounding.support.nli import Entailment
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.types import Hit
from tests.rag.fakes import passage

EMBEDDINGS = PackagedEmbeddings()
TEXTS = {
    "en": (
        "Renewing a parking permit costs $45 and takes two working days. You can renew online or at the office on Elm "
        "Street. You must apply at least 30 days before the permit expires. Residents do not need a new photo. "
        "If you lose the permit, call the office at 555-0134. Visitors may park until 8 p.m. on weekdays."
    ),
    "es": (
        "Renovar el permiso de aparcamiento cuesta 45 euros y tarda dos días laborables. Puedes renovarlo por internet o "
        "en la oficina de la calle Olmo. Debes solicitarlo al menos 30 días antes de que caduque. Los residentes no "
        "necesitan una foto nueva. Si pierdes el permiso, llama a la oficina al 555-0134. Las visitas pueden aparcar "
        "hasta las 20:00."
    ),
}
TITLES = {"en": "Parking permits", "es": "Permisos de aparcamiento"}
OTHER = {"en": "Dogs must be kept on a lead.", "es": "Los perros deben ir atados."}
NEAR = [  # likelihoods of .26 to .44: told in other words
    ("en", "A fresh picture is not required of residents."),
    ("en", "Anybody who loses theirs should ring 555-0134."),
    ("en", "Residents do not have to bring another picture."),
    ("en", "Drivers from elsewhere can leave a car there until 8 p.m."),
    ("es", "Quien no encuentre el permiso debe telefonear al 555-0134."),
    ("es", "Si no encuentras el permiso, marca el 555-0134."),
    ("es", "A los residentes les vale la imagen de siempre."),
]
FAR = [  # .16 to .21: not told at all
    ("en", "Lost permits are replaced free at the office."),
    ("en", "You can renew it at the office on Birch Street."),
    ("en", "Renewing online is free of extra charge."),
    ("es", "Puedes renovarlo en la oficina de la calle Abedul."),
]
ELSEWHERE = [  # four of five content words, likelihoods of .91 and .92
    ("en", "The office on Elm Street handles renewals."),
    ("es", "La oficina de la calle Olmo renueva los permisos."),
]
TOO_FEW_WORDS = [  # likelihoods of .92 to .95, and only two or three of four content words
    ("en", "Call 555-0134 when the permit is gone."),
    ("en", "A lost permit costs $45."),
    ("es", "Llama al 555-0134 si has perdido el permiso."),
    ("es", "La oficina abre hasta las 20:00."),
]
NOT_SURE = [  # all or nearly all of the words, and likelihoods of .53 to .88
    ("en", "The office on Elm Street issues visitor permits on weekdays."),
    ("es", "El permiso de los residentes caduca a los 30 días."),
    ("es", "Los residentes pueden aparcar 30 días."),
]


def permits(language: str) -> Hit:
    return Hit(passage=passage(TEXTS[language], title=TITLES[language], language=language), score=0.5)


def dogs(language: str) -> Hit:
    return Hit(passage=passage(OTHER[language], title="Parks", number=2, language=language), score=0.5)


def support(*hits: Hit, language: str = "en", nli: Judge | None = None) -> Support:
    return Support(hits, language, embeddings=EMBEDDINGS, sparse=SparseEncoder(), nli=nli)


class Judge:
    """An NLI model that says of every statement the same."""

    def __init__(self, *, entailment: float = 0.0, contradiction: float = 0.0) -> None:
        self.found = Entailment(entailment=entailment, contradiction=contradiction)

    async def judge(self, premise: str, statement: str) -> Entailment:
        return self.found


@pytest.mark.parametrize(("language", "statement"), NEAR)
async def test_what_a_passage_says_in_quite_other_words_passes(language: str, statement: str) -> None:
    assert await support(permits(language), language=language).sentence(statement, (0,))


@pytest.mark.parametrize(("language", "statement"), FAR)
async def test_what_only_sounds_like_a_passage_does_not(language: str, statement: str) -> None:
    assert not await support(permits(language), language=language).sentence(statement, (0,))


@pytest.mark.parametrize(("language", "statement"), ELSEWHERE)
async def test_another_passage_takes_the_place_of_the_cited_one_where_it_surely_says_it(
    language: str, statement: str
) -> None:
    held = support(dogs(language), permits(language), language=language)

    assert (await held.sentence(statement, (0,))).hits == (1,)


@pytest.mark.parametrize(("language", "statement"), [*TOO_FEW_WORDS, *NOT_SURE])
async def test_no_other_passage_stands_in_for_the_cited_one_where_it_would_only_do_if_cited(
    language: str, statement: str
) -> None:
    held = support(dogs(language), permits(language), language=language)

    assert (await held.sentence(statement, (1,))).hits == (1,)
    assert not await held.sentence(statement, (0,))


@pytest.mark.parametrize(("place", "looked_at"), [(2, True), (3, False)])
async def test_of_passages_alike_three_are_looked_at(place: int, looked_at: bool) -> None:
    against = Hit(passage=passage("You cannot renew the parking permit online."), score=0.5)
    hits = [against] * 4
    hits[place] = permits("en")

    verdict = await support(*hits).sentence("You can renew the parking permit online.", ())

    assert verdict.hits == ((place,) if looked_at else ())


@pytest.mark.parametrize(
    ("row", "stands"),
    [
        ("| small boxes | night train | trucks |", True),
        ("| small boxes | night | trucks |", False),
        ("| small boxes | train | lorry trucks |", False),
    ],
)
def test_a_row_needs_four_of_five_of_its_words(row: str, stands: bool) -> None:
    hit = Hit(passage=passage("The night train takes small boxes. Large boxes go by ship."), score=0.5)

    assert bool(support(hit).table(row, ())) is stands


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("Ways of renewing lost parking permits:", True),
        ("Ways of paying for lost parking permits:", False),
        ("Prices of bicycles and dogs:", True),
        ("Prices of bicycles, dogs and horses:", False),
    ],
)
def test_of_an_announcement_of_more_than_three_words_half_must_be_there(text: str, stands: bool) -> None:
    assert support(permits("en")).may_announce(text) is stands


@pytest.mark.parametrize(
    ("statement", "stands"),
    [
        ("If you lose the permit, call the office at 555-0134, and the mayor calls back gladly.", True),
        ("If you lose the permit, call the office at 555-0134, and friendly people answer promptly.", False),
        ("Residents do not need a new photo; tourists bring passports.", False),
        ("If you lose the permit, call the office at 555-0134, and friendly office people answer at once.", False),
        ("If you lose the permit, call the office at 555-0134, and the office manager answers.", True),
        ("You must apply at least 30 days before the permit expires, or somebody complains.", True),
    ],
)
async def test_a_clause_of_three_words_needs_a_third_of_them(statement: str, stands: bool) -> None:
    assert bool(await support(permits("en")).sentence(statement, (0,))) is stands


@pytest.mark.parametrize(
    ("statement", "stands"),
    [
        ("Los visitantes pueden aparcar hasta las 8.", True),
        ("Si pierdes el permiso, llama a la oficina al 555-0134.", True),
        ("La oficina reembolsa 45 dólares.", False),
        ("Los residentes pagan menos.", False),
    ],
)
async def test_across_languages_two_anchors_are_needed(statement: str, stands: bool) -> None:
    assert bool(await support(permits("en"), language="es").sentence(statement, (0,))) is stands


async def test_a_page_that_is_named_by_its_number_must_be_the_one_that_is_cited() -> None:
    statement = "As page 2 says, renewing takes two working days."

    assert (await support(dogs("en"), permits("en")).sentence(statement, (1,))).hits == (1,)
    assert not await support(permits("en"), dogs("en")).sentence(statement, (0,))


@pytest.mark.parametrize(
    ("statement", "judge", "stands"),
    [
        (FAR[0][1], Judge(entailment=0.5), True),
        (FAR[0][1], Judge(entailment=0.49), False),
        ("The office closes on Mondays.", Judge(entailment=1.0), False),
        (ELSEWHERE[0][1], Judge(contradiction=0.49), True),
        (ELSEWHERE[0][1], Judge(contradiction=0.5), False),
    ],
)
async def test_a_model_that_is_sure_halves_the_bar_or_refuses(statement: str, judge: Judge, stands: bool) -> None:
    assert bool(await support(permits("en"), nli=judge).sentence(statement, (0,))) is stands
