"""Checks of ``doctor`` on language models: the configured one, and local servers that could be configured."""

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
_MEMORY_FACTOR = 1.3
"""Needed memory as a multiple of the weights: caches of keys and values, and the activations of a step."""


async def examine_models(
    settings: ModelSettings, own_port: int, ports: Mapping[str, int] = USUAL_PORTS
) -> Sequence[Finding]:
    """Findings on the configured model; for quotes only, on servers in ``ports``, except ``own_port``, which is ours."""
    match settings.kind:
        case "openai":
            return await _servers(settings)
        case "transformers":
            return [await asyncio.to_thread(_local, settings)]
        case _:
            return await _unused_servers({name: port for name, port in ports.items() if port != own_port})


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


async def _unused_servers(ports: Mapping[str, int]) -> Sequence[Finding]:
    """Servers on this machine that could write the answers. None is chosen, and none gets a key or a text."""
    # trust_env off: a proxy in the environment must not see requests to this machine.
    async with httpx.AsyncClient(trust_env=False, timeout=PROBE_SECONDS) as client:
        listed = await asyncio.gather(*(_models_at(client, port) for port in ports.values()))
    return [
        _suggestion(name, port, models) for (name, port), models in zip(ports.items(), listed, strict=True) if models
    ]


def _suggestion(name: str, port: int, models: Sequence[str]) -> Finding:
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
                # Whatever listens on a usual port may stream for ever.
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
    """A model for this process; it is neither downloaded nor loaded."""
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
    needed = weights.parameters * dtype.itemsize * _MEMORY_FACTOR
    memory = _memory(device)
    numbers = f"{str(dtype).removeprefix('torch.')} on {device}, about {needed / 1e9:.1f} of {memory / 1e9:.1f} GB"
    return Finding(
        name="model",
        ok=needed <= memory,
        fact=f"{settings.name} {weights.where}: {numbers}",
        advice="" if needed <= memory else 'take a smaller model, set model.dtype = "bfloat16", or use a server',
    )


def _in_folder(settings: ModelSettings) -> _Weights | None:
    """The weights in a folder or in the hub's cache, or None. Raises ``ModelError`` for a folder without a model."""
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
        settings.model_copy(update={"name": str(folder), "remote_code": _remote_code(settings, folder)}), lambda _: None
    )
    return _Weights(where=where, parameters=sum(map(_parameters, folder.glob("*.safetensors"))))


def _remote_code(settings: ModelSettings, folder: Path) -> Sequence[str]:
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
    """Parameters by the header of a safetensors file: eight bytes with its length, then JSON with each tensor's shape."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        try:
            # The length is read from the file itself: a broken one could name any number.
            header: dict[str, Any] = json.loads(stream.read(min(length, 100_000_000)))
            return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{file} is no safetensors file; copy it again, its download may have broken off"
            ) from error


def _memory(device: Any) -> int:
    """Bytes of the GPU, or of the memory that this process may use."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # In a container the cgroup's limit counts, and sysconf tells the whole machine's memory.
    limit = Path("/sys/fs/cgroup/memory.max")
    limit_text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(total, int(limit_text)) if limit_text.isdigit() else total
