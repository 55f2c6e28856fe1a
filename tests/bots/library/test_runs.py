"""What is known of a source's syncs in Redis: requests get the next run, and a run that was taken over writes nothing more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bots.desk.seam import SyncedSource
from bots.errors import LeaseLost
from bots.keys import Keys
from bots.library.runs import Runs
from rag.errors import StoreUnavailable
from rag.store.client import connect
from tests.bots.knowledge_scene import Bookcase
from tests.waiting import until

REPORT = SyncedSource(source="kb", added=3, unchanged=4, skipped=(("a.md", "no UTF-8"),))


@pytest.fixture
def runs(redis: Redis, keys: Keys) -> Runs:
    return Runs(redis, keys)


async def test_a_run_serves_those_who_asked_before_it_began(runs: Runs) -> None:
    first = await runs.ask("kb")
    run = await runs.begin("kb")
    second = await runs.ask("kb")
    await runs.end(run, REPORT, "recipe")
    state = await runs.state("kb")
    assert first <= state.served < second
    assert (state.report, state.recipe, state.running, state.expected) == (REPORT, "recipe", False, 8)


async def test_a_failed_run_is_no_success_and_keeps_the_last_recipe(runs: Runs) -> None:
    await runs.end(await runs.begin("kb"), REPORT, "recipe")
    before = await runs.state("kb")
    await runs.end(await runs.begin("kb"), SyncedSource(source="kb", error="gone"), "")
    after = await runs.state("kb")
    assert (after.succeeded, after.recipe) == (before.succeeded, "recipe")
    assert after.report == SyncedSource(source="kb", error="gone")


async def test_progress_is_told_by_the_run_under_way_only(runs: Runs) -> None:
    dead = await runs.begin("kb")
    living = await runs.begin("kb")
    await runs.store_progress(living, done=5, total=9, passages=12)
    for late in (runs.store_progress(dead, done=1, total=1, passages=1), runs.end(dead, REPORT, "recipe")):
        with pytest.raises(LeaseLost):
            await late
    state = await runs.state("kb")
    assert (state.done, state.total, state.passages, state.running, state.report) == (5, 9, 12, True, None)


async def test_a_permission_to_shrink_outlives_a_run_that_died_and_ends_with_the_one_that_used_it(runs: Runs) -> None:
    await runs.ask("kb", allow_shrink=True)
    assert (await runs.begin("kb")).allow_shrink
    again = await runs.begin("kb")
    assert again.allow_shrink
    await runs.end(again, REPORT, "recipe")
    await runs.ask("kb")
    assert not (await runs.begin("kb")).allow_shrink


async def test_a_permission_given_during_a_run_is_the_next_ones(runs: Runs) -> None:
    run = await runs.begin("kb")
    await runs.ask("kb", allow_shrink=True)
    await runs.end(run, REPORT, "recipe")
    assert (await runs.begin("kb")).allow_shrink


async def test_starts_without_an_end_are_counted_but_for_those_that_were_stopped(runs: Runs) -> None:
    assert (await runs.begin("kb")).starts == 1
    second = await runs.begin("kb")
    assert second.starts == 2
    await runs.pause(second)
    third = await runs.begin("kb")
    assert third.starts == 2
    await runs.end(third, REPORT, "recipe")
    assert (await runs.begin("kb")).starts == 1


async def test_a_source_of_which_nothing_is_known_was_never_read(runs: Runs) -> None:
    await runs.end(await runs.begin("kb"), REPORT, "recipe")
    await runs.drop("kb")
    state = await runs.state("kb")
    assert (state.served, state.ended, state.report, state.expected) == (0, 0.0, None, 0)


async def test_a_redis_that_is_away_is_told_as_everywhere(keys: Keys) -> None:
    async with connect("unix:///nowhere/redis.sock") as nobody:
        with pytest.raises(StoreUnavailable):
            await Runs(nobody, keys).state("kb")


async def total(runs: Runs) -> int:
    return (await runs.state("kb")).total


async def test_a_reader_whose_run_was_taken_over_stops_and_leaves_the_report_to_the_other(
    redis: Redis, redis_url: str, keys: Keys, tmp_path: Path, runs: Runs
) -> None:
    held = asyncio.Event()

    async with Bookcase.opened(redis, redis_url, keys, tmp_path) as case:
        case.before_each_embedding = held.wait
        async with case.library(case.source("kb", "# A\n\nOne.")) as library:
            asking = asyncio.create_task(library.synced("kb"))
            await until(lambda: total(runs))
            other = await runs.begin("kb")
            await runs.ask("kb")
            await until(
                lambda: case.runs_begun == 2
            )  # the first one noticed, ended, and the waiting request began the next
            held.set()
            [report] = await asking
    assert report.error == ""
    with pytest.raises(LeaseLost):
        await runs.end(other, REPORT, "recipe")
