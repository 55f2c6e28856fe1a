"""An NLI model by name, read as any of the hub's would be: a folder with a small one whose weights are chance."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from rag.errors import ModelError
from rag.grounding.support.nli import CrossEncoderNli

pytestmark = pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="sentence-transformers is an extra: pip install cotorra[bench]"
)
PREMISE, STATEMENT = "the invoice is sent by post", "the invoice is sent by card"


def build(folder: Path, labels: tuple[str, ...]) -> Path:
    """A BERT of two layers and a vocabulary of the words above."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = sorted({*PREMISE.split(), *STATEMENT.split()})
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    BertTokenizerFast(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, initializer_range=0.5, num_labels=len(labels),
        id2label=dict(enumerate(labels)), label2id={label: place for place, label in enumerate(labels)},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def reference(folder: Path) -> list[float]:
    """The probabilities as transformers computes them."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    encoded = AutoTokenizer.from_pretrained(folder)(PREMISE, STATEMENT, return_tensors="pt")
    with torch.inference_mode():
        found: list[float] = (
            AutoModelForSequenceClassification.from_pretrained(folder)(**encoded).logits[0].softmax(-1).tolist()
        )
    return found


@pytest.mark.parametrize(
    "labels",
    [("entailment", "neutral", "contradiction"), ("CONTRADICTION", "ENTAILMENT", "NEUTRAL")],
    ids=["first", "second"],
)
async def test_the_order_of_the_labels_is_the_models(tmp_path: Path, labels: tuple[str, ...]) -> None:
    folder = build(tmp_path, labels)

    found = await CrossEncoderNli(str(folder)).judge(PREMISE, STATEMENT)

    expected = dict(zip(map(str.lower, labels), reference(folder), strict=True))
    assert found.entailment == pytest.approx(expected["entailment"], abs=1e-4)
    assert found.contradiction == pytest.approx(expected["contradiction"], abs=1e-4)


async def test_a_model_that_tells_entailment_or_not_contradicts_nothing(tmp_path: Path) -> None:
    found = await CrossEncoderNli(str(build(tmp_path, ("entailment", "not_entailment")))).judge(PREMISE, STATEMENT)

    assert 0 < found.entailment < 1
    assert found.contradiction == 0


def test_a_model_without_such_labels_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.nli .*LABEL_0, LABEL_1, LABEL_2; name a model"):
        CrossEncoderNli(str(build(tmp_path, ("LABEL_0", "LABEL_1", "LABEL_2"))))


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.nli '.*absent' is no folder with a cross-encoder in safetensors"):
        CrossEncoderNli(str(tmp_path / "absent"))
