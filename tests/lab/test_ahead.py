"""Work ahead of its being wanted: how far it goes, and that nothing of it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest

from lab.ahead import Ahead

made: list[int] = []


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    made.clear()
    asyncio.run(main())


async def numbers(most: int, fails_at: int = -1) -> AsyncGenerator[int, None]:
    try:
        for number in range(most):
            await asyncio.sleep(0)
            if number == fails_at:
                raise ValueError("out of numbers")
            made.append(number)
            yield number
    finally:
        made.append(-1)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def ahead(most: int, fails_at: int = -1) -> Ahead[int]:
    return Ahead(numbers(most, fails_at), lambda number: number == 2, asyncio.Event())


def test_it_goes_as_far_as_is_enough_and_on_when_it_is_wanted() -> None:
    async def main() -> None:
        work = ahead(6)
        await settle()
        assert made == [0, 1, 2]
        assert [number async for number in work.taken()] == [0, 1, 2, 3, 4, 5]

    run(main)


def test_what_was_all_made_is_all_given() -> None:
    async def main() -> None:
        work = ahead(2)
        await settle()
        assert made == [0, 1, -1]
        assert [number async for number in work.taken()] == [0, 1]

    run(main)


def test_what_is_not_wanted_stops_and_is_closed() -> None:
    async def main() -> None:
        work = ahead(6)
        await settle()
        work.drop()
        await settle()
        assert made == [0, 1, 2, -1]

    run(main)


def test_who_leaves_it_stops_it() -> None:
    async def main() -> None:
        taken = ahead(600).taken()
        assert await anext(taken) == 0
        await taken.aclose()
        await settle()
        assert made[-1] == -1
        assert len(made) < 500

    run(main)


def test_an_error_is_raised_behind_what_came_before_it() -> None:
    async def main() -> None:
        got = []

        async def take() -> None:
            async for number in ahead(6, fails_at=4).taken():
                got.append(number)

        with pytest.raises(ValueError, match="out of numbers"):
            await take()
        assert got == [0, 1, 2, 3]

    run(main)
