"""Learns the weights of intents for one embedding model and writes them into the package.

``python -m tests.benchmarks.intents.learning --embedding packaged --data ../shared/data``

The thresholds are chosen on held-out folds of the examples and, with ``--data``, on false alarms among turns of the training
parts of BANKING77 and Doc2Dial, from which no weight is learnt. Without ``--write`` everything is only measured.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from rag.intents.classifier import embedded
from rag.intents.examples import Example, normalized, read_examples
from rag.intents.features import features
from rag.intents.fitting import fit, forms, label_numbers, learned, table
from rag.intents.intent import GROUPS, Group
from rag.intents.weights import FOLDER, LABELS, IntentWeights, decide, file_of, probabilities
from rag.retrieval.embeddings.models import TextEmbeddings, load_embeddings
from rag.settings import EmbeddingSettings

FOLDS = 5
FALSE = 0.03
"""The most false alarms on held-out questions of the examples, many of which were written to be mistaken for wishes."""
FALSE_ORDINARY = 0.008
"""The most on ordinary turns, as the mean over the data sets. Half of Doc2Dial's are real wishes that nobody labelled."""
LEVELS = np.arange(0.35, 0.91, 0.01)
"""The thresholds to choose from."""
ORDINARY = 1000
"""Turns of each data set that false alarms are counted on."""
WORDS = 6
"""A turn of Doc2Dial of fewer words ("yes", "thanks") may well be a courtesy."""

Rows = NDArray[np.float32]


def folds(examples: Sequence[Example]) -> NDArray[np.int64]:
    """The fold of each example, as even as can be for each label and language. Alike texts are in one fold."""
    chance = random.Random(0)
    kinds: dict[tuple[str, str], list[int]] = {}
    for place, example in enumerate(examples):
        kinds.setdefault((example.intent or "", example.language), []).append(place)
    chosen = np.zeros(len(examples), dtype=np.int64)
    for places in kinds.values():
        chance.shuffle(places)
        chosen[places] = np.arange(len(places)) % FOLDS
    first: dict[str, int] = {}
    for place, example in enumerate(examples):
        chosen[place] = chosen[first.setdefault(normalized(example.text), place)]
    return chosen


def held_out(rows: Rows, labels: NDArray[np.int64], fold: NDArray[np.int64]) -> Rows:
    """The probabilities of each row under weights that were learnt from the other folds."""
    shares = np.zeros((len(rows), len(LABELS)), dtype=np.float32)
    for each in range(FOLDS):
        out = fold == each
        shares[out] = probabilities(fit(rows[~out], labels[~out]), rows[out])
    return shares


def chosen_thresholds(shares: Rows, labels: NDArray[np.int64], ordinary: Sequence[Rows]) -> dict[Group, float]:
    """By group, the least probability at which it is believed: the most wishes heard for few enough false alarms.

    A false alarm is given a price, the same for every group, and the price rises until they are few enough both among the
    examples and on the data sets of ``ordinary`` turns.
    """
    groups = tuple(dict.fromkeys(GROUPS.values()))
    wished = _confidence(shares[labels != 0], groups)
    wanted = np.array([groups.index(GROUPS[label]) for label in map(LABELS.__getitem__, labels) if label])
    alarms = _confidence(shares[labels == 0], groups)
    turns = [_confidence(rows, groups) for rows in ordinary]
    for price in np.geomspace(0.05, 50, 200):
        levels = np.zeros(len(groups))
        for place in range(len(groups)):
            right = wished[1][(wished[0] == place) & (wanted == place)]
            wrong = np.concatenate([highest[best == place] for best, highest in (alarms, *turns)])
            worth = [(right >= level).sum() - price * (wrong >= level).sum() for level in LEVELS]
            levels[place] = LEVELS[int(np.argmax(worth))]
        of_turns = [_passing(each, levels) for each in turns]
        if _passing(alarms, levels) <= FALSE and (not of_turns or np.mean(of_turns) <= FALSE_ORDINARY):
            break
    return {group: round(float(level), 2) for group, level in zip(groups, levels, strict=True)}


def _confidence(shares: Rows, groups: Sequence[Group]) -> tuple[NDArray[np.int64], Rows]:
    """Of each row the most probable group, by place, and its probability."""
    sums = np.stack([shares[:, _members(group)].sum(axis=1) for group in groups], axis=1)
    return sums.argmax(axis=1), sums.max(axis=1)


def _passing(confidence: tuple[NDArray[np.int64], Rows], levels: NDArray[np.float64]) -> float:
    best, highest = confidence
    return float(np.mean(highest >= levels[best]))


