"""The service's documents: one source failing leaves the others alone, and nothing that happens here ends the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bots.desk.seam import SyncedSource, SyncProgress
from bots.errors import BotsError
from bots.keys import Keys
from bots.library.library import sources
from bots.library.runs import Runs
from rag.errors import IndexUnavailable
from rag.settings import KnowledgeSettings, SourceSettings
from tests.bots.knowledge_scene import Bookcase
from tests.rag.fakes import WordEmbeddings
from tests.waiting import until


@pytest.fixture
async def case(redis: Redis, redis_url: str, keys: Keys, tmp_path: Path) -> AsyncIterator[Bookcase]:
    """One process on an embedded index."""
    async with Bookcase.opened(redis, redis_url, keys, tmp_path) as case:
        yield case


async def test_a_sync_reports_every_source(case: Bookcase) -> None:
    async with case.library(case.source("a", "# A\n\nOne."), case.source("b", "# B\n\nTwo.", "# C\n\nThree.")) as both:
        reports = await both.synced()
        assert sorted((one.source, one.added, one.error) for one in reports) == [("a", 1, ""), ("b", 2, "")]
        assert [(one.source, one.added, one.unchanged) for one in await both.synced("b")] == [("b", 0, 2)]


async def test_a_source_that_is_gone_is_reported_and_the_others_are_read(case: Bookcase) -> None:
    gone = SourceSettings(name="gone", path=case.folder / "gone")
    async with case.library(gone, case.source("b", "# B\n\nTwo.")) as library:
        reports = {one.source: one for one in await library.synced()}
    assert str(case.folder / "gone") in reports["gone"].error
    assert (reports["b"].added, reports["b"].error) == (1, "")


async def test_what_a_source_left_behind_goes_when_it_is_no_longer_configured(case: Bookcase) -> None:
    old, kept = case.source("old", "# O\n\nOld."), case.source("kept", "# K\n\nKept.")
    (case.caches / "old").mkdir(parents=True)
    async with case.library(old, kept) as both:
        await both.synced()
    async with case.library(kept) as library:
        reports = await library.synced()
    assert [(one.source, one.removed) for one in reports] == [("kept", 0), ("old", 1)]
    assert await case.index.count() == 1
    assert not (case.caches / "old").exists()


async def test_an_unknown_name_is_one_line_that_names_the_known_ones(case: Bookcase) -> None:
    async with case.library(case.source("a", "# A\n\nOne.")) as library:
        with pytest.raises(BotsError, match="no knowledge source is called x; sources: a"):
            await library.synced("x")


async def test_without_any_source_the_line_says_what_to_add(case: Bookcase) -> None:
    async with case.library(checkout=case.folder / "elsewhere") as library:
        with pytest.raises(BotsError, match=r"add a \[\[knowledge.sources\]\] section"):
            await library.synced()


def test_without_configuration_the_handbook_is_known() -> None:
    assert [one.name for one in sources(KnowledgeSettings())] == ["handbook"]


async def test_an_index_that_goes_away_is_reported_and_ends_nothing(case: Bookcase) -> None:
    async def gone() -> None:
        raise IndexUnavailable("Qdrant does not answer")

    case.before_each_run = gone
    async with case.library(case.source("a", "# A\n\nOne.")) as library:
        assert {one.error for one in await library.synced("a")} == {"Qdrant does not answer"}


async def test_who_asks_while_a_sync_is_under_way_gets_the_next_one(case: Bookcase) -> None:
    """The page that was changed meanwhile is read: nobody is told of documents as they were before."""
    begun, may_go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await may_go_on.wait()

    pages = case.source("a", "# A\n\nOne.")
    async with case.library(pages) as library:
        await library.synced()
        case.before_each_run = hold
        first = asyncio.create_task(library.synced("a"))
        await begun.wait()
        events = library.sync("a")
        waiting = await anext(events)
        assert isinstance(waiting, SyncProgress)
        assert waiting.waiting
        may_go_on.set()
        case.source("a", "# A\n\nTwo.")
        [second] = [event async for event in events if isinstance(event, SyncedSource)]
        await first
    assert [passage.text for passage in await case.index.passages("a/0.md")] == ["Two."]
    assert second.added == 0


async def test_two_who_ask_at_once_are_served_by_one_more_run_at_most(case: Bookcase) -> None:
    async with case.library(case.source("a", "# A\n\nOne.")) as library:
        await asyncio.gather(*(library.synced("a") for _ in range(5)))
    assert case.runs_begun <= 2


async def test_a_sync_goes_on_when_who_asked_for_it_leaves(case: Bookcase, redis: Redis, keys: Keys) -> None:
    begun, may_go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await may_go_on.wait()

    async def succeeded() -> bool:
        return (await Runs(redis, keys).state("a")).succeeded > 0

    case.before_each_run = hold
    async with case.library(case.source("a", "# A\n\nOne.")) as library:
        asking = asyncio.create_task(library.synced("a"))
        await begun.wait()
        asking.cancel()
        may_go_on.set()
        await until(succeeded)
    assert await case.index.count() == 1


async def test_a_source_is_read_again_when_it_is_due(case: Bookcase) -> None:
    async def both_are_there() -> bool:
        return await case.index.count() == 2

    pages = case.source("a", "# A\n\nOne.")
    async with case.library(pages.model_copy(update={"every_minutes": 0.005})) as library:
        keeping = asyncio.create_task(library.keep_up())
        await until(case.index.count)
        case.source("a", "# A\n\nOne.", "# B\n\nTwo.")
        await until(both_are_there)
        keeping.cancel()


async def test_a_source_that_was_read_just_now_is_not_read_again_at_the_start(case: Bookcase) -> None:
    async with case.library(case.source("a", "# A\n\nOne."), every_minutes=0) as library:
        await library.synced()
        await library.keep_up(at_once=False)
    assert case.runs_begun == 1


async def test_among_other_processes_a_start_reads_only_what_may_have_changed(case: Bookcase) -> None:
    pages, other = case.source("a", "# A\n\nOne."), case.source("b", "# B\n\nTwo.")
    async with case.library(pages, other, every_minutes=0, shared=True) as library:
        await library.keep_up()
        assert case.runs_begun == 2
        await library.keep_up()
        assert case.runs_begun == 2
    restricted = pages.model_copy(update={"audience": "employees"})
    async with case.library(restricted, other, every_minutes=0, shared=True) as library:
        await library.keep_up()
    assert case.runs_begun == 3
    assert {each.audience for each in await case.index.passages("a/0.md")} == {"employees"}


async def test_a_start_removes_what_sources_left_behind(case: Bookcase) -> None:
    old, kept = case.source("old", "# O\n\nOld."), case.source("kept", "# K\n\nKept.")
    async with case.library(old, kept) as both:
        await both.synced()
    async with case.library(kept, every_minutes=0) as library:
        await library.keep_up()
    assert await case.index.sources() == {"kept"}


async def test_a_source_that_is_never_due_is_read_once(case: Bookcase) -> None:
    async with case.library(case.source("a", "# A\n\nOne."), every_minutes=0) as library:
        async with asyncio.timeout(20):
            await library.keep_up()
    assert case.runs_begun == 1


async def test_a_source_whose_reading_ends_the_process_again_and_again_is_left_alone(
    case: Bookcase, redis: Redis, keys: Keys
) -> None:
    for _ in range(3):
        await Runs(redis, keys).begin("a")
    async with case.library(case.source("a", "# A\n\nOne.")) as library:
        [given_up] = await library.synced("a")
        assert "the process ended 3 times in a row" in given_up.error
        assert [one.added for one in await library.synced("a")] == [1]


async def test_what_a_dead_process_was_reading_is_nothing_to_wait_for(case: Bookcase, redis: Redis, keys: Keys) -> None:
    await Runs(redis, keys).begin("a")
    async with case.library(case.source("a", "# A\n\nOne.")) as library:
        events = [event async for event in library.sync("a")]
    assert not [event for event in events if isinstance(event, SyncProgress) and event.waiting]
    assert [event.added for event in events if isinstance(event, SyncedSource)] == [1]


async def test_a_permission_to_shrink_holds_for_the_run_that_it_was_given_for(case: Bookcase) -> None:
    pages = [f"# Page {number}\n\nText." for number in range(12)]
    kept = case.source("a", *pages)
    async with case.library(kept) as library:
        await library.synced()
        for number in range(2, 12):
            (case.folder / "a" / f"{number}.md").unlink()
        [refused] = await library.synced("a")
        assert "--allow-shrink" in refused.error
        assert [one.removed for one in await library.synced("a", allow_shrink=True)] == [10]


async def test_another_model_serves_once_every_source_was_read_for_it(
    redis: Redis, redis_url: str, keys: Keys, tmp_path: Path
) -> None:
    class OtherEmbeddings(WordEmbeddings):
        name = "others"

    async with Bookcase.opened(redis, redis_url, keys, tmp_path) as case:
        both = case.source("a", "# A\n\nOne."), case.source("b", "# B\n\nTwo.")
        async with case.library(*both) as library:
            await library.synced()
    gone = SourceSettings(name="b", path=tmp_path / "gone")
    async with Bookcase.opened(redis, redis_url, keys, tmp_path, OtherEmbeddings()) as case:
        async with case.library(both[0], gone) as library:
            await library.synced()
            assert await case.served_by() == "words", "a source has failed"
        async with case.library(*both) as library:
            await library.synced()
            assert await case.served_by() == "others"
        assert await case.index.count() == 2


async def test_what_is_restricted_while_another_model_is_prepared_is_withdrawn_from_what_still_serves(
    redis: Redis, redis_url: str, keys: Keys, tmp_path: Path
) -> None:
    class OtherEmbeddings(WordEmbeddings):
        name = "others"

    async with Bookcase.opened(redis, redis_url, keys, tmp_path) as case:
        both = case.source("a", "# A\n\nOne."), case.source("b", "# B\n\nTwo.")
        async with case.library(*both) as library:
            await library.synced()
    restricted = both[0].model_copy(update={"audience": "employees"})
    gone = SourceSettings(name="b", path=tmp_path / "gone")
    async with Bookcase.opened(redis, redis_url, keys, tmp_path, OtherEmbeddings()) as case:
        async with case.library(restricted, gone) as library:
            await library.synced()
        serving = (await case.serving.pair())[1]
        assert await case.served_by() == "words"
        assert (await serving.passages("a/0.md"), len(await serving.passages("b/0.md"))) == ([], 1)


async def test_figures_tell_of_every_run(case: Bookcase) -> None:
    gone = SourceSettings(name="gone", path=case.folder / "gone")
    async with case.library(gone, case.source("b", "# B\n\nTwo.", "# C\n\nThree.")) as library:
        await library.synced()
    lines = case.figures()
    assert lines['cotorra_syncs_total{outcome="failed",source="gone"}'] == 1
    assert lines['cotorra_syncs_total{outcome="succeeded",source="b"}'] == 1
    assert lines['cotorra_documents_total{outcome="added",source="b"}'] == 2
    assert lines['cotorra_passages_written_total{source="b"}'] == 2
    assert lines['cotorra_sync_success_timestamp_seconds{source="b"}'] > 1e9
