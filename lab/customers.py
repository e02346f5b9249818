"""Who answers: a persona becomes the called side of a call.

Decides: how a persona's habits become a part in a call. Refuses to know: how the call is carried, and everything about the bot
but what the customer's ear understood.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lab import template
from lab.call import SILENCE, Part
from lab.floor import Endpointing, Manners
from lab.persona import Mind, Persona
from lab.ports import ToolCall

ENDPOINTING, BARGE_IN = 0.8, 0.9
"""Seconds. A customer waits a little longer than a bot before it answers, and gives way a little later."""


class Customer:
    """A persona on the telephone for one call. `told` fills with the names of the reactions it came to give.

    doing: what follows the words of a reaction, by its name; see `lab.call.NOISE` and `SILENCE`.
    """

    def __init__(
        self, persona: Persona, seed: int = 0, doing: Mapping[str, Sequence[ToolCall]] = MappingProxyType({})
    ) -> None:
        self.persona = persona
        self._doing = doing
        self._pauses = random.Random(seed)
        spread = persona.varies.rate * (2 * random.Random(f"rate {seed}").random() - 1)
        rate = min(2.0, max(0.5, round(persona.voice.rate * (1 + spread), 3)))
        self.voice = persona.voice.model_copy(update={"rate": rate})
        """How this call's customer sounds."""
        self.told: list[str] = []
        self._mind = Mind(persona, seed)

    def answer(self, heard: str) -> list[str | ToolCall]:
        """What to say to what was heard, and what to do then."""
        answer = self._mind.answer(heard)
        if answer.reaction:
            self.told.append(answer.reaction)
        return [*self._paused(answer.pieces), *self._doing.get(answer.reaction or "", ())]

    def _paused(self, pieces: list[str | ToolCall]) -> list[str | ToolCall]:
        """`pieces` with pauses before and within what is said, where the persona makes them."""
        longest = self.persona.varies.pauses
        if not longest:
            return pieces
        made: list[str | ToolCall] = []
        for piece in pieces:
            parts = re.split(r"(?<=[,.;]) ", piece) if isinstance(piece, str) else [piece]
            for index, part in enumerate(parts):
                seconds = round(longest * self._pauses.random() * (1.0 if index == 0 else 0.5), 2)
                if isinstance(part, str):
                    made.append(ToolCall(SILENCE, {"seconds": seconds}))
                made.append(part)
        return made

    def part(self) -> Part:
        persona = self.persona
        return Part(
            me="customer",
            opening=template.render(persona.greeting, persona.values()).text if persona.greeting else None,
            manners=Manners(
                endpointing=Endpointing.fixed(ENDPOINTING),
                barge_in=BARGE_IN,
                words=False,
                ask_again_after=persona.patience,
                ask_again_times=2,
                dead_air=3 * persona.patience,
            ),
            ask_again=(template.render(persona.impatient, persona.values()).text,) * 2,
            answers_after=persona.answers_after,
            linger=0.3,
            whole_lines=True,
        )
