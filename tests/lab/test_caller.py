"""The scripted caller, over the in-memory line and against whole scripted bots: what it does, when, and what it says it did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest

from lab import audio, events
from lab.call import Call
from lab.caller import ANSWERS_AFTER, SETTLED, TURN_OVER, Caller
from lab.engines.scripted import ScriptedDetector, ScriptedVoice
from lab.errors import ModelError
from lab.floor import Endpointing, Manners
from lab.lines.loop import pair
from lab.pace import Pace
from lab.ports import Stop, Tick, Voice
from lab.scenario import Step
from tests.calls.holding import END, PATIENCE, Side, Talk, bot

FRAME = audio.FRAME_SECONDS
GREETING = "Good morning, this is the bot."
BYE = {"hang_up": True}
WAITS = {"expect": {"event": "reply"}}


@dataclass
class Held(Talk):
    """A call that is over, with what was on the line."""

    ticks: list[Tick] = field(default_factory=list)
    """The bot's, numbered like the caller's."""

    @property
    def steps(self) -> dict[int, tuple[float, float]]:
        return {e.step: (e.began, e.ended) for e in self.of(events.StepDone)}

    def sounds(self, who: Literal["bot", "customer"], level: float = -50.0) -> list[tuple[float, float]]:
        """When somebody sounded on the caller's end of the line: first and last audible frame, over pauses of 0.2 s."""
        found: list[tuple[float, float]] = []
        for tick in self.ticks:
            frame, shift = (tick.heard, -1) if who == "customer" else (tick.spoken, 1)  # a frame on the way
            if audio.level_db(frame) > level:
                at = (tick.index + shift) * FRAME
                joined = bool(found) and at - found[-1][1] < 0.2
                found.append((found.pop()[0] if joined else at, at))
        return found


def hold(side: Side, *steps: dict[str, Any], seed: int = 0, pace: Pace | None = None, voice: Any = None) -> Held:
    """Hold a call of `side` with a caller who does `steps`, as they stand in a scenario."""
    pace, talk = pace or Pace("fixed"), Held()

    async def main() -> None:
        ours, theirs = pair(seed=seed)
        ready: asyncio.Future[Voice] = asyncio.get_running_loop().create_future()
        ready.set_result(voice or ScriptedVoice())
        caller = Caller(
            [Step.model_validate(step) for step in steps],
            theirs,
            ready,
            ScriptedDetector(),
            pace,
            emit=talk.log.append,
            seed=seed,
        )
        call = Call(side.part, ours, side.engines(pace), pace, emit=talk.log.append, tap=talk.ticks.append)
        theirs.ring()
        await asyncio.wait_for(asyncio.gather(call.run(), caller.run()), PATIENCE)

    pace.run(main)
    return talk


def after(event: str, delay: str = "0s") -> dict[str, Any]:
    return {"after": {"event": event, "delay": delay}}


def near(moment: float, frames: int = 2) -> Any:
    return pytest.approx(moment, abs=frames * FRAME + 1e-6)


# -- when --------------------------------------------------------------------------------------------------------------


def test_answers_after_a_moment_and_waits_for_the_bots_turn_to_be_over() -> None:
    talk = hold(bot(GREETING), {"user": "Who is it?"}, {"user": "Oh."}, BYE)
    assert talk.lines == [
        ("bot", GREETING),
        ("customer", "Who is it?"),
        ("bot", "I see."),
        ("customer", "Oh."),
        ("bot", "I see."),
    ]
    assert talk.answered == near(ANSWERS_AFTER)
    for number, (_, silent) in enumerate(talk.sounds("bot")):
        assert talk.steps[number][0] == near(silent + TURN_OVER)


