"""What every lease promises: one owner at a time, none for ever, and nobody ends another's."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from rag.errors import StoreUnavailable
from rag.store.client import connect
from rag.store.lease import LEASE_FUNCTIONS, Lease

KEY = "lease"
SECONDS = 60.0
PATIENCE = 30.0


@dataclass(slots=True)
class Clock:
    """A clock of one process that only moves when it is set."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def lease(redis: Redis, *, clock: Clock | None = None, seconds: float = SECONDS) -> Lease:
    """One process's end of it."""
    return Lease(redis, KEY, seconds=seconds, right="testing", clock=clock or Clock())


async def run_out(redis: Redis) -> None:
    """As if its time were over."""
    assert await redis.pexpire(KEY, 0)


async def test_who_acquired_it_may_act_and_another_is_refused(redis: Redis) -> None:
    first, second = lease(redis), lease(redis)
    assert not first.valid
    assert await first.acquire()
    assert not await second.acquire()
    assert (first.valid, second.valid) == (True, False)


async def test_of_many_that_ask_at_once_one_gets_it(redis: Redis) -> None:
    leases = [lease(redis) for _ in range(20)]
    got = await asyncio.gather(*(each.acquire() for each in leases))
    assert got.count(True) == 1
    assert [each.valid for each in leases] == got


async def test_acquiring_again_keeps_it_as_a_repeated_command_would(redis: Redis) -> None:
    mine = lease(redis)
    assert await mine.acquire()
    await redis.pexpire(KEY, 1000)
    assert await mine.acquire()
    assert 1000 < await redis.pttl(KEY) <= SECONDS * 1000


async def test_renewing_gives_it_its_whole_time_again(redis: Redis) -> None:
    mine = lease(redis)
    await mine.acquire()
    await redis.pexpire(KEY, 1000)
    assert await mine.renew()
    assert 1000 < await redis.pttl(KEY) <= SECONDS * 1000


async def test_one_that_ran_out_is_taken_over_and_its_former_owner_learns_it(redis: Redis) -> None:
    first, second = lease(redis), lease(redis)
    await first.acquire()
    await run_out(redis)
    assert await second.acquire()
    assert not await first.renew()
    assert (first.valid, second.valid) == (False, True)


async def test_one_that_ran_out_is_not_renewed_even_if_nobody_took_it(redis: Redis) -> None:
    mine = lease(redis)
    await mine.acquire()
    await run_out(redis)
    assert not await mine.renew()
    assert not mine.valid
    assert await redis.exists(KEY) == 0


async def test_only_its_owner_releases_it(redis: Redis) -> None:
    first, second = lease(redis), lease(redis)
    await first.acquire()
    assert not await second.release()
    assert not await second.acquire()
    assert await first.release()
    assert not first.valid
    assert await second.acquire()


async def test_a_former_owner_does_not_release_what_another_took_over(redis: Redis) -> None:
    first, second = lease(redis), lease(redis)
    await first.acquire()
    await run_out(redis)
    await second.acquire()
    assert not await first.release()
    assert await second.renew()


async def test_it_ends_by_its_owners_clock_when_redis_cannot_be_asked(redis: Redis) -> None:
    clock = Clock()
    mine = lease(redis, clock=clock)
    await mine.acquire()
    clock.now += SECONDS - 1
    assert mine.valid
    clock.now += 1
    assert not mine.valid


async def test_its_time_counts_from_before_redis_was_asked(redis: Redis) -> None:
    ticks = iter((0.0, SECONDS - 1, SECONDS))
    mine = Lease(redis, KEY, seconds=SECONDS, right="testing", clock=lambda: next(ticks))
    await mine.acquire()
    assert (mine.valid, mine.valid) == (True, False)


