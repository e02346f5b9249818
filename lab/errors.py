"""The one error tree. Each error says what happened, where, and what to do; the exit code is part of its kind.

Decides: the kinds and their exit codes. Refuses to know: how an error is shown (callctl/cli.py does, in one place).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class LabError(Exception):
    """Base of everything a user may meet.

    what:  one sentence, no full stop needed at the end
    where: file, file:line, dotted key or call id; None when there is no place
    hint:  what to do about it, one sentence; None when nothing can be done
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.hint = what, where, hint

    @property
    def problems(self) -> Sequence[LabError]:
        """What to tell, one by one: itself, unless it stands for several."""
        return [self]

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.what}{advice}"


class ExpectationFailed(LabError):
    """The call went as it could, and did not do what was expected of it."""

    exit_code = 1


class ConfigError(LabError):
    """Usage or configuration: something the user wrote is not usable."""

    exit_code = 2

    @property
    def problems(self) -> Sequence[ConfigError]:
        return [self]


class ConfigErrors(ConfigError):
    """Several things wrong in one file, all reported at once.

    problems: at least one ConfigError, in the file's order
    """

    def __init__(self, problems: list[ConfigError]) -> None:
        first = problems[0]
        super().__init__(first.what, where=first.where, hint=first.hint)
        self._problems = problems

    @property
    def problems(self) -> Sequence[ConfigError]:
        return self._problems

    def __str__(self) -> str:
        return "\n".join(str(p) for p in self.problems)


class InfrastructureError(LabError):
    """The machine, the network, a model or a peer is not in a state to do this."""

    exit_code = 3


class ModelError(InfrastructureError):
    """A model is missing, damaged or not what its name says."""


class LineError(InfrastructureError):
    """A call could not be carried: port taken, worker died, no media."""


class NotReliable(LabError):
    """A figure was asked for, and this machine could not measure it honestly just now."""

    exit_code = 4


class Interrupted(LabError):
    """The user asked to stop; what was under way has been ended politely."""

    exit_code = 130
