"""A calibration as a file: what was written is read again, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from rag.errors import ConfigurationError
from rag.retrieval.calibrated import FILE, Calibration, Provenance, read_calibrations, write_calibration
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.embeddings.threaded import query_name_of
from rag.types import AdapterRef

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
GENERAL = dataclasses.replace(CALIBRATION, intercept=-7.0)
OF_VERSION_0_1 = """{
  "features": ["cosine", "covered"], "weights": [2.0, 1.0], "means": [0.5, 0.0], "scales": [0.25, 1.0], "intercept": 0.25,
  "provenance": {"file": "set.jsonl", "sha256": "ab", "cases": 9, "positives": 4, "date": "2026-01-02",
                 "embedding": "all-MiniLM-L6-v2", "version": "0.1.0"}
}
"""


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
    assert read_calibrations(tmp_path / "home", KNOWN, GENERAL).of("packaged") == CALIBRATION
    write_calibration(tmp_path / "home", dataclasses.replace(CALIBRATION, intercept=2.0))
    assert read_calibrations(tmp_path / "home", KNOWN, GENERAL).of("packaged").intercept == 2.0
    assert [each.name for each in (tmp_path / "home").iterdir()] == [FILE], "no draft is left"


def test_a_home_without_calibration_uses_the_general_one_for_every_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calibrations = read_calibrations(tmp_path, KNOWN, GENERAL)
    assert calibrations.of("packaged") == calibrations.of("another") == GENERAL
    assert caplog.text == ""


def test_one_that_was_learned_for_another_model_or_adapter_is_left_aside_and_that_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_calibration(tmp_path, CALIBRATION)
    calibrations = read_calibrations(tmp_path, KNOWN, GENERAL)
    assert calibrations.of("packaged+c0ffee") == calibrations.of("another") == GENERAL
    [line] = [record.getMessage() for record in caplog.records]
    assert f"{file} was learned with packaged" in line
    assert "packaged+c0ffee" in line
    assert "eval retrieval --calibrate" in line
    assert calibrations.of("packaged") == CALIBRATION, "after a rollback it counts again"


def test_one_that_was_learned_with_an_adapter_is_used_with_its_files_only(tmp_path: Path) -> None:
    house, trained_again = (AdapterRef(name="house", path="house", digest=digest) for digest in ("c0ffee", "decade"))
    provenance = dataclasses.replace(CALIBRATION.provenance, embedding=query_name_of("packaged", house))
    learned = dataclasses.replace(CALIBRATION, provenance=provenance)
    write_calibration(tmp_path, learned)
    calibrations = read_calibrations(tmp_path, KNOWN, GENERAL)
    assert calibrations.of(query_name_of("packaged", house)) == learned
    assert calibrations.of(query_name_of("packaged", trained_again)) == GENERAL
    assert calibrations.of(query_name_of("packaged")) == GENERAL


def test_a_calibration_of_version_0_1_is_used_where_its_model_still_is(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(OF_VERSION_0_1, encoding="utf-8")
    calibrations = read_calibrations(tmp_path, KNOWN, GENERAL)
    assert calibrations.of(PackagedEmbeddings().query_name).intercept == 0.25
    assert calibrations.of("intfloat/multilingual-e5-small") == GENERAL


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
        read_calibrations(tmp_path, KNOWN, GENERAL)
    message = str(caught.value)
    assert named in message
    assert message.startswith(str(tmp_path / FILE))
    assert "delete it" in message
    assert "\n" not in message


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_calibration(tmp_path / "file", CALIBRATION)
