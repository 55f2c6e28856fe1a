"""Pages as strangers write them, with questions and what a whole answer to each holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question about one of ``PAGES``: what its answer holds in this order, what it must not hold, whether it may abstain."""

    name: str
    asked: str
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    abstains: bool = False


_VERBS = ("Open", "Check", "Close", "Label", "Weigh", "Wrap", "Scan", "Sign", "Store", "Count", "Photograph", "Seal")
_THINGS = ("the carton", "the pallet", "the invoice", "the seal", "the customs form", "the cold box", "the return label")


def _steps(count: int, length: int = 1) -> str:
    return "\n".join(
        f"{n}. {_VERBS[n % 12]} {_THINGS[n % 7]} number {n}{' and write the result into the shift book' * length}."
        for n in range(1, count + 1)
    )


def _pasos(count: int) -> str:
    verbos = ("Abre", "Comprueba", "Cierra", "Etiqueta", "Pesa", "Envuelve", "Escanea", "Firma", "Guarda", "Cuenta")
    return "\n".join(
        f"{n}. {verbos[n % 10]} la caja número {n} y apunta el resultado en el libro del turno." for n in range(1, count + 1)
    )


_CITIES = "".join(f"| Town{n:02} | {n * 7 % 31} km | {n * 3 % 19} EUR | {'Monday' if n % 2 else 'Friday'} |\n" for n in range(60))

PAGES = {
    "router.md": (
        "# Home router\n\n## Restart the router\n\nTo restart the router, follow these steps:\n\n1. Unplug the power cable.\n"
        "2. Wait thirty seconds.\n3. Plug the cable in again.\n\nThe lamp turns green after two minutes.\n\n"
        "## Can I use my own router?\n\nYes. Any device with the DOCSIS 3.1 standard works on our network. You lose the support by "
        "phone for the wireless part. Tell us the serial number before you connect it.\n\n"
        "## Warranty\n\nThe router has a warranty of three years from the day of delivery.\n"
    ),
    "warehouse.md": (
        "# Warehouse manual\n\n## Receive a delivery\n\nWhen a delivery arrives, work through this procedure:\n\n"
        f"{_steps(12)}\n\n## Yearly inventory\n\nThe yearly inventory is done in this order:\n\n{_steps(40)}\n\n"
        "## Opening hours of the gate\n\nThe gate is open from six to ten.\n"
    ),
    "almacen.md": (
        "# Manual del almacén\n\n## Recibir una entrega\n\nCuando llegue una entrega, sigue este procedimiento:\n\n"
        f"{_pasos(12)}\n\n## Inventario anual\n\nEl inventario anual se hace en este orden:\n\n{_pasos(40)}\n\n"
        "## ¿Puedo entrar sin chaleco?\n\nNo. Nadie entra en la nave sin chaleco reflectante. Los visitantes reciben uno en la "
        "garita. Quien lo pierde paga doce euros.\n\n"
        "## ¿Se puede aparcar de noche?\n\nSí. El aparcamiento del muelle queda abierto toda la noche para camiones. Hay que dejar "
        "el número de matrícula en la garita antes de las diez.\n"
    ),
    "README.md": (
        "# Quill\n\nQuill is a small static site generator.\n\n## Install Quill on Linux\n\nInstall Quill like this:\n\n"
        "1. Add the repository key:\n\n   ```bash\n   curl -fsSL https://quill.example/key.asc | sudo tee /etc/apt/quill.asc\n   ```\n\n"
        "2. Add the repository to your sources:\n\n   ```bash\n   echo \"deb https://quill.example/apt stable main\" | sudo tee "
        "/etc/apt/sources.list.d/quill.list\n   sudo apt-get update\n   ```\n\n3. Install the package and check its version:\n\n"
        "   ```bash\n   sudo apt-get install quill\n   quill --version\n   ```\n\n4. Create your first site:\n\n"
        "   ```bash\n   quill new my-site\n   cd my-site\n   quill serve --port 4000\n   ```\n\n"
        "5. Open http://localhost:4000 in the browser.\n\n"
        "## Configuration file\n\nQuill reads `quill.toml`. A full example:\n\n```toml\n"
        + "".join(f'[section_{n}]\ntitle = "Section {n}"\npath = "content/section-{n}"\norder = {n}\n\n' for n in range(24))
        + "```\n\n## Supported formats\n\n- Markdown files with the ending `.md`\n- reStructuredText files with the ending `.rst`\n"
        "- Org files with the ending `.org`\n- AsciiDoc files with the ending `.adoc`\n- Plain text files\n"
        "- Jupyter notebooks with the ending `.ipynb`\n- HTML fragments, which are taken over unchanged\n"
    ),
    "expenses.md": (
        "# Expenses policy\n\n## Claim travel expenses\n\nTo claim travel expenses:\n\n1. Collect every receipt of the journey.\n\n"
        "   Receipts in a foreign currency need the rate of the day.\n\n2. Fill in the form *Travel* in the finance portal.\n"
        "   - Give the cost centre.\n   - Give the purpose of the journey.\n   - Attach the receipts as one PDF.\n"
        "3. Ask your manager to approve it.\n\nThe manager has five working days. After that the claim goes to the deputy.\n\n"
        "4. Wait for the transfer, which comes with the next salary.\n\n"
        "## Can I claim first class?\n\nNo. Only second class is paid, whatever the distance. Board members are an exception, and "
        "so are journeys of more than eight hours by night train.\n\n"
        "## Per diem\n\nThe per diem is a fixed amount for meals on a journey. It is 28 euros a day within the country. "
        "Abroad the table of the ministry applies. Breakfast in the hotel is deducted.\n"
    ),
    "coffee.md": (
        "# Coffee machine\n\n## Clean the machine\n\nClean it every evening.\n\n1. Empty the drip tray.\n1. Rinse the milk hose.\n"
        "1. Start the cleaning programme.\n\n## What must not go into the grinder?\n\nThese must not go into the grinder:\n\n"
        "* ground coffee\n* flavoured beans\n* sugar\n* instant cocoa\n"
    ),
    "shuttle.md": (
        "# Shuttle bus\n\n## Stops of the shuttle bus\n\nThe table lists each stop.\n\n| Town | Distance | Price | Day |\n"
        f"| --- | --- | --- | --- |\n{_CITIES}"
    ),
    "faq-members.md": (
        "## How do I freeze my membership?\n\nOpen the app and choose Contract. Tap the snowflake. You can freeze it for three months "
        "at most.\n\n## Is there a sauna?\n\nYes, on the second floor. It opens at ten and closes an hour before the club. "
        "Towels are compulsory.\n\n## Can I bring a guest?\n\nYes. Every member may bring one guest a month. The guest pays nine euros "
        "at the desk. Guests under sixteen are not admitted.\n"
    ),
    "vpn.md": (
        "# VPN\n\n## VPN auf dem Laptop\n\n## Set up the VPN on a laptop\n\nThis takes ten minutes.\n\n"
        + "\n".join(
            f"{n}. {text}"
            for n, text in enumerate(
                (
                    "Download the client from the software centre, which lists it under *Network*.",
                    "Start the installer and accept the licence; the administrator's password is not needed for it.",
                    "Choose the profile `Staff` and not `Guests`, because guests reach the internet only.",
                    "Enter your e-mail address as the name and the password that you also use for the mail.",
                    "Confirm the message on your phone within sixty seconds, or the client starts again.",
                    "Tick *Connect at start-up*, so that the shared drives are there when you log in.",
                    "Restart the laptop and wait until the shield in the task bar has turned green.",
                ),
                1,
            )
        )
        + "\n"
    ),
}

