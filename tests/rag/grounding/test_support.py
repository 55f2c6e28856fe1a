"""What passages support: what is told anew passes, what is changed does not, in both languages and across them."""

from __future__ import annotations

from rag.grounding.support.judge import Support
from rag.grounding.support.nli import Entailment
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.types import Hit
from tests.rag.fakes import passage

EMBEDDINGS = PackagedEmbeddings()
ENGLISH = Hit(
    passage=passage(
        "Renewing a parking permit costs $45 and takes two working days. You can renew online or at the office on Elm Street. "
        "You must apply at least 30 days before the permit expires. Residents do not need a new photo. "
        "If you lose the permit, call the office at 555-0134. Visitors may park until 8 p.m. on weekdays.",
        title="Parking permits",
    ),
    score=0.5,
)
SPANISH = Hit(
    passage=passage(
        "Renovar el permiso de aparcamiento cuesta 45 euros y tarda dos días laborables. Puedes renovarlo por internet o en la "
        "oficina de la calle Olmo. Debes solicitarlo al menos 30 días antes de que caduque. Los residentes no necesitan una "
        "foto nueva. Si pierdes el permiso, llama a la oficina al 555-0134. Las visitas pueden aparcar hasta las 20:00.",
        title="Permisos de aparcamiento",
        language="es",
    ),
    score=0.5,
)
RETOLD = [
    "A renewal of the parking permit costs $45.",
    "You can renew the permit online.",
    "It takes two working days.",
    "You must apply at least 30 days before your permit expires.",
    "Residents don't need a new photo.",
    "Visitors may park until 8 p.m.",
    "If your permit is lost, call the office at 555-0134.",
    "Yes, you can renew it at the office on Elm Street.",
]
CHANGED = [
    "A renewal of the parking permit costs $54.",
    "You cannot renew the permit online.",
    "It takes three working days.",
    "You must apply at least 30 days after your permit expires.",
    "You must apply at most 30 days before your permit expires.",
    "Residents need a new photo.",
    "Visitors may park from 8 p.m. on weekdays.",
    "You can renew it at the office on Birch Street.",
    "Dogs must be kept on a lead in the park.",
    "The library lends books for three weeks.",
]
CONTADO = [
    "Renovar el permiso cuesta 45 euros.",
    "El permiso se puede renovar por internet.",
    "La renovación tarda dos días laborables.",
    "Debes solicitarlo al menos 30 días antes de que caduque el permiso.",
    "Los residentes no necesitan foto nueva.",
    "Si pierdes el permiso, llama al 555-0134.",
    "Las visitas pueden aparcar hasta las 20:00.",
]
CAMBIADO = [
    "Renovar el permiso cuesta 54 euros.",
    "El permiso no se puede renovar por internet.",
    "La renovación tarda tres días laborables.",
    "Debes solicitarlo al menos 30 días después de que caduque.",
    "Los residentes necesitan una foto nueva.",
    "Puedes renovarlo en la oficina de la calle Abedul.",
    "La biblioteca presta libros durante tres semanas.",
]
TRANSLATED = [
    "Renovar el permiso cuesta 45 dólares y tarda dos días.",
    "Los residentes no necesitan otra foto.",
    "Si pierdes el permiso, llama a la oficina al 555-0134.",
    "Se puede renovar en la oficina de Elm Street.",
    "Los visitantes pueden aparcar hasta las 8.",
    "Debes pedir el permiso 30 días antes.",
]
MISTRANSLATED = [
    "Renovar el permiso cuesta 54 dólares.",
    "Los residentes necesitan otra foto.",
    "La oficina de Birch Street renueva el permiso.",
    "La biblioteca presta libros durante dos semanas.",
    "Los perros van atados en el parque.",
    "Llama a la oficina al 555-0143.",
]


def support(*hits: Hit, language: str = "en", nli: object = None) -> Support:
    return Support(hits, language, embeddings=EMBEDDINGS, sparse=SparseEncoder(), nli=nli)  # type: ignore[arg-type]


async def passed(statements: list[str], hit: Hit, language: str) -> list[str]:
    held = support(hit, language=language)
    return [one for one in statements if await held.sentence(one, (0,))]