def test_a_pause_within_the_bots_turn_is_not_its_end() -> None:
    def answer(heard: str) -> Iterator[str]:
        yield from ("First this. ", "Then that.")

    slow = Pace("fixed", {"llm": 0.0, "tts": 0.5})
    talk = hold(bot(GREETING, answer), {"user": "Well?"}, {"user": "Oh."}, BYE, pace=slow)
    assert [line for line in talk.lines if line[0] == "customer"] == [("customer", "Well?"), ("customer", "Oh.")]
    assert talk.of(events.Interrupted) == []


@pytest.mark.parametrize("delay", [0.2, 0.5, 1.2])
def test_an_interruption_at_the_chosen_moment(delay: float) -> None:
    talk = hold(bot(GREETING * 3), {"user": "Stop, who is this?", **after("bot_speaking", f"{delay}s")}, BYE)
    (onset, _), *_ = talk.sounds("bot")
    (spoke, _), *_ = talk.sounds("customer")
    assert spoke == near(onset + delay)
    assert talk.steps[0][0] == near(spoke, 1)
    (interrupted,) = talk.of(events.Interrupted)
    assert interrupted.at == near(spoke + 0.5, 8), "the bot stops once its words are known"


def test_bot_speaking_is_the_next_time_it_speaks() -> None:
    talk = hold(
        bot(GREETING, lambda heard: "That is a long story about oaks."),
        {"user": "Well?"},
        {"user": "Stop, please, now.", **after("bot_speaking", "600ms")},
        BYE,
    )
    assert talk.steps[1][0] == near(talk.sounds("bot")[1][0] + 0.6)


def test_a_bot_that_speaks_already_is_counted_from_the_end_of_the_step_before() -> None:
    talk = hold(
        bot(GREETING * 3, manners=Manners(barge_in=None)),
        {"noise": {"level": "-45dB", "for": "2s"}, **after("bot_speaking", "500ms")},
        {"user": "Now.", **after("bot_speaking", "1s")},
        BYE,
    )
    assert talk.steps[1][0] == near(talk.steps[0][1] + 1.0)


@pytest.mark.parametrize(("delay", "waited"), [("0s", SETTLED), ("500ms", 0.5), ("2s", 2.0)])
def test_bot_finished_counts_from_its_last_voiced_frame(delay: str, waited: float) -> None:
    talk = hold(bot(GREETING), {"user": "Who is it?", **after("bot_finished", delay)}, BYE)
    assert talk.steps[0][0] == near(talk.sounds("bot")[0][1] + waited)


def test_customer_finished_goes_on_after_a_pause() -> None:
    talk = hold(
        bot(GREETING), {"user": "It is two oh two."}, {"user": "Five five.", **after("customer_finished", "400ms")}, BYE
    )
    (_, paused), (resumed, _) = talk.sounds("customer")
    assert resumed == near(paused + 0.4)
    assert talk.said("customer")[-1].text == "It is two oh two. Five five."


def test_answered_counts_from_the_answer() -> None:
    talk = hold(bot(None), {"user": "Hello?", **after("answered", "3s")}, BYE)
    assert talk.sounds("customer")[0][0] == near(talk.answered + 3.0)
    assert talk.lines == [("customer", "Hello?"), ("bot", "I see.")]


# -- what --------------------------------------------------------------------------------------------------------------


def test_words_over_noise() -> None:
    talk = hold(bot(GREETING), {"user": "Good morning to you.", "noise": "-45dB"}, BYE)
    assert talk.lines[1] == ("customer", "Good morning to you.")
    began, ended = talk.steps[0]
    assert talk.sounds("customer") == [(near(began, 1), near(ended, 1))]
    quiet = hold(bot(GREETING), {"user": "Good morning to you."}, BYE)
    assert talk.ticks[5:-5] != quiet.ticks[5:-5]


def test_noise_alone_has_its_level_and_length_and_is_no_speech() -> None:
    talk = hold(bot(GREETING), {"noise": {"level": "-44dB", "for": "3s"}}, {"user": "Yes?"}, BYE)
    began, ended = talk.steps[0]
    assert ended - began == near(3.0, 1)
    noisy = b"".join(t.heard for t in talk.ticks if began + 2 * FRAME < t.index * FRAME < ended)
    assert audio.level_db(noisy) == pytest.approx(-44, abs=1)
    assert [line[0] for line in talk.lines] == ["bot", "customer", "bot"]


