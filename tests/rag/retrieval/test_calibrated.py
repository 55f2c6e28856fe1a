"""A calibration as a file: what was written is read again, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from rag.errors import ConfigurationError
from rag.retrieval.calibrated import FILE, Calibration, Provenance, read_calibration, write_calibration

KNOWN = frozenset({"cosine", "covered"})
CALIBRATION = Calibration(
    features=("cosine", "covered"),
    weights=(2.0, 1.0),
    means=(0.5, 0.0),
    scales=(0.25, 1.0),
    intercept=-1.0,
    provenance=Provenance(
        file="set.jsonl", sha256="ab", cases=9, positives=4, date="2026-01-02", embedding="packaged", version="0.1.0"
    ),
)


def test_a_probability_is_the_logistic_of_standardised_evidence() -> None:
    found = CALIBRATION.probability({"cosine": 0.75, "covered": 1.0, "other": 9.0})
    assert found == pytest.approx(1 / (1 + math.exp(-(2.0 + 1.0 - 1.0))))
    with pytest.raises(KeyError):
        CALIBRATION.probability({"cosine": 0.75})


@pytest.mark.parametrize(("cosine", "limit"), [(1e9, 1.0), (-1e9, 0.0)])
def test_evidence_beyond_all_bounds_has_a_probability(cosine: float, limit: float) -> None:
    assert CALIBRATION.probability({"cosine": cosine, "covered": 0.0}) == pytest.approx(limit)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = write_calibration(tmp_path / "home", CALIBRATION)
    assert file == tmp_path / "home" / FILE
    assert read_calibration(tmp_path / "home", KNOWN, "packaged") == CALIBRATION
    write_calibration(tmp_path / "home", dataclasses.replace(CALIBRATION, intercept=2.0))
    again = read_calibration(tmp_path / "home", KNOWN, "packaged")
    assert again is not None
    assert again.intercept == 2.0
    assert [each.name for each in (tmp_path / "home").iterdir()] == [FILE], "no draft is left"


def test_a_home_without_calibration_has_none(tmp_path: Path) -> None:
    assert read_calibration(tmp_path, KNOWN, "packaged") is None


def test_one_that_was_learned_with_other_embeddings_is_left_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_calibration(tmp_path, CALIBRATION)
    assert read_calibration(tmp_path, KNOWN, "another") is None
    assert "was learned with packaged" in caplog.text


VALUES = json.loads(CALIBRATION.to_json())


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"{", "JSON"),
        (b"\xff", "JSON"),
        (b"[]", "its content"),
        (json.dumps({**VALUES, "weights": [1.0]}).encode(), "as many"),
        (json.dumps({**VALUES, "features": ["cosine", "cosine"]}).encode(), "twice"),
        (json.dumps({**VALUES, "features": ["cosine", "moon"]}).encode(), "no feature moon"),
        (json.dumps({**VALUES, "scales": [0, 1]}).encode(), "scales.0"),
        (json.dumps({**VALUES, "intercept": float("nan")}).encode(), "intercept"),
        (json.dumps({**VALUES, "threshold": 1}).encode(), "threshold"),
        (json.dumps({**VALUES, "provenance": {}}).encode(), "provenance.file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_that_says_what_to_do(
    tmp_path: Path, content: bytes, named: str
) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_calibration(tmp_path, KNOWN, "packaged")
    message = str(caught.value)
    assert named in message
    assert message.startswith(str(tmp_path / FILE))
    assert "delete it" in message
    assert "\n" not in message


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_calibration(tmp_path / "file", CALIBRATION)