async def test_what_is_told_anew_passes() -> None:
    assert await passed(RETOLD, ENGLISH, "en") == RETOLD


async def test_what_is_changed_does_not_pass() -> None:
    assert await passed(CHANGED, ENGLISH, "en") == []


async def test_what_is_told_anew_in_spanish_passes() -> None:
    assert await passed(CONTADO, SPANISH, "es") == CONTADO


async def test_what_is_changed_in_spanish_does_not_pass() -> None:
    assert await passed(CAMBIADO, SPANISH, "es") == []


async def test_across_languages_most_of_what_is_right_passes_and_little_of_what_is_wrong() -> None:
    right = await passed(TRANSLATED, ENGLISH, "es")
    wrong = await passed(MISTRANSLATED, ENGLISH, "es")

    assert len(right) >= len(TRANSLATED) / 2
    assert len(wrong) <= 1


async def test_an_answer_in_the_passages_language_is_held_against_it_as_ever_though_the_question_was_in_another() -> (
    None
):
    assert await support(ENGLISH, language="es").sentence(RETOLD[0], (0,))


async def test_a_statement_that_cites_the_wrong_passage_is_given_to_the_right_one() -> None:
    other = Hit(passage=passage("Dogs must be kept on a lead.", title="Parks", number=2), score=0.5)

    assert (await support(other, ENGLISH).sentence("You can renew the permit online.", (0,))).hits == (1,)
    assert (await support(other, ENGLISH).sentence("You can renew the permit online.", ())).hits == (1,)


async def test_two_passages_support_together_what_neither_says_alone() -> None:
    fee = Hit(passage=passage("The permit costs $45.", title="Fees", number=2), score=0.5)
    place = Hit(
        passage=passage("The permit is issued at the office on Elm Street.", title="Places", number=3), score=0.5
    )
    both = "The permit costs $45 and is issued at the office on Elm Street."

    assert (await support(fee, place).sentence(both, (0, 1))).hits == (0, 1)
    assert not await support(fee, place).sentence(both, (0,))


async def test_a_sentence_of_the_passage_passes_word_for_word_without_being_embedded() -> None:
    hits = (Hit(passage=passage("Zorblax quibbers do not frandle. Ever."), score=0.5),)
    held = Support(hits, "en", embeddings=None, sparse=SparseEncoder())  # type: ignore[arg-type]

    assert await held.sentence("Zorblax quibbers do **not** frandle.", (0,))


async def test_code_and_tables_pass_only_line_by_line_and_row_by_row() -> None:
    hit = Hit(
        passage=passage("Run this:\n\n```\npip install x\nx start\n```\n\n| Size | Price |\n|--|--|\n| Small | $5 |"),
        score=0.5,
    )
    held = support(hit)

    assert held.code("```sh\npip install x\n```", ())
    assert not held.code("```sh\npip install y\n```", ())
    assert held.table("| Price | Size |\n|---|---|\n| $5 | Small |", ())
    assert not held.table("| Price | Size |\n|---|---|\n| $6 | Small |", ())


async def test_code_within_a_sentence_must_stand_in_the_passage() -> None:
    hit = Hit(passage=passage("To start the server, run `cotorra run` in the folder."), score=0.5)

    assert await support(hit).sentence("Run `cotorra run` in the folder to start the server.", (0,))
    assert not await support(hit).sentence("Run `cotorra rm` in the folder to start the server.", (0,))


class Judge:
    """Says of every statement the same."""

    def __init__(self, entailment: float, contradiction: float) -> None:
        self.found = Entailment(entailment=entailment, contradiction=contradiction)

    async def judge(self, premise: str, statement: str) -> Entailment:
        return self.found


async def test_a_model_that_finds_a_contradiction_is_believed() -> None:
    assert await support(ENGLISH, nli=Judge(0.9, 0.0)).sentence(RETOLD[0], (0,))
    assert not await support(ENGLISH, nli=Judge(0.0, 0.9)).sentence(RETOLD[0], (0,))


async def test_no_model_makes_a_wrong_figure_right() -> None:
    assert not await support(ENGLISH, nli=Judge(1.0, 0.0)).sentence(CHANGED[0], (0,))
