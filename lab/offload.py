"""Our only threads: makes a blocking engine an async iterator.

Decides: where an engine's generator runs and how it is stopped. Refuses to know: what it computes.

A generator is created, driven and closed by one thread. Stopping sets a flag that the engine looks at; the thread then
closes the generator itself, and nobody waits for it on the call's path.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TypeVar, cast

from lab.pace import Pace
from lab.ports import Priced, Stop

T = TypeVar("T")

_POOL = ThreadPoolExecutor(max_workers=16, thread_name_prefix="engine")
_INLINE = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inline")
"""Under `fixed` the loop waits while this thread computes: an engine may then run an event loop of its own."""
_END = object()


async def stream(make: Callable[[Stop], Iterator[T]], pace: Pace, *stages: str) -> AsyncGenerator[T, None]:
    """The items of `make(stop)` as they come.

    stages: what the first, second, … item is charged as under `fixed`; the last name holds for all that follow. An iterator
    that is `Priced` is charged what it says.
    Leaving the iterator, for whatever reason, sets `stop`. Use `contextlib.aclosing` around it. Raises what the engine raises.
    """
    stop = threading.Event()
    try:
        if pace.inline:
            items = _INLINE.submit(lambda: _Closable(make(stop))).result()
            try:
                for index in itertools.count():
                    item = _INLINE.submit(next, items, _END).result()
                    if item is _END:
                        return
                    if items.cost is None:
                        await pace.charge(stages[min(index, len(stages) - 1)])
                    else:
                        await asyncio.sleep(items.cost)
                    yield cast(T, item)
            finally:
                _INLINE.submit(items.close).result()
        queue: asyncio.Queue[object] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        working = ExitStack()

        def tell(action: Callable[..., None], *values: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(action, *values)

        def finish(end: object) -> None:
            """In one step: between them call time would leap past an end that nobody has seen."""
            queue.put_nowait(end)
            working.close()

        def drive() -> None:
            end: object = _END
            try:
                with closing(_Closable(make(stop))) as items:
                    for item in items:
                        if stop.is_set():
                            break
                        tell(queue.put_nowait, item)
            except BaseException as error:  # noqa: BLE001 - handed over: raised again where the items are awaited
                end = error
            tell(finish, end)

        working.enter_context(pace.work())
        _POOL.submit(drive)
        while (got := await queue.get()) is not _END:
            if isinstance(got, BaseException):
                raise got
            yield cast(T, got)  # only drive() puts, and else it puts T
    finally:
        stop.set()


async def call(make: Callable[[Stop], T], pace: Pace, stage: str) -> T:
    """One blocking call's result, under the same rules as `stream`."""

    def once(stop: Stop) -> Iterator[T]:
        yield make(stop)

    result: list[T] = [item async for item in stream(once, pace, stage)]
    return result[0]


class _Closable(Iterator[T]):
    """Engines are generators and can be closed; a script's plain iterator need not be."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items

    def __next__(self) -> T:
        return next(self._items)

    @property
    def cost(self) -> float | None:
        return self._items.cost if isinstance(self._items, Priced) else None

    def close(self) -> None:
        close = getattr(self._items, "close", None)
        if close is not None:
            close()