def test_noise_is_not_words_the_bot_owes_an_answer_to() -> None:
    """It covers the end of the greeting; the next step waits for that greeting, not for another turn."""
    talk = hold(
        bot(GREETING),
        {"noise": {"level": "-45dB", "for": "4s"}, **after("bot_speaking", "500ms")},
        {"user": "Yes?"},
        BYE,
    )
    assert talk.steps[0][1] > talk.sounds("bot")[0][1], "the greeting ended under the noise"
    assert talk.steps[1][0] == near(talk.steps[0][1])


def test_the_seed_decides_the_noise() -> None:
    steps = ({"noise": {"level": "-44dB", "for": "1s"}}, BYE)
    one, same, other = (hold(bot(GREETING), *steps, seed=seed) for seed in (1, 1, 2))
    assert one.ticks == same.ticks != other.ticks
    assert one.text == same.text


def test_silence_lasts() -> None:
    talk = hold(bot(GREETING), {"silence": "5s"}, {"user": "Yes?", **after("customer_finished")}, BYE)
    began, ended = talk.steps[0]
    assert began == near(talk.sounds("bot")[0][1] + TURN_OVER)
    assert ended - began == near(5.0, 0)
    assert talk.steps[1][0] == near(ended)


def test_loss_begins_where_it_stands_and_takes_no_time() -> None:
    talk = hold(bot(GREETING), {"user": "Who is it?"}, {"loss": "30%"}, {"user": "Oh, I can hear nothing."}, BYE)
    began, ended = talk.steps[1]
    assert began == ended
    (line,) = talk.of(events.LineFacts)
    assert 0 < line.facts["rtp"]["lost"] < 0.5 * line.facts["rtp"]["received"]
    assert talk.lines[:3] == [("bot", GREETING), ("customer", "Who is it?"), ("bot", "I see.")]
    assert talk.said("customer")[-1].text != "Oh, I can hear nothing."


def test_hangs_up() -> None:
    talk = hold(bot(GREETING * 2), {**BYE, **after("bot_speaking", "1s")})
    assert talk.by == "customer"
    assert talk.end.at == near(talk.sounds("bot")[0][0] + 1.0)
    assert talk.steps[0] == (near(talk.end.at), near(talk.end.at))


# -- steps without an action -------------------------------------------------------------------------------------------


def test_a_step_without_action_is_over_when_the_bot_has_finished() -> None:
    talk = hold(bot(GREETING), {"expect": {"event": "greeting"}}, {"user": "Who is it?"}, WAITS, BYE)
    greeting, reply = talk.sounds("bot")
    assert talk.steps[0] == (near(talk.answered, 0), near(greeting[1], 1))
    assert talk.steps[1][0] == near(greeting[1] + TURN_OVER), "waiting has cost the next step no time"
    assert talk.steps[2] == (near(talk.steps[1][1], 1), near(reply[1], 1))
    assert talk.end.at == near(reply[1] + TURN_OVER)


def test_waiting_again_waits_for_another_turn() -> None:
    asks = Manners(ask_again_after=4.0, ask_again_times=1)
    talk = hold(bot(GREETING, ask_again=("Still there?",), manners=asks), WAITS, WAITS, BYE)
    greeting, again = talk.sounds("bot")
    assert [talk.steps[0][1], talk.steps[1][1]] == [near(greeting[1], 1), near(again[1], 1)]


# -- how calls end -----------------------------------------------------------------------------------------------------