async def test_ensuring_asks_redis_only_after_a_third_of_the_time(redis: Redis) -> None:
    clock = Clock()
    mine = lease(redis, clock=clock)
    assert await mine.ensure()
    await run_out(redis)
    clock.now += SECONDS / 3 - 1
    assert await mine.ensure()
    assert await redis.exists(KEY) == 0
    clock.now += 1
    assert await mine.ensure()
    assert await redis.exists(KEY) == 1


async def test_ensuring_is_refused_while_another_owns_it(redis: Redis) -> None:
    await lease(redis).acquire()
    assert not await lease(redis).ensure()


async def test_without_redis_each_step_says_so_and_nothing_is_valid() -> None:
    async with connect("unix:///nowhere/redis.sock") as nobody:
        mine = lease(nobody)
        for step in (mine.acquire, mine.renew, mine.ensure, mine.release):
            with pytest.raises(StoreUnavailable, match="the lease of testing"):
                await step()
    assert not mine.valid


async def test_a_renewal_that_redis_could_not_do_leaves_the_rest_of_its_time(redis: Redis) -> None:
    clock = Clock()
    mine = lease(redis, clock=clock)
    await mine.acquire()
    await redis.delete(KEY)
    await redis.lpush(KEY, "of a type that every step fails on")
    with pytest.raises(StoreUnavailable, match="was not renewed"):
        await mine.renew()
    assert mine.valid
    clock.now += SECONDS
    assert not mine.valid


async def test_who_waits_for_it_gets_it_when_it_is_released(redis: Redis) -> None:
    first = lease(redis)
    await first.acquire()
    waiting = Lease(redis, KEY, seconds=0.4, right="waiting")
    entered = asyncio.Event()

    async def enter() -> None:
        async with waiting.hold():
            entered.set()

    entering = asyncio.create_task(enter())
    assert await first.renew()
    assert not entered.is_set()
    await first.release()
    async with asyncio.timeout(PATIENCE):
        await entering
    assert not waiting.valid
    assert await redis.exists(KEY) == 0


async def test_while_it_is_held_it_is_renewed(redis: Redis) -> None:
    mine = lease(redis, seconds=0.4)
    async with mine.hold(), asyncio.timeout(PATIENCE):
        await redis.pexpire(KEY, 60_000)
        while await redis.pttl(KEY) > 400:  # until a renewal has set its own time
            pass
        assert mine.valid


async def test_who_lost_it_while_holding_it_learns_it_and_leaves_the_new_owner_alone(redis: Redis) -> None:
    mine, another = lease(redis, seconds=0.4), lease(redis)
    async with mine.hold(), asyncio.timeout(PATIENCE):
        await redis.delete(KEY)
        assert await another.acquire()
        while mine.valid:
            await redis.ping()
    assert await another.renew()


async def test_the_lease_of_a_killed_owner_runs_out_and_is_taken_over(redis: Redis, redis_url: str) -> None:
    command = (sys.executable, "-m", "tests.rag.store.lease_owner", redis_url, KEY, str(SECONDS))
    owner = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    assert await owner.stdout.readline() == b"held\n"
    mine = lease(redis)
    assert not await mine.acquire()
    owner.kill()
    await owner.wait()
    assert not await mine.acquire()
    assert 0 < await redis.pttl(KEY) <= SECONDS * 1000
    await run_out(redis)
    assert await mine.acquire()


async def test_a_script_checks_the_owner_in_the_same_step_as_it_writes(redis: Redis) -> None:
    checked = "if not owns_lease(KEYS[1], ARGV[1]) then return 0 end"
    write = redis.register_script(f"{LEASE_FUNCTIONS} {checked} redis.call('SET', KEYS[2], ARGV[2]) return 1")
    await lease(redis).acquire()
    token = await redis.get(KEY)
    assert isinstance(token, bytes)
    assert await write(keys=[KEY, "written"], args=["another's", "no"]) == 0
    assert await write(keys=[KEY, "written"], args=[token, "yes"]) == 1
    await run_out(redis)
    assert await write(keys=[KEY, "written"], args=[token, "too late"]) == 0
    assert await redis.get("written") == b"yes"
