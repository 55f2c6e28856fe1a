"""The service with a language model in its process: Slack and the terminal get what it writes, checked and cited."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.bots.platforms.slack.scene import said
from tests.loopback.slack_delivery import callback
from tests.models.asking import SHOP
from tests.models.facts import FOLLOW_UPS, shop
from tests.models.trained import Trained
from tests.service.stage import Stage, complete, staged
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
PARCELS, PALLETS, LAMPS, LLAVES = (SHOP[subject] for subject in ("parcels", "pallets", "lamps", "las llaves"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    model = {"KIND": "transformers", "NAME": trained.name, "ANSWER_TOKENS": "64", "DEVICE": "cpu"}
    environ = {f"COTORRA_MODEL__{key}": value for key, value in model.items()}
    async with staged(tmp_path_factory.mktemp("model"), **environ) as stage:
        for fact in shop():
            (stage.folder / "docs" / f"{fact.title.lower()}.md").write_text(fact.page, encoding="utf-8")
        await stage.start()
        yield stage


async def test_slack_streams_what_the_model_writes_with_its_source(stage: Stage) -> None:
    message = await stage.answer(await stage.asks(PARCELS.question()))
    assert message.streamed
    assert message.body.strip() == f"{PARCELS.sentence} [1]"
    assert PARCELS.title in message.furniture[0]["elements"][0]["text"]


async def test_a_follow_up_in_a_thread_is_answered_by_the_model(stage: Stage) -> None:
    first = await stage.asks(PARCELS.question(), "D2")
    await stage.answer(first)
    follow_up = said(FOLLOW_UPS["en"][0].format(s=PALLETS.subject), channel="D2", thread_ts=first.ts)
    assert await stage.delivery.event(callback(follow_up)) == 200
    await until(lambda: len(stage.answers(first)) == 2 and complete(stage.answers(first)[1]))
    assert stage.answers(first)[1].body.strip() == f"{PALLETS.sentence} [1]"


async def test_the_log_names_the_model_that_wrote(stage: Stage, trained: Trained) -> None:
    sent = await stage.asks(LAMPS.question(), "D3")
    await stage.answer(sent)
    await stage.recorded()
    [turn] = await stage.shown(sent.conversation)
    assert trained.name in json.dumps(turn)


async def test_the_terminal_is_answered_by_the_model_in_spanish(stage: Stage) -> None:
    answer = json.loads(await stage.cotorra("ask", LLAVES.question(), "--json"))
    assert answer["text"].strip() == f"{LLAVES.sentence} [1]"
