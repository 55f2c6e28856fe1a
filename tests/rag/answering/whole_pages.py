"""Pages as strangers write them, with questions and what a whole answer to each holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question about one of ``PAGES``: what its answer holds in this order, what it must not hold, whether it may abstain."""

    name: str
    asked: str
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    abstains: bool = False


PAGES = {path.name: path.read_text() for path in sorted((Path(__file__).parent / "pages").glob("*.md"))}

INSTALL = (
    "1. Add the repository key:",
    "   curl -fsSL https://quill.example/key.asc | sudo tee /etc/apt/quill.asc\n   ```",
    "2. Add the repository to your sources:",
    "   sudo apt-get update\n   ```",
    "3. Install the package",
    "   quill --version\n   ```",
    "4. Create your first site:",
    "   quill serve --port 4000\n   ```",
    "5. Open http://localhost:4000",
)

CASES = (
    Case(
        name="three steps",
        asked="How do I restart the router?",
        holds=("To restart the router, follow these steps:", "1. Unplug", "2. Wait", "3. Plug"),
        lacks=("more step",),
    ),
    Case(name="yes", asked="Can I use my own router?", holds=("Yes.", "DOCSIS 3.1")),
    Case(
        name="yes, by a detail", asked="Do I lose phone support with my own router?", holds=("Yes.", "support by phone")
    ),
    Case(
        name="twelve steps",
        asked="How do I receive a delivery?",
        holds=("work through this procedure:", *(f"\n{n}. " for n in range(1, 13))),
        lacks=("more step",),
    ),
    Case(
        name="forty steps",
        asked="How is the yearly inventory done?",
        holds=("in this order:", "1. Check", "2. Close", "more steps: [Warehouse manual: Yearly inventory](<https://"),
    ),
    Case(
        name="doce pasos",
        asked="¿Cómo recibo una entrega?",
        holds=("sigue este procedimiento:", *(f"{n}. " for n in range(1, 13))),
        lacks=("pasos más",),
    ),
    Case(
        name="cuarenta pasos",
        asked="¿Cómo se hace el inventario anual?",
        holds=("en este orden:", "1. ", "2. ", "pasos más: [Manual del almacén: Inventario anual](<https://"),
    ),
    Case(name="no", asked="¿Puedo entrar sin chaleco?", holds=("No. Nadie entra",)),
    Case(name="no, por un detalle", asked="¿Qué pasa si pierdo el chaleco?", holds=("No. Nadie entra", "doce euros")),
    Case(name="sí, por un detalle", asked="¿Hay que dejar la matrícula en la garita?", holds=("Sí.", "matrícula")),
    Case(
        name="steps with code", asked="How do I install Quill on Linux?", holds=("Install Quill like this:", *INSTALL)
    ),
    Case(
        name="long code",
        asked="What does a full example of quill.toml look like?",
        holds=("```toml\n[section_0]", 'path = "content/section-23"', "order = 23"),
    ),
    Case(
        name="bullets without an introduction",
        asked="Which formats does Quill support?",
        holds=(".md", ".rst", ".org", ".adoc", "Plain text", ".ipynb", "HTML fragments"),
    ),
    Case(
        name="one bullet asked for",
        asked="Does Quill support Jupyter notebooks?",
        holds=("Markdown files", "Jupyter notebooks with the ending `.ipynb`", "HTML fragments"),
    ),
    Case(
        name="steps with paragraphs and nested items between",
        asked="How do I claim travel expenses?",
        holds=(
            "To claim travel expenses:",
            "1. Collect",
            "Receipts in a foreign currency",
            "2. Fill in",
            "   - Attach the receipts",
            "3. Ask your manager",
            "The manager has five working days.",
            "4. Wait for the transfer",
        ),
    ),
    Case(
        name="no, by a detail",
        asked="Is first class paid for board members?",
        holds=("No. Only second class", "Board members"),
    ),
    Case(
        name="definition",
        asked="How much is the per diem within the country?",
        holds=("The per diem is a fixed amount for meals on a journey.", "28 euros a day"),
    ),
    Case(
        name="steps all numbered one",
        asked="How do I clean the coffee machine?",
        holds=("1. Empty the drip tray.", "1. Rinse the milk hose.", "1. Start the cleaning programme."),
    ),
    Case(
        name="bullets under a question",
        asked="What must not go into the grinder?",
        holds=("These must not go into the grinder:", "* ground coffee", "* flavoured", "* sugar", "* instant cocoa"),
    ),
    Case(
        name="row of a long table",
        asked="What does the shuttle bus to Town47 cost?",
        holds=(
            "| Town | Distance | Price | Day |",
            "| Town47 | 19 km | 8 EUR | Monday |",
            "59 more rows: [Shuttle bus",
        ),
        lacks=("Town02",),
    ),
    Case(
        name="row that a table lacks",
        asked="What does the shuttle bus to Town88 cost?",
        lacks=("| Town",),
        abstains=True,
    ),
    Case(
        name="heading that is the question",
        asked="how do I freeze my membership",
        holds=("Open the app and choose Contract. Tap the snowflake. You can freeze it",),
        lacks=("sauna",),
    ),
    Case(
        name="yes with a comma",
        asked="When does the sauna close?",
        holds=("Yes, on the second floor.", "closes an hour"),
    ),
    Case(name="yes, two sentences away", asked="Are guests under sixteen admitted?", holds=("Yes.", "under sixteen")),
    Case(
        name="steps over two passages",
        asked="How do I set up the VPN on a laptop?",
        holds=tuple(f"{n}. " for n in range(1, 8)),
        lacks=("more step",),
    ),
    # written after the code; of these only "one of many long bullets" changed it
    Case(
        name="bullets after an introduction in mid-section",
        asked="How do I apply for parental leave?",
        holds=("To apply for parental leave:", "- Tell", "- Send", "- Attach", "- Agree", "- Set an automatic reply."),
    ),
    Case(
        name="no with a comma, by a detail",
        asked="What happens to my unused days in January?",
        holds=("No, but", "January"),
    ),
    Case(
        name="steps with code and a paragraph in an item",
        asked="How do I restore a database?",
        holds=(
            "1. Stop",
            "2. Find",
            "   ```\n   ls -t",
            "3. Restore",
            "psql shop\n   ```",
            "This takes about ten",
            "4. Start",
        ),
    ),
    Case(
        name="nested bullets",
        asked="What is not backed up?",
        holds=(
            "The following is not backed up:",
            "* `/tmp`",
            "* thumbnails\n  * of products\n  * of avatars",
            "* sessions",
        ),
    ),
    Case(
        name="small table",
        asked="How long are weekly backups kept?",
        holds=("| daily", "| weekly | 8 weeks |", "| yearly"),
    ),
    Case(
        name="pasos tras una frase",
        asked="¿Cómo devuelvo un artículo?",
        holds=("1. Entra", "2. Pulsa", "3. Elige", "4. Pega", "5. Lleva la caja a una oficina de correos."),
    ),
    Case(name="no, desde otro sitio", asked="¿Es gratis la devolución desde Canarias?", holds=("No.", "4,95 €")),
    Case(
        name="puntos sin introducción",
        asked="¿Qué artículos no se pueden devolver?",
        holds=("- Ropa interior", "- Productos", "- Alimentos", "- Programas", "- Tarjetas regalo"),
    ),
    Case(
        name="code after a colon",
        asked="How do I handle 429?",
        holds=("Wait and try again:", "```python", "2**attempt)\n```"),
    ),
    Case(
        name="row of a table of codes",
        asked="What does error E137 mean?",
        holds=("| E137 |", "59 more rows: [API limits: Error codes"),
        lacks=("| E136 |",),
    ),
    Case(name="code that a table lacks", asked="What does error E999 mean?", abstains=True),
    Case(name="yes with a colon", asked="how much is a higher limit", holds=("Yes: write to sales.", "20 euros")),
    Case(
        name="steps counted through three lists",
        asked="What is on the onboarding checklist?",
        holds=("Before the first day:", "1)", "2)", "On the first day:", "3)", "4)", "5)", "After a week:", "6)", "7)"),
    ),
    Case(
        name="one of many long bullets",
        asked="When are towels changed?",
        holds=("- Towels are changed on Monday.", "6 more items: [Kitchen rules](<https://"),
        lacks=("dishwasher",),
    ),
    Case(
        name="long bullets asked for together",
        asked="What are the kitchen rules?",
        holds=("- Dishes", "- Food", "- The coffee", "- Rubbish", "- Towels", "- Whoever", "- Music is fine"),
    ),
    Case(
        name="code below step ten, indented too little for the list",
        asked="How do I add a node to the cluster?",
        holds=(
            "To add a node:",
            "1. Install",
            "9. Wait",
            "10. Move the first share of the data to it:\n\n   ```sh\n   cluster-agent rebalance",
            "12. Move the rest:\n\n   ```sh\n   cluster-agent rebalance --to node-17\n   ```",
        ),
    ),
    Case(
        name="row asked for with a value that no row has",
        asked="How do I change the port of the mail server to 9000?",
        holds=("| `network.port` | 8080 |", "21 more rows: [Settings of the mail server"),
    ),
    Case(
        name="no, a passage away",
        asked="What do offers to holiday guests on platforms lead to?",
        holds=("No.", "lead to a warning at first"),
    ),
    Case(
        name="code that a table lacks, among words that it has",
        asked="Which number do I tell the hotline after error E999 in the module?",
        lacks=("| E1",),
        abstains=True,
    ),
)