INSTALL = tuple(
    code
    for code in (
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
)

CASES = (
    Case(
        name="three steps",
        asked="How do I restart the router?",
        holds=("To restart the router, follow these steps:", "1. Unplug", "2. Wait", "3. Plug"),
        lacks=("more step",),
    ),
    Case(name="yes", asked="Can I use my own router?", holds=("Yes.", "DOCSIS 3.1")),
    Case(name="yes, by a detail", asked="Do I lose phone support with my own router?", holds=("Yes.", "support by phone")),
    Case(
        name="twelve steps",
        asked="How do I receive a delivery?",
        holds=("work through this procedure:", *(f"{n}. {_VERBS[n % 12]}" for n in range(1, 13))),
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
    Case(name="steps with code", asked="How do I install Quill on Linux?", holds=("Install Quill like this:", *INSTALL)),
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
    Case(name="no, by a detail", asked="Is first class paid for board members?", holds=("No. Only second class", "Board members")),
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
        holds=("| Town | Distance | Price | Day |", "| Town47 | 19 km | 8 EUR | Monday |", "59 more rows: [Shuttle bus"),
        lacks=("Town02",),
    ),
    Case(name="row that a table lacks", asked="What does the shuttle bus to Town88 cost?", lacks=("| Town",), abstains=True),
    Case(
        name="heading that is the question",
        asked="how do I freeze my membership",
        holds=("Open the app and choose Contract. Tap the snowflake. You can freeze it",),
        lacks=("sauna",),
    ),
    Case(name="yes with a comma", asked="When does the sauna close?", holds=("Yes, on the second floor.", "closes an hour")),
    Case(name="yes, two sentences away", asked="Are guests under sixteen admitted?", holds=("Yes.", "under sixteen")),
    Case(
        name="steps over two passages",
        asked="How do I set up the VPN on a laptop?",
        holds=tuple(f"{n}. " for n in range(1, 8)),
        lacks=("more step",),
    ),
)
