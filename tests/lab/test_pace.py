"""Call time: leaping, charged, or passing with the clock on the wall."""

from __future__ import annotations

import asyncio
import time

import pytest

from lab.pace import DEFAULT_COSTS, Pace, VirtualLoop


@pytest.mark.parametrize("name", ["fast", "fixed"])
def test_an_hour_of_waiting_costs_nothing(name: str) -> None:
    pace = Pace(name)  # type: ignore[arg-type]  # one test for both words

    async def main() -> float:
        began = pace.now()
        await asyncio.sleep(3600)
        return pace.now() - began

    wall = time.monotonic()
    assert pace.run(main) == 3600
    assert time.monotonic() - wall < 1


def test_timers_ring_in_order_each_at_its_moment() -> None:
    pace, rang = Pace("fixed"), []

    async def one(after: float) -> None:
        await asyncio.sleep(after)
        rang.append(round(pace.now(), 9))

    async def main() -> None:
        await asyncio.gather(one(3), one(0.5), one(0.02), one(100))

    pace.run(main)
    assert rang == [0.02, 0.5, 3, 100]


def test_twenty_thousand_frames_do_not_drift() -> None:
    pace = Pace("fixed")

    async def main() -> float:
        for index in range(20_000):
            await pace.until(index * 0.02)
        return pace.now()

    assert pace.run(main) == pytest.approx(19_999 * 0.02, abs=1e-6)


def test_until_a_moment_that_has_passed_returns_at_once() -> None:
    pace = Pace("fixed")

    async def main() -> float:
        await asyncio.sleep(5)
        await pace.until(3)
        return pace.now()

    assert pace.run(main) == 5


def test_fixed_charges_exactly_what_the_table_says() -> None:
    pace = Pace("fixed", {"stt": 0.25})

    async def main() -> list[float]:
        moments = [pace.now()]
        for stage in ("stt", "free", "stt"):
            await pace.charge(stage)
            moments.append(pace.now())
        return moments

    assert pace.run(main) == [0, 0.25, 0.25, 0.5]


def test_only_fixed_runs_engines_inline() -> None:
    assert [Pace(name).inline for name in ("real", "fast", "fixed")] == [False, False, True]


def test_each_pace_has_a_table_of_its_own() -> None:
    assert Pace().costs == DEFAULT_COSTS
    assert Pace().costs is not Pace().costs


def test_fast_passes_wall_time_while_something_computes() -> None:
    pace = Pace("fast")

    async def main() -> tuple[float, float, float]:
        await asyncio.sleep(100)
        began, wall = pace.now(), time.monotonic()
        with pace.work():
            await asyncio.to_thread(time.sleep, 0.1)
        worked, walled = pace.now() - began, time.monotonic() - wall
        before = pace.now()
        await asyncio.sleep(100)
        return worked, walled, pace.now() - before

    worked, walled, leapt = pace.run(main)
    assert 0.08 <= worked <= walled + 0.001
    assert leapt == 100


def test_fast_does_not_leap_over_work_that_is_under_way() -> None:
    pace = Pace("fast")

    async def main() -> list[str]:
        order = []

        async def work() -> None:
            with pace.work():
                await asyncio.to_thread(time.sleep, 0.05)
            order.append("work of 50 ms")

        async def wait() -> None:
            await asyncio.sleep(2.0)
            order.append("wait of 2 s")

        await asyncio.gather(work(), wait())
        return order

    wall = time.monotonic()
    assert pace.run(main) == ["work of 50 ms", "wait of 2 s"]
    assert time.monotonic() - wall < 1.5


def test_a_thread_wakes_the_loop_even_when_it_has_no_timer() -> None:
    async def main() -> int:
        return await asyncio.to_thread(lambda: 7)

    assert Pace("fast").run(main) == 7


def test_real_runs_on_the_ordinary_loop_and_clock() -> None:
    pace = Pace("real")

    async def main() -> tuple[bool, float]:
        began = time.monotonic()
        with pace.work():
            await pace.until(pace.now() + 0.03)
        return isinstance(asyncio.get_running_loop(), VirtualLoop), time.monotonic() - began

    virtual, took = pace.run(main)
    assert not virtual
    assert took >= 0.029