def _members(group: Group) -> list[int]:
    return [place for place, label in enumerate(LABELS) if label is not None and GROUPS[label] == group]


def figures(
    examples: Sequence[Example], written: Sequence[tuple[int, str]], shares: Rows, thresholds: Mapping[Group, float]
) -> dict[str, dict[str, float]]:
    """By language: the share heard of each group, of all, and false alarms among questions, all on held-out folds."""
    counted: dict[str, dict[str, list[bool]]] = {}
    for (place, text), row in zip(written, shares, strict=True):
        if len(text.split()) < 2:
            continue  # the examples' own words are recognised by themselves
        example = examples[place]
        decision = decide(text, row, dict(thresholds))
        group = GROUPS[decision] if decision else None
        one = counted.setdefault(example.language, {})
        if example.intent is None:
            one.setdefault("false", []).append(group is not None)
            continue
        wanted = GROUPS[example.intent]
        right = group == wanted or {group, wanted} == {"courtesy", "offer_yes"}
        one.setdefault(wanted, []).append(right)
        one.setdefault("heard", []).append(right)
    return {
        language: {name: round(float(np.mean(each)), 3) for name, each in sorted(by_name.items())}
        for language, by_name in counted.items()
    }


async def ordinary_turns(embeddings: TextEmbeddings, data: Path | None) -> dict[str, tuple[list[str], Rows]]:
    """Turns of each data set with their features; none without ``data``."""
    if data is None:
        return {}
    turns: dict[str, tuple[list[str], Rows]] = {}
    for name, every in (("banking77", _banking(data)), ("doc2dial", _doc2dial(data))):
        texts = random.Random(0).sample(every, ORDINARY)
        vectors = await embedded(texts, embeddings)
        turns[name] = texts, np.stack([features(text, vector) for text, vector in zip(texts, vectors, strict=True)])
    return turns


def false_alarms(weights: IntentWeights, texts: Sequence[str], rows: Rows) -> dict[str, object]:
    """The share of ordinary turns that are taken for wishes, and some of them."""
    shares = probabilities(weights.matrix(), rows)
    decisions = [decide(text, row, weights.thresholds) for text, row in zip(texts, shares, strict=True)]
    taken = [f"{decision}: {text}" for decision, text in zip(decisions, texts, strict=True) if decision]
    return {"false": len(taken) / len(texts), "taken": taken[:20]}


def _banking(data: Path) -> list[str]:
    with (data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def _doc2dial(data: Path) -> list[str]:
    with (data / "doc2dial" / "train.jsonl").open(encoding="utf-8") as file:
        turns = [turn for line in file for turn in json.loads(line)["turns"] if turn["role"] == "user"]
    return [turn["text"] for turn in turns if len(turn["text"].split()) >= WORDS]


async def run(embedding: str, data: Path | None, *, write: bool) -> None:
    """Measures, learns, and with ``write`` keeps what was learnt."""
    embeddings, examples = load_embeddings(EmbeddingSettings(model=embedding)), read_examples()
    written = forms(examples)
    embeddings.load()
    started = perf_counter()
    vectors = await embedded([text for _, text in written], embeddings)
    embedded_at = perf_counter()
    rows, labels = table(written, vectors), label_numbers(examples, written)
    fold = folds(examples)[[place for place, _ in written]]
    shares = held_out(rows, labels, fold)
    several = np.array([len(text.split()) > 1 for _, text in written])
    before = perf_counter()
    matrix = fit(rows, labels)
    fitted = perf_counter()
    turns = await ordinary_turns(embeddings, data)
    ordinary = [probabilities(matrix, own) for _, own in turns.values()]
    thresholds = chosen_thresholds(shares[several], labels[several], ordinary)
    weights = learned(examples, vectors, embeddings.query_name, thresholds)
    report = {
        "embedding": embeddings.query_name,
        "held_out": figures(examples, written, shares, thresholds),
        "thresholds": thresholds,
        "seconds": {"embedding": round(embedded_at - started, 2), "fit": round(fitted - before, 2)},
        "ordinary": {name: false_alarms(weights, texts, own) for name, (texts, own) in turns.items()},
    }
    print(json.dumps(report, indent=1, ensure_ascii=False))
    if write:
        FOLDER.mkdir(exist_ok=True)
        file_of(embeddings.query_name).write_text(weights.to_json(), encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedding", default="packaged", help="as embedding.model in the settings")
    parser.add_argument("--data", type=Path, help="the folder with banking77 and doc2dial")
    parser.add_argument("--write", action="store_true", help="keep the weights in the package")
    options = parser.parse_args()
    asyncio.run(run(options.embedding, options.data, write=options.write))


if __name__ == "__main__":
    main()
