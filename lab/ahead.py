"""Work begun before it is known whether it will be wanted.

Decides: how far such work goes on its own, and that nothing of it is lost or seen before somebody wants it. Refuses to know: what is
made, and by what it turns out to be wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """The items of a generator that runs in a task of its own, at once.

    enough:  of an item, whether it stops there until it is wanted
    decided: is set when it is wanted; what must not happen before may wait for it too

    Iterating means wanting it. Errors of the generator are raised where its items are taken. Needs a running event loop.
    """

    def __init__(self, items: AsyncGenerator[T, None], enough: Callable[[T], bool], decided: asyncio.Event) -> None:
        self._decided, self._items = decided, items
        self._made: asyncio.Queue[T | None] = asyncio.Queue()
        """None: there is no more."""
        self._working = asyncio.ensure_future(self._work(enough))

    async def _work(self, enough: Callable[[T], bool]) -> None:
        try:
            async with aclosing(self._items) as items:
                async for item in items:
                    self._made.put_nowait(item)
                    if enough(item):
                        await self._decided.wait()
        finally:
            self._made.put_nowait(None)

    def drop(self) -> None:
        """It is not wanted."""
        self._working.cancel()

    async def over(self) -> None:
        """Until nothing of it is at work any more, and whatever it had to itself is free."""
        await asyncio.wait({self._working})

    async def taken(self) -> AsyncGenerator[T, None]:
        """All of it, from the first item on. Leaving it stops the work; when it was dropped, what was made is all there is."""
        self._decided.set()
        try:
            while (item := await self._made.get()) is not None:
                yield item
            await self.over()
            if not self._working.cancelled() and (error := self._working.exception()) is not None:
                raise error
        finally:
            self._working.cancel()
