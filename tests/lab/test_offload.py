"""A blocking engine as an async iterator: in order, stoppable, closed where it ran, honest about its errors."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from lab.errors import ModelError
from lab.offload import call, stream
from lab.pace import Pace, PaceName
from lab.ports import Stop

PATIENCE = 10.0
every_pace = pytest.mark.parametrize("name", ["real", "fast", "fixed"])


@dataclass
class Engine:
    """Counts up, and keeps in mind who did what to it."""

    items: int = 5
    error: Exception | None = None
    threads: set[int] = field(default_factory=set)
    closed_by: int | None = None
    stopped: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, stop: Stop) -> Iterator[int]:
        try:
            for item in range(self.items):
                self.threads.add(threading.get_ident())
                yield item
            if self.error:
                raise self.error
        finally:
            self.closed_by, self.stopped = threading.get_ident(), stop.is_set()
            self.over.set()


async def collect(make: Callable[[Stop], Iterator[int]], pace: Pace) -> list[int]:
    async with aclosing(stream(make, pace, "llm_first", "llm")) as items:
        return [item async for item in items]


@every_pace
def test_items_come_in_order(name: PaceName) -> None:
    pace = Pace(name)
    assert pace.run(lambda: collect(Engine(items=2000 if name != "fixed" else 200).run, pace))[:3] == [0, 1, 2]
    assert pace.run(lambda: collect(Engine().run, pace)) == [0, 1, 2, 3, 4]
    assert pace.run(lambda: collect(Engine(items=0).run, pace)) == []


@every_pace
def test_a_plain_iterator_will_do(name: PaceName) -> None:
    pace = Pace(name)
    assert pace.run(lambda: collect(lambda stop: iter([1, 2]), pace)) == [1, 2]


@every_pace
def test_an_error_reaches_the_consumer_after_the_items_before_it(name: PaceName) -> None:
    pace, engine, got = Pace(name), Engine(items=2, error=ModelError("it broke")), []

    async def main() -> None:
        async with aclosing(stream(engine.run, pace, "stt")) as items:
            async for item in items:
                got.append(item)

    with pytest.raises(ModelError, match="it broke"):
        pace.run(main)
    assert got == [0, 1]


@every_pace
def test_an_engine_that_cannot_even_begin_says_so(name: PaceName) -> None:
    def broken(stop: Stop) -> Iterator[int]:
        raise ModelError("no such file")

    pace = Pace(name)
    with pytest.raises(ModelError, match="no such file"):
        pace.run(lambda: collect(broken, pace))


@every_pace
def test_one_thread_makes_drives_and_closes_a_generator(name: PaceName) -> None:
    pace, engine = Pace(name), Engine()
    pace.run(lambda: collect(engine.run, pace))
    assert engine.over.wait(PATIENCE)
    assert engine.threads == {engine.closed_by}
    assert engine.closed_by != threading.get_ident()


@pytest.mark.parametrize("name", ["real", "fast"])
def test_leaving_early_stops_the_engine_without_waiting_for_it(name: PaceName) -> None:
    pace, left, engine = Pace(name), threading.Event(), Engine()

    def slow(stop: Stop) -> Iterator[int]:
        for item in engine.run(stop):
            yield item
            left.wait(PATIENCE)  # computing the second item takes as long as the consumer stays

    async def main() -> int:
        async with aclosing(stream(slow, pace, "llm")) as items:
            async for item in items:
                return item
        raise AssertionError

    assert pace.run(main) == 0
    assert not engine.over.is_set()
    left.set()
    assert engine.over.wait(PATIENCE)
    assert engine.stopped
    assert engine.threads == {engine.closed_by}


@pytest.mark.parametrize("name", ["real", "fast"])
def test_cancelling_stops_the_engine(name: PaceName) -> None:
    pace, engine, under_way = Pace(name), Engine(), threading.Event()

    def endless(stop: Stop) -> Iterator[int]:
        yield from engine.run(stop)
        under_way.set()
        while not stop.is_set():
            threading.Event().wait(0.01)
        engine.stopped = True
        engine.over.set()

    async def main() -> None:
        task = asyncio.ensure_future(collect(endless, pace))
        await asyncio.to_thread(under_way.wait, PATIENCE)
        engine.over.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    pace.run(main)
    assert engine.over.wait(PATIENCE)
    assert engine.stopped


def test_leaving_early_closes_an_engine_that_runs_inline() -> None:
    pace, engine = Pace("fixed"), Engine()

    async def main() -> int:
        async with aclosing(stream(engine.run, pace, "llm")) as items:
            async for item in items:
                return item
        raise AssertionError

    assert pace.run(main) == 0
    assert engine.over.is_set()


def test_fixed_shows_each_item_exactly_when_it_is_paid_for() -> None:
    pace = Pace("fixed", {"llm_first": 0.5, "llm": 0.25})

    async def main() -> list[float]:
        async with aclosing(stream(Engine(items=3).run, pace, "llm_first", "llm")) as items:
            return [pace.now() async for _ in items]

    assert pace.run(main) == [0.5, 0.75, 1.0]


def test_fast_lets_thinking_cost_what_it_costs_and_waiting_nothing() -> None:
    pace = Pace("fast")

    def thinks(stop: Stop) -> Iterator[int]:
        threading.Event().wait(0.1)
        yield 1

    async def main() -> tuple[float, float]:
        began = pace.now()
        await collect(thinks, pace)
        thought = pace.now()
        await asyncio.sleep(60)
        return thought - began, pace.now() - thought

    thought, waited = pace.run(main)
    assert 0.08 < thought < 5
    assert waited == 60


def test_fast_does_not_wait_for_an_engine_that_has_finished() -> None:
    pace, engine = Pace("fast"), Engine(items=2)

    async def main() -> float:
        began = pace.now()
        async with aclosing(stream(engine.run, pace, "llm")) as items:
            async for _ in items:
                await asyncio.to_thread(engine.over.wait, PATIENCE)
                await asyncio.sleep(3)
        return pace.now() - began

    wall = time.monotonic()
    assert pace.run(main) >= 6
    assert time.monotonic() - wall < 3


@every_pace
def test_one_blocking_call(name: PaceName) -> None:
    pace = Pace(name, {"load": 2.0})

    async def main() -> tuple[str, float]:
        began = pace.now()
        return await call(lambda stop: "ready", pace, "load"), pace.now() - began

    result, took = pace.run(main)
    assert result == "ready"
    assert took == 2.0 if name == "fixed" else took < 1.0
