"""The bench's customer, and what becomes of its turns: calls in memory between scripted people."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import strict
from lab.bench import barge_in, latency
from lab.bench.barge_in import Item, Items
from lab.bench.latency import Judged, Turn
from lab.carrier import Carrier
from lab.pace import Pace
from lab.profile import Profile
from lab.runner import Lab

BOT = """
name: tones
opening_message: Hello, how can I help you?
prompt: "-"
stt: {model: scripted}
tts: {voice: scripted}
llm:
  model: scripted
  options: {reactions: [{name: none, when: "say nothing", say: "-"}], otherwise: That is so., gives_up_after: 99}
"""


def held(folder: Path, *turns: Turn, overrides: tuple[str, ...] = ()) -> tuple[list[Judged], dict[str, object]]:
    pace = Pace("fixed")
    bot = strict.parse(BOT, "bot", Profile, overrides=overrides)

    async def main() -> tuple[list[Judged], dict[str, object]]:
        async with Lab(Carrier([]), folder, pace=pace, carried="loop") as lab:
            return await latency.run(lab, bot, turns)

    return pace.run(main)


def turn(*said: str, pause: float = 0.0) -> Turn:
    return Turn(kind="question", say=said, pause=(pause,))


def test_the_shipped_turns_are_enough_and_of_all_kinds() -> None:
    turns = latency.turns()
    assert len(turns) >= 33
    assert {turn.kind for turn in turns} == {"question", "word", "correction", "number", "spelling", "pause"}
    assert latency.bot().flow is not None
    assert latency.bot(free=True).flow is None


def test_whole_answers_are_good(tmp_path: Path) -> None:
    judged, call = held(tmp_path, turn("When are you open?"), turn("And where?"))
    assert [one.verdict for one in judged] == ["good", "good"]
    assert [one.reply for one in judged] == ["That is so.", "That is so."]
    for one in judged:
        assert one.v2v is not None
        assert one.inside is not None
        assert 0.6 < one.v2v < 1.2
        assert 0 <= one.v2v - one.inside < 0.06
        assert sum(one.parts.values()) == pytest.approx(one.inside, abs=0.01)
    found = latency.figures(judged)
    assert found["turns"] == {"asked": 2, "good": 2, "half": 0, "over": 0, "holed": 0, "unanswered": 0}
    assert found["v2v"]["n"] == found["generated"]["n"] == 2
    assert found["picked"]["n"] == 0
    assert call["cpu_per_minute"] is None


def test_an_answer_to_half_of_it_is_not(tmp_path: Path) -> None:
    judged, _ = held(tmp_path, turn("I am here.", "And I am not.", pause=1.3))
    assert judged[0].verdict == "half"


def test_who_gets_no_answer_goes_on(tmp_path: Path) -> None:
    slow = Pace("fixed", {"llm_first": 20.0})
    bot = strict.parse(BOT, "bot", Profile)

    async def main() -> list[Judged]:
        async with Lab(Carrier([]), tmp_path, pace=slow, carried="loop") as lab:
            return (await latency.run(lab, bot, [turn("Hello?"), turn("Hello again?")]))[0]

    assert {one.verdict for one in slow.run(main)} <= {"unanswered", "half"}


def test_a_voice_over_the_bot(tmp_path: Path) -> None:
    line = "This is a long line of which nobody knows when it will end, or how, and it goes on and on."
    items = Items(
        lines=(line,),
        interruptions=(Item(line=0, text="Wait, stop it please.", moment=1.0),),
        backchannels=(Item(line=0, text="Okay.", moment=1.0),),
    )
    pace = Pace("fixed")

    async def main() -> list[barge_in.Tried]:
        tones = ("stt.model=scripted", "tts.voice=scripted")
        async with Lab(Carrier([]), tmp_path, pace=pace, carried="loop") as lab:
            return await barge_in.run(lab, items, overrides=tones)

    stopped, went_on = pace.run(main)
    assert stopped.held
    assert went_on.held
    assert stopped.yielded is not None
    assert stopped.yielded < 1.2
    assert went_on.yielded is None
    assert went_on.duck is not None
    assert went_on.duck < 0.2
    assert went_on.restore is not None
    assert went_on.restore < 0.5
    assert not went_on.lost
    found = barge_in.figures([stopped, went_on])
    assert (found["missed_yields"], found["false_yields"], found["lines_lost"]) == (0, 0, 0)
