"""The lab's telephone network: which number rings at whose place.

Decides: the number plan, and what happens to calls for nobody. Refuses to know: who calls, and what is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypedDict

from lab.errors import ConfigError
from lab.lines.sip import IncomingCall, Softphone
from lab.persona import Persona

NOT_FOUND = 404


class PlanRow(TypedDict):
    """One row of the number plan."""

    number: str
    id: str
    does: str


class Carrier:
    """Connects the numbers of `personas` (id -> persona). Raises ConfigError when two have the same number."""

    def __init__(self, personas: Iterable[tuple[str, Persona]]) -> None:
        self._by_number: dict[str, tuple[str, Persona]] = {}
        for name, persona in personas:
            other = self._by_number.get(persona.number)
            if other:
                raise ConfigError(
                    f"{persona.number} is the number of both `{other[0]}` and `{name}`", hint="change one"
                )
            self._by_number[persona.number] = (name, persona)

    def who(self, number: str) -> Persona | None:
        """Who answers there; None for nobody."""
        found = self._by_number.get(number)
        return found[1] if found else None

    def plan(self) -> list[PlanRow]:
        """Every number that is connected, in order."""
        return [
            {"number": number, "id": name, "does": persona.description}
            for number, (name, persona) in sorted(self._by_number.items())
        ]

    async def serve(
        self, phone: Softphone, customer: Callable[[IncomingCall], Coroutine[Any, Any, None] | None]
    ) -> None:
        """Connect what comes in on `phone` until it is closed. customer: whoever takes this call; None for nobody.

        Each call is held in a task of its own.
        """
        async with asyncio.TaskGroup() as calls:
            while True:
                call = await phone.incoming()
                taking = customer(call)
                if taking is None:
                    call.line.hang_up(NOT_FOUND)
                else:
                    call.line.ring()
                    calls.create_task(taking)
