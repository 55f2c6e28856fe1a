"""What cannot be loaded is told in one line that names it and says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rag.errors import ModelError
from rag.models.local.deferred import load_local
from rag.models.local.devices import choose_device, choose_dtype
from rag.models.local.loading import load
from rag.models.processor import bfloat16_is_fast
from rag.settings import ModelSettings
from tests.rag.tiny_models import byte_tokenizer, quiet, save_model, settings_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model")


def _edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _as_pickle(folder: Path) -> None:
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "only a pickle": (_as_pickle, r"has no \*\.safetensors; other formats can run code"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), r"the tokenizer in .* cannot be loaded"),
    "no chat template": (_without_template, r"has no chat template, so it cannot hold a conversation"),
    "code of its own": (
        lambda folder: _edit(folder / "config.json", auto_map={"AutoConfig": "x.X"}),
        r"runs Python code of its own; if you trust it, add its name to model\.remote_code",
    ),
    "an unknown architecture": (
        lambda folder: _edit(folder / "config.json", model_type="parrot"),
        r"cannot be loaded: .*parrot",
    ),
    "half a file": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 100),
        r"the model in .* cannot be loaded",
    ),
    "a configuration that is no JSON": (lambda folder: (folder / "config.json").write_text("{"), r"is not JSON"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_folder_that_holds_no_model_is_told_apart(damage: str, folder: Path) -> None:
    change, told = DAMAGE[damage]
    change(folder)
    with pytest.raises(ModelError, match=told) as error:
        load(settings_of(folder), quiet)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["./absent", "/no/such/folder", "~/nobody/has/this", "one/two/three"])
def test_a_path_that_is_not_there_is_no_name_of_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match=f"there is no folder {name}"):
        load(ModelSettings(kind="transformers", name=name), quiet)


def test_a_hub_that_cannot_be_reached_is_told_with_what_to_do(free_port: int, tmp_path: Path) -> None:
    """In a process of its own: the hub's client reads its address once."""
    program = (
        "import asyncio\n"
        "from rag.errors import ModelUnavailable\n"
        "from rag.models.local.deferred import load_local\n"
        "from rag.settings import ModelSettings\n"
        "try:\n"
        "    asyncio.run(load_local(ModelSettings(kind='transformers', name='Qwen/Qwen3-1.7B'), print))\n"
        "except ModelUnavailable as error:\n"
        "    print('TOLD', error)\n"
    )
    environment = {"HF_ENDPOINT": f"http://127.0.0.1:{free_port}", "HF_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("TOLD")]
    assert told, done.stderr
    assert "Qwen/Qwen3-1.7B is neither a folder here nor in the hub's cache" in told[0]
    assert "set model.name to their folder" in told[0]


async def test_what_loads_is_told_with_device_and_numbers(folder: Path) -> None:
    told: list[str] = []
    model = await load_local(settings_of(folder, dtype="bfloat16", window=4096), told.append)
    facts = await model.check()
    await model.close()
    assert any("(bfloat16 on cpu)" in line for line in told)
    assert facts["dtype"] == "bfloat16"
    assert facts["device"] == "cpu"
    assert facts["window"] == "512 tokens"  # the model's own, which is smaller


def test_numbers_are_half_as_long_only_where_the_processor_computes_with_them() -> None:
    chosen = choose_dtype("auto", torch.device("cpu"))
    assert chosen is (torch.bfloat16 if bfloat16_is_fast() else torch.float32)
    assert choose_dtype("float16", torch.device("cpu")) is torch.float16


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    assert choose_device("auto").type in ("cpu", "mps")
    with pytest.raises(ModelError, match=r'model.device = "cuda:0": there are 0 such GPUs'):
        choose_device("cuda:0")


def test_importing_the_package_brings_neither_torch_nor_transformers() -> None:
    program = "import sys, rag.models.local.deferred; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_several_shards_are_one_model(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = save_model(tmp_path / "model")
    sharded = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(sharded, max_shard_size="50KB")
    byte_tokenizer().save_pretrained(sharded)
    assert len(list(sharded.glob("*.safetensors"))) > 1
    ids = torch.arange(20)[None]
    one, other = (load(settings_of(path), quiet).network.model(input_ids=ids).logits for path in (folder, sharded))
    assert torch.equal(one, other)
