"""The list of orders is a part of each prompt: which words of a passage a model is shown hangs on it.

The golden cases hold a few of its wordings; this holds all of them, so that it cannot change under a VERSION.
"""

from __future__ import annotations

import hashlib
import inspect

from rag.prompts import order_phrases
from rag.prompts.instructions import VERSION

LISTS = {"1": "0cd6c01b10e3a94a5aab70f779f5132e588373ad6f15333d0a4529c2466d5db5"}
"""sha256 of the list's source, by prompt VERSION."""


def test_the_list_of_orders_is_the_one_of_its_version() -> None:
    digest = hashlib.sha256(inspect.getsource(order_phrases).encode()).hexdigest()

    assert digest == LISTS.get(VERSION), (
        f"{order_phrases.__name__} changed, and so may prompts: raise VERSION in rag/prompts/instructions.py and add "
        f'"{VERSION}": "{digest}" under the new number to LISTS, or take the change back'
    )