def test_the_step_at_which_the_call_ended_is_logged_and_one_never_reached_is_not() -> None:
    talk = hold(bot(GREETING, max_duration=6.0), {"expect": {"event": "greeting"}}, {"silence": "60s"}, WAITS, BYE)
    assert list(talk.steps) == [0, 1]
    assert talk.steps[1][1] == near(talk.end.at)
    assert talk.end.cause == "max_duration"


def test_the_bot_hangs_up_in_the_middle_of_a_word() -> None:
    talk = hold(bot(GREETING, max_duration=4.0), {"user": "This is a very long answer " * 5}, BYE)
    assert list(talk.steps) == [0]
    assert talk.steps[0] == (near(talk.sounds("customer")[0][0], 1), near(talk.end.at))


def test_the_call_ends_while_a_step_waits() -> None:
    talk = hold(bot(GREETING, lambda heard: [], max_duration=8.0), {"user": "No."}, WAITS, {"user": "Bye."})
    assert list(talk.steps) == [0, 1], "the last one's moment did not come"
    assert talk.steps[1] == (near(talk.steps[0][1], 1), near(talk.end.at))


def test_a_bot_that_says_goodbye_ends_the_call() -> None:
    talk = hold(bot(GREETING, lambda heard: ["Goodbye.", END]), {"user": "No."}, WAITS)
    assert talk.steps[1] == (near(talk.steps[0][1], 1), near(talk.sounds("bot")[1][1], 1))
    assert talk.by == "bot"


def test_a_call_that_ends_before_the_answer_has_no_steps() -> None:
    talk = hold(bot(GREETING, ring_timeout=0.3), {"user": "Hello?"}, WAITS)
    assert (talk.steps, talk.by) == ({}, "no_answer")


def test_after_the_last_step_the_customer_says_nothing_more() -> None:
    talk = hold(bot(GREETING, max_duration=20.0), {"user": "Hello?"})
    assert [line[0] for line in talk.lines] == ["bot", "customer", "bot"]
    assert talk.end.cause == "max_duration"


def test_a_voice_that_fails_ends_the_call_before_the_answer() -> None:
    class Hoarse(ScriptedVoice):
        def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
            raise ModelError("no voice today")

    with pytest.raises(ModelError, match="no voice today"):
        hold(bot(GREETING), {"user": "Hello?"}, voice=Hoarse())


# -- interruptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("barge_in", [0.2, 0.4, None])
def test_an_interruption_that_is_answered_at_once_does_not_hang_the_script(barge_in: float | None) -> None:
    """The bot falls silent in the middle of our words, and answers before its turn could have been called over."""
    quick = Pace("fixed", {})
    manners = Manners(barge_in=barge_in, endpointing=Endpointing.fixed(0.2))
    talk = hold(
        bot(GREETING, lambda heard: "Yes.", manners=manners),
        {"user": "Wait, stop.", **after("bot_speaking", "1s")},
        {"user": "Who are you?"},
        BYE,
        pace=quick,
    )
    assert list(talk.steps) == [0, 1, 2]
    first, second, *_ = talk.sounds("bot")
    assert barge_in is None or second[0] - first[1] < TURN_OVER
    assert talk.lines[-2:] == [("customer", "Who are you?"), ("bot", "Yes.")]
    assert talk.by == "customer"


# -- the log is what was on the line -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: bot(GREETING), lambda: replace(bot(GREETING), loading=0.7)])
def test_what_is_logged_is_what_sounded(make: Callable[[], Side]) -> None:
    talk = hold(
        make(),
        {"expect": {"event": "greeting"}},
        {"user": "One thing."},
        {"user": "And another.", **after("customer_finished", "300ms")},
        WAITS,
        {"user": "Well?", **after("bot_finished", "1s")},
        BYE,
    )
    spoken = [talk.steps[number] for number in (1, 2, 4)]
    assert [(near(began, 1), near(ended, 1)) for began, ended in spoken] == talk.sounds("customer")
    assert all(round(e.at / FRAME, 6).is_integer() for e in talk.of(events.StepDone))
