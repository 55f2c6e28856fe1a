"""What ``doctor`` finds out about language models: those that are configured, and servers that could be."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bots.operations.finding import Finding
from rag.errors import ConfigurationError, ModelError
from rag.settings import ModelSettings

USUAL_PORTS: Mapping[str, int] = {"vLLM": 8000, "Ollama": 11434, "llama.cpp": 8080, "LM Studio": 1234}
PROBE_SECONDS = 1.0
HUB_SECONDS = 5.0
_PROBE_BYTES = 262_144
_ROOM = 1.3
"""Memory beside the weights, as a factor: keys and values of the conversations, and what a step computes with."""


async def examine_models(
    settings: ModelSettings, own_port: int, ports: Mapping[str, int] = USUAL_PORTS
) -> Sequence[Finding]:
    """``own_port`` is where this service listens; a server there is not offered."""
    match settings.kind:
        case "openai":
            return await _servers(settings)
        case "transformers":
            return [await asyncio.to_thread(_local, settings)]
        case _:
            return await _offers({name: port for name, port in ports.items() if port != own_port})


async def _servers(settings: ModelSettings) -> Sequence[Finding]:
    from rag.models.remote.model import RemoteModel

    try:
        model = RemoteModel(settings)
    except ConfigurationError as error:
        fact, _, advice = str(error).partition("; ")
        return [Finding(name="model", ok=False, fact=fact, advice=advice)]
    try:
        reports = await model.report()
    finally:
        await model.close()
    return [
        Finding(name="model", ok=not report.advice, fact=f"{report.place} {report.fact}", advice=report.advice)
        for report in reports
    ]


async def _offers(ports: Mapping[str, int]) -> Sequence[Finding]:
    """Servers on this machine that could write the answers. None is chosen, and none is sent a key or a text."""
    async with httpx.AsyncClient(trust_env=False, timeout=PROBE_SECONDS) as client:
        found = await asyncio.gather(*(_models_at(client, port) for port in ports.values()))
    return [_offer(name, port, models) for (name, port), models in zip(ports.items(), found, strict=True) if models]


def _offer(name: str, port: int, models: Sequence[str]) -> Finding:
    from rag.models.remote.faults import names_of

    return Finding(
        name="model",
        ok=True,
        fact=f"answers are quotes; a server of language models ({name}?) listens on port {port} and has {names_of(models)}",
        advice=f'to let it write, set model.kind = "openai", OPENAI_BASE_URL=http://127.0.0.1:{port}/v1 and model.name',
    )


async def _models_at(client: httpx.AsyncClient, port: int) -> Sequence[str]:
    try:
        async with (
            asyncio.timeout(PROBE_SECONDS),
            client.stream("GET", f"http://127.0.0.1:{port}/v1/models") as response,
        ):
            content = b""
            async for part in response.aiter_raw():
                content += part
                if len(content) > _PROBE_BYTES:
                    return ()
        listed = json.loads(content)
    except (httpx.HTTPError, TimeoutError, ValueError, RecursionError):
        return ()
    entries = listed.get("data") if isinstance(listed, dict) and response.status_code == 200 else None
    return (
        [str(one["id"]) for one in entries if isinstance(one, dict) and one.get("id")]
        if isinstance(entries, list)
        else ()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    where: str
    parameters: int


def _local(settings: ModelSettings) -> Finding:
    """A model of this process, looked at without downloading or loading it."""
    from rag.models.local.devices import choose_device, choose_dtype

    try:
        weights = _in_folder(settings) or _on_the_hub(settings)
        device = choose_device(settings.device)
        dtype = choose_dtype(settings.dtype, device)
    except ModelError as error:
        fact, _, advice = str(error).partition("; ")
        return Finding(
            name="model",
            ok=False,
            fact=fact,
            advice=advice or "until then answers are quotes; see the handbook's models page",
        )
    needed = weights.parameters * dtype.itemsize * _ROOM
    room = _memory(device)
    numbers = f"{str(dtype).removeprefix('torch.')} on {device}, about {needed / 1e9:.1f} of {room / 1e9:.1f} GB"
    return Finding(
        name="model",
        ok=needed <= room,
        fact=f"{settings.name} {weights.where}: {numbers}",
        advice="" if needed <= room else 'take a smaller model, set model.dtype = "bfloat16", or use a server',
    )


def _in_folder(settings: ModelSettings) -> _Weights | None:
    """A folder, or the hub's cache. Raises ``ModelError`` for a folder that holds no model."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    from rag.models.local.weights import find_model

    folder, where = Path(settings.name).expanduser(), "is a folder here"
    if not folder.is_dir():
        try:
            cached = try_to_load_from_cache(settings.name, "config.json", revision=settings.revision or None)
        except HFValidationError as error:
            raise ModelError(f"model.name: there is no folder {settings.name}; correct it") from error
        if not isinstance(cached, str):
            return None
        folder, where = Path(cached).parent, "is in the hub's cache"
    find_model(
        settings.model_copy(update={"name": str(folder), "remote_code": _allowed(settings, folder)}), lambda _: None
    )
    return _Weights(where=where, parameters=sum(map(_parameters, folder.glob("*.safetensors"))))


def _allowed(settings: ModelSettings, folder: Path) -> Sequence[str]:
    return (str(folder),) if settings.name in settings.remote_code else ()


def _on_the_hub(settings: ModelSettings) -> _Weights:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = HfApi().model_info(settings.name, revision=settings.revision or None, timeout=HUB_SECONDS)
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelError(
            f"the hub of Hugging Face does not give {settings.name} to you ({type(error).__name__}); correct model.name or "
            "model.revision, or accept its licence there and set HF_TOKEN"
        ) from error
    except Exception as error:  # of the several HTTP libraries that huggingface_hub has used
        raise ModelError(
            f"{settings.name} is neither a folder nor in the hub's cache, and the hub cannot be reached "
            f"({type(error).__name__}); check the network, or copy the model's files and set model.name to their folder"
        ) from error
    if info.safetensors is None:
        raise ModelError(f"{settings.name} has no *.safetensors on the hub; take another model")
    return _Weights(where="will be downloaded from the hub", parameters=info.safetensors.total)


def _parameters(file: Path) -> int:
    """From the header of a safetensors file: eight bytes with its length, then JSON with the shape of each tensor."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        try:
            header: dict[str, Any] = json.loads(stream.read(min(length, 100_000_000)))
            return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{file} is no safetensors file; copy it again, its download may have broken off"
            ) from error


def _memory(device: Any) -> int:
    """Bytes of a GPU, or of this machine as far as this process may use it."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    said = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(total, int(said)) if said.isdigit() else total
