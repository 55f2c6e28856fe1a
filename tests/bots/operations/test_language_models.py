"""What ``doctor`` says about language models: servers, models of this process, and what could be had."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bots.operations.finding import Finding
from bots.operations.language_models import examine_models
from rag.settings import ModelSettings
from tests.loopback.openai import LoopbackOpenAI
from tests.loopback.site import LoopbackSite

OWN = 8080


def remote(*servers: str, **more: Any) -> ModelSettings:
    return ModelSettings.model_validate({"kind": "openai", "name": "test-model", "servers": servers, **more})


def local(name: Path | str, **more: Any) -> ModelSettings:
    return ModelSettings.model_validate({"kind": "transformers", "name": str(name), **more})


def model_folder(folder: Path, parameters: int = 1000) -> Path:
    """As transformers saves a model, but for the weights: there is only the header that says how many there are."""
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, "weight": {"dtype": "F32", "shape": [parameters, 1], "data_offsets": [0, 0]}}
    ).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return folder


async def test_every_server_is_one_finding(free_port: int) -> None:
    dead = f"http://127.0.0.1:{free_port}/v1"
    with LoopbackOpenAI() as server, LoopbackOpenAI(model="another", key="sk-right") as other:
        right = await examine_models(remote(server.url, dead, other.url), OWN)
        keyed = await examine_models(remote(other.url, api_key=SecretStr("sk-right")), OWN)
    assert [found.ok for found in right] == [True, False, False]
    assert right[0].fact == f"{server.url} test-model, window of 4096 tokens"
    assert "start it" in right[1].advice
    assert "OPENAI_API_KEY" in right[2].advice
    assert keyed[0].advice == "set model.name to one that it has: another"


@pytest.mark.parametrize(("loads", "fact"), [(True, "loads adapters"), (False, "does not load adapters")])
async def test_a_server_that_is_to_load_adapters_is_asked_whether_it_can(loads: bool, fact: str) -> None:
    with LoopbackOpenAI(loads=loads) as server:
        (found,) = await examine_models(remote(server.url, load_adapters=True), OWN)
    assert fact in found.fact
    assert found.ok is loads
    assert ("VLLM_ALLOW_RUNTIME_LORA_UPDATING" in found.advice) is not loads


async def test_an_address_that_is_none_is_a_finding() -> None:
    (found,) = await examine_models(remote("http://:80"), OWN)
    assert not found.ok
    assert "model.servers" in found.fact


async def test_a_server_on_a_usual_port_is_offered_and_not_chosen(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-lying-about")
    settings = ModelSettings(api_key=SecretStr("sk-right"))
    with LoopbackOpenAI(model="qwen") as server:
        (found,) = await examine_models(settings, OWN, {"Ollama": server.port, "vLLM": free_port})
    assert found.ok
    assert "answers are quotes" in found.fact
    assert "Ollama" in found.fact
    assert "qwen" in found.fact
    assert 'model.kind = "openai"' in found.advice
    assert f"OPENAI_BASE_URL=http://127.0.0.1:{server.port}/v1" in found.advice
    assert [asked.path for asked in server.asked] == ["/v1/models"]
    assert "sk-" not in repr(server.asked)
    assert settings.kind == "extractive"


async def test_our_own_port_is_not_offered() -> None:
    with LoopbackOpenAI() as server:
        assert not await examine_models(ModelSettings(), server.port, {"llama.cpp": server.port})
        assert not server.asked


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"data": 7}', b"[" * 100_000, b"[]", b'{"data": [' + b'{"id": "x"},' * 50_000 + b"{}]}"]
)
async def test_what_listens_there_and_is_no_such_server_is_not_offered(body: bytes) -> None:
    with LoopbackSite() as site:
        site.put("/v1/models", body)
        port = int(site.url.rpartition(":")[2])
        assert not await examine_models(ModelSettings(), OWN, {"LM Studio": port})


async def test_a_model_in_a_folder_is_looked_at_without_being_loaded(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", parameters=10**9)
    (found,) = await examine_models(local(folder, dtype="bfloat16", device="cpu"), OWN)
    assert found.fact.startswith(f"{folder} is a folder here: bfloat16 on cpu, about 2.6 of ")
    assert math.isfinite(float(found.fact.split(" of ")[1].split()[0]))


async def test_a_model_that_cannot_fit_says_so(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", parameters=10**14)
    (found,) = await examine_models(local(folder, device="cpu"), OWN)
    assert not found.ok
    assert "smaller model" in found.advice


async def test_a_folder_that_holds_no_model_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    broken = model_folder(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\xff" * 20)
    unsafe = model_folder(tmp_path / "unsafe")
    (unsafe / "model.safetensors").rename(unsafe / "pytorch_model.bin")
    found = [
        finding
        for name in ("empty", "broken", "unsafe", "no/such/folder")
        for finding in await examine_models(local(tmp_path / name, device="cpu"), OWN)
    ]
    assert not any(finding.ok for finding in found)
    told = [_told(finding) for finding in found]
    assert "config.json" in told[0]
    assert "no safetensors file" in told[1]
    assert "safetensors" in told[2]
    assert "there is no folder" in told[3]


async def test_a_hub_that_cannot_be_reached_is_one_line_with_the_cure(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{free_port}")
    (found,) = await examine_models(local("someone/some-model"), OWN)
    assert not found.ok
    assert "the hub cannot be reached" in found.fact
    assert "copy the model's files" in found.advice


def _told(finding: Finding) -> str:
    return f"{finding.fact} {finding.advice}"
