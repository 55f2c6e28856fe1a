"""What the invented shop's pages say, in English and Spanish: every fact the test model can be asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.types import Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Facts of one kind: what is said of every subject, with one of ``values``, and how people ask for it.

    ``unseen`` is a way to ask that is never trained on, ``again`` one of something that was just named.
    """

    language: str
    says: str
    values: tuple[str, ...]
    asked: tuple[str, ...]
    unseen: str
    again: str
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One page of the shop: ``subject`` is what no other page is about."""

    family: Family
    subject: str
    value: str

    @property
    def sentence(self) -> str:
        """As the page says it, and as a right answer repeats it."""
        return self.clause[0].upper() + self.clause[1:]

    @property
    def clause(self) -> str:
        """The same behind other words."""
        return self.family.says.format(s=self.subject, v=self.value)

    @property
    def title(self) -> str:
        return self.subject.removeprefix("the ").split(" ")[-1].capitalize()

    def question(self, form: int = 0) -> str:
        return self.family.asked[form].format(s=self.subject)

    @property
    def unseen_question(self) -> str:
        return self.family.unseen.format(s=self.subject)

    @property
    def standalone_question(self) -> str:
        """What a follow-up about it is rewritten to."""
        return f"{self.subject[0].upper()}{self.subject[1:]}: {self.family.again}"

    @property
    def page(self) -> str:
        return f"# {self.title}\n\n{self.sentence}\n"

    def passage(self, aside: str = "") -> Passage:
        """As the index hands it over; ``aside`` is another sentence of the page."""
        name = self.title.lower()
        return Passage(
            id=f"{name}-0", document=f"shop/{name}.md", source="shop", title=self.title, headings=(self.title,),
            url=f"https://shop.example.com/{name}#{name}", text=f"{self.sentence} {aside}".strip(), position=0,
            language=self.family.language, audience="public",
        )  # fmt: skip


FAMILIES = (
    Family(
        language="en",
        says="{s} arrive within {v} days.",
        values=("two", "three", "four", "five", "six", "seven", "nine", "ten"),
        asked=("How long do {s} take?", "When do {s} arrive?", "How many days do {s} need?"),
        unseen="Within how many days do {s} arrive?",
        again="how long do they take?",
        subjects=("parcels", "letters", "postcards", "pallets", "vouchers", "magazines"),
    ),
    Family(
        language="en",
        says="{s} cost {v} euros.",
        values=("8", "12", "15", "20", "30", "45", "60", "99"),
        asked=("How much do {s} cost?", "What do {s} cost?", "What is the price of {s}?"),
        unseen="How many euros do {s} cost?",
        again="how much do they cost?",
        subjects=("lamps", "chairs", "kettles", "carpets", "mirrors", "candles"),
    ),
    Family(
        language="en",
        says="{s} have a warranty of {v} years.",
        values=("two", "three", "four", "five", "six", "ten"),
        asked=("How long is the warranty of {s}?", "What warranty do {s} have?", "Which warranty comes with {s}?"),
        unseen="How many years of warranty do {s} have?",
        again="how long is their warranty?",
        subjects=("drills", "saws", "pumps", "heaters", "toasters", "radios"),
    ),
    Family(
        language="en",
        says="{s} are kept in {v}.",
        values=("the cellar", "the attic", "the office", "the garage", "the kitchen", "the red cupboard"),
        asked=("Where are {s} kept?", "Where do I find {s}?", "Where can I get {s}?"),
        unseen="In which place are {s} kept?",
        again="where are they kept?",
        subjects=("keys", "gloves", "helmets", "ladders", "umbrellas", "stamps"),
    ),
    Family(
        language="en",
        says="{s} opens at {v} in the morning.",
        values=("six", "seven", "eight", "nine", "ten"),
        asked=("When does {s} open?", "At what time does {s} open?", "From when is {s} open?"),
        unseen="At which hour does {s} open in the morning?",
        again="when does it open?",
        subjects=("the workshop", "the library", "the canteen", "the warehouse", "the gallery", "the garden"),
    ),
    Family(
        language="en",
        says="{s} are approved by {v}.",
        values=("the sales team", "the finance team", "the legal team", "the director", "the branch manager"),
        asked=("Who approves {s}?", "Who has to approve {s}?", "Who signs {s}?"),
        unseen="By whom are {s} approved?",
        again="who approves them?",
        subjects=("invoices", "refunds", "trips", "orders", "contracts", "discounts"),
    ),
    Family(
        language="en",
        says="{s} may be returned for {v} weeks.",
        values=("two", "three", "four", "six", "eight", "ten"),
        asked=("How long may {s} be returned?", "Until when can I return {s}?", "For how long can I return {s}?"),
        unseen="For how many weeks may {s} be returned?",
        again="how long may they be returned?",
        subjects=("shoes", "books", "toys", "coats", "bags", "watches"),
    ),
    Family(
        language="en",
        says="{s} are {v} in the shop.",
        values=("allowed", "not allowed", "only allowed on Sundays", "only allowed with a permit"),
        asked=("Are {s} allowed in the shop?", "May I bring {s}?", "Can I come in with {s}?"),
        unseen="Is it allowed to bring {s}?",
        again="are they allowed in the shop?",
        subjects=("dogs", "bicycles", "cameras", "drones", "skateboards", "drinks"),
    ),
    Family(
        language="es",
        says="{s} llegan en {v} días.",
        values=("dos", "tres", "cuatro", "cinco", "seis", "siete", "nueve", "diez"),
        asked=("¿Cuánto tardan {s}?", "¿Cuándo llegan {s}?", "¿Cuántos días tardan {s} en llegar?"),
        unseen="¿En cuántos días llegan {s}?",
        again="¿cuánto tardan?",
        subjects=("los paquetes", "las cartas", "las postales", "los palés", "los cupones", "las revistas"),
    ),
    Family(
        language="es",
        says="{s} cuestan {v} euros.",
        values=("8", "12", "15", "20", "30", "45", "60", "99"),
        asked=("¿Cuánto cuestan {s}?", "¿Qué precio tienen {s}?", "¿Cuánto valen {s}?"),
        unseen="¿Cuántos euros cuestan {s}?",
        again="¿cuánto cuestan?",
        subjects=("las lámparas", "las sillas", "las teteras", "las alfombras", "los espejos", "las velas"),
    ),
    Family(
        language="es",
        says="{s} se guardan en {v}.",
        values=("el sótano", "el desván", "la oficina", "el garaje", "la cocina", "el armario rojo"),
        asked=("¿Dónde se guardan {s}?", "¿Dónde están {s}?", "¿Dónde encuentro {s}?"),
        unseen="¿En qué lugar se guardan {s}?",
        again="¿dónde se guardan?",
        subjects=("las llaves", "los guantes", "los cascos", "las escaleras", "los paraguas", "los sellos"),
    ),
    Family(
        language="es",
        says="{s} abre a las {v} de la mañana.",
        values=("seis", "siete", "ocho", "nueve", "diez"),
        asked=("¿Cuándo abre {s}?", "¿A qué hora abre {s}?", "¿Desde qué hora está abierto {s}?"),
        unseen="¿A qué hora de la mañana abre {s}?",
        again="¿cuándo abre?",
        subjects=("el taller", "la biblioteca", "el comedor", "el almacén", "la galería", "el jardín"),
    ),
)

ASIDES = {
    "en": (
        "This has been so for years.",
        "The list at the entrance says the same.",
        "Anyone at the desk can tell you more.",
    ),
    "es": ("Es así desde hace años.", "La lista de la entrada dice lo mismo.", "En el mostrador le dirán más."),
}
FOLLOW_UPS = {
    "en": ("And {s}?", "What about {s}?", "And what about {s}?"),
    "es": ("¿Y {s}?", "¿Qué pasa con {s}?", "¿Y qué pasa con {s}?"),
}
UNTOLD = {"en": "The documents do not say it.", "es": "Los documentos no lo dicen."}


def shop() -> Sequence[Fact]:
    """Every page of the shop as it stands today, one fact a page."""
    return [
        Fact(family=family, subject=subject, value=family.values[number % len(family.values)])
        for family in FAMILIES
        for number, subject in enumerate(family.subjects)
    ]
