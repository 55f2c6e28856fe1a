"""``python -m tests.models FOLDER`` builds the test model there, for trying things by hand (``make run MODEL=FOLDER``)."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.models.building import build
from tests.models.judging import judge

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.models FOLDER")
    # Matrices this small: on two busy cores two threads took 640 s, where one takes 180.
    torch.set_num_threads(1)
    folder, started = Path(sys.argv[1]), perf_counter()
    build(folder)
    print(f"Built in {perf_counter() - started:.0f} s")
    print(judge(AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)))
