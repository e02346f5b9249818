"""Latencies against the recordings: what is reported of each turn is what can be measured in the files by other means."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from callctl.commands.dial import prepare
from lab import events
from lab.pace import Pace, PaceName
from lab.record import CALL_WAV, EAR_WAV, EVENTS
from lab.runner import Carried, Lab
from lab.store import read_log

pytestmark = pytest.mark.sip

TOLERANCE = 0.040
BOT = """
name: echo
opening_message: Hello, this is Robin. How can I help you?
prompt: "-"
stt: {model: scripted}
llm:
  model: scripted
  options:
    reactions: [{name: bye, when: goodbye, say: Goodbye.}]
    otherwise: [I see. Please go on., "What else can I do for you, today or tomorrow?"]
tts: {voice: scripted}
"""
CUSTOMER = """
name: Kim
number: +12025550150
answers_after: 0.2s
reactions:
  - {name: first, when: help you, say: "Yes. I would like to come on Friday.", once: true}
  - {name: second, when: go on, say: "It is about my tooth, the left one.", once: true}
  - {name: bye, when: what else, say: "Nothing, goodbye."}
  - {name: end, when: goodbye, say: Bye., then: hang_up}
"""


def channels(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).astype(float) / 32768
    return both[:, 0], both[:, 1], rate


def sounding(sound: NDArray[np.float64], rate: int) -> list[tuple[float, float]]:
    """Stretches of sound over -45 dB with less than 0.25 s of quiet inside, seconds."""
    loud = np.flatnonzero(np.abs(sound) > 10 ** (-45 / 20))
    if not loud.size:
        return []
    cuts = np.flatnonzero(np.diff(loud) > 0.25 * rate)
    starts, ends = [loud[0], *loud[cuts + 1]], [*loud[cuts], loud[-1]]
    return [(start / rate, end / rate) for start, end in zip(starts, ends, strict=True)]


def gaps(path: Path) -> list[float]:
    """From the end of each stretch of the customer's to the next beginning of the bot's, where no other of either lies between."""
    customer, bot, rate = channels(path)
    theirs, ours = sounding(customer, rate), sounding(bot, rate)
    found = []
    for begin, _ in ours:
        before = [end for _, end in theirs if end < begin]
        if before and not any(before[-1] < other < begin for other, _ in ours):
            found.append(begin - before[-1])
    return found


@pytest.mark.parametrize(
    ("carried", "pace"), [("sip", "real"), ("sip", "fixed"), ("loop", "fixed")], ids=["real", "lockstep", "memory"]
)
def test_both_figures_of_every_turn_are_those_of_the_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carried: Carried, pace: PaceName
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "echo.yaml").write_text(BOT)
    (tmp_path / "kim.yaml").write_text(CUSTOMER)
    how = Pace(pace)

    async def call() -> str:
        plan = prepare("echo.yaml", persona="kim.yaml")
        async with Lab(plan.carrier, tmp_path / "recordings", pace=how, carried=carried) as lab:
            return (await lab.dial(plan.order)).session_id

    folder = tmp_path / "recordings" / how.run(call)
    log = read_log(folder / EVENTS)
    inside = [e.seconds for e in log if isinstance(e, events.ReplyGap)]
    ear = [e.seconds for e in log if isinstance(e, events.ReplyHeard)]
    assert len(inside) == len(ear) >= 2
    assert gaps(folder / CALL_WAV) == pytest.approx(inside, abs=TOLERANCE)
    assert gaps(folder / EAR_WAV) == pytest.approx(ear, abs=TOLERANCE)
    assert all(0.0 < there - here < 0.2 for here, there in zip(inside, ear, strict=True)), "the line takes its time"
