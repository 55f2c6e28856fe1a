"""Finds a model's files in a folder, or downloads them from the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rag.errors import ModelError, ModelUnavailable
from rag.settings import ModelSettings

_FILES = ("*.json", "*.safetensors", "*.model", "*.jinja", "merges.txt", "vocab.txt")
# The same weights in other formats, which would only cost time and disk space.
_OTHER_FORMATS = ("original/*", "consolidated*", "onnx/*", "openvino/*", "gguf/*")


def find_model(settings: ModelSettings, progress: Callable[[str], None]) -> Path:
    """The folder with a model's files; downloads them if they are not in the cache. Blocks. Raises ``ModelError``."""
    folder = Path(settings.name).expanduser()
    if not folder.is_dir():
        _check_name(settings.name)
        folder = _download(settings, progress)
    _check_weights(folder, settings.name)
    _check_code(folder, settings)
    return folder


def _check_name(name: str) -> None:
    """Raises ``ModelError`` for a name that is no hub name: it was meant as a folder, and that is missing."""
    if name.count("/") > 1 or name.startswith((".", "/", "~")) or "\\" in name:
        raise ModelError(f"model.name: there is no folder {name}")


def _download(settings: ModelSettings, progress: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download

    code = ("*.py",) if settings.name in settings.remote_code else ()
    progress(f"Looking for {settings.name} on the hub of Hugging Face, or in its cache")
    try:
        return Path(
            snapshot_download(
                settings.name,
                revision=settings.revision or None,
                allow_patterns=[*_FILES, *code],
                ignore_patterns=list(_OTHER_FORMATS),
            )
        )
    except Exception as exc:
        raise _download_error(settings, exc) from exc


def _download_error(settings: ModelSettings, exc: Exception) -> ModelError:
    from huggingface_hub import errors

    name = settings.name
    at = f" at revision {settings.revision}" if settings.revision else ""
    if isinstance(exc, errors.GatedRepoError):
        return ModelError(f"the model {name} needs its licence accepted on huggingface.co, and then HF_TOKEN set")
    if isinstance(exc, errors.RevisionNotFoundError):
        return ModelError(f"the model {name} has no revision {settings.revision}; see model.revision")
    if isinstance(exc, errors.RepositoryNotFoundError | errors.HFValidationError):
        return ModelError(f"model.name: there is neither a folder {name} nor a public model of that name on the hub")
    return ModelUnavailable(
        f"the model {name}{at} is neither a folder here nor in the hub's cache, and the hub cannot be reached "
        f"({type(exc).__name__}); check the network, or copy the model's files and set model.name to their folder"
    )


def _check_weights(folder: Path, name: str) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"model.name: {name} has no config.json; it must hold a model as transformers saves it")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"the model {name} has no *.safetensors; other formats can run code when they are read. "
            "Convert it (save_pretrained writes safetensors) or take another"
        )


def _check_code(folder: Path, settings: ModelSettings) -> None:
    """Raises ``ModelError`` for a model with Python code of its own, unless ``model.remote_code`` names it."""
    if settings.name in settings.remote_code:
        return
    if any("auto_map" in _read(folder / file) for file in ("config.json", "tokenizer_config.json")):
        raise ModelError(
            f"the model {settings.name} runs Python code of its own; if you trust it, add its name to model.remote_code"
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as exc:
        raise ModelError(f"{file} is not JSON: {exc}") from exc
    return content if isinstance(content, dict) else {}
