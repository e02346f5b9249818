"""Whole calls in memory: every way a call ends, before the answer and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from lab import events
from lab.engines.scripted import ScriptedEars, ScriptedVoice
from lab.errors import ModelError
from lab.floor import Manners
from lab.pace import Pace
from lab.ports import Stop

from .holding import END, Script, Side, bot, customer, hold

LONG = "Hello, this is Robin from the dental clinic. I am calling about your appointment tomorrow. Can you come?"
BROKEN = ModelError("the model gave out", where="tiny.gguf", hint="callctl models verify")


# -- the bot hangs up --------------------------------------------------------------------------------------------------


def test_a_closure_phrase_hangs_up_after_it_was_played() -> None:
    script = Script({2.0: "No."})
    talk = hold(bot("Can you come?", lambda heard: "Thank you, take care!", closure_phrases=("Take care",)), script)
    goodbye = talk.said("bot")[-1]
    assert script.words == "Can you come? Thank you, take care!"
    assert (talk.end.cause, talk.end.by, talk.by) == ("closure_phrase", "here", "bot")
    assert talk.end.at - goodbye.ended == pytest.approx(1.0, abs=0.1)


def test_a_closure_phrase_is_whole_words() -> None:
    talk = hold(bot("Your bytes are here.", closure_phrases=("bye", "you")), Script(hangs_up=5.0))
    assert talk.end.cause == "hung_up"


def test_end_call_hangs_up_after_what_was_said_before_it() -> None:
    script = Script({2.0: "No."})
    talk = hold(bot("Can you come?", lambda heard: ["Good", "bye.", END]), script)
    assert script.words == "Can you come? Goodbye."
    assert (talk.end.cause, talk.by) == ("end_call", "bot")
    assert [e.name for e in talk.of(events.ToolCalled)] == ["end_call"]


def test_end_call_without_a_word() -> None:
    talk = hold(bot("Hello.", lambda heard: [END]), Script({2.0: "Go away."}))
    assert talk.lines == [("bot", "Hello."), ("customer", "Go away.")]
    assert talk.end.cause == "end_call"


def test_the_customers_goodbye_after_ours_is_not_answered() -> None:
    robin = bot("Thank you, goodbye.", closure_phrases=("goodbye",), linger=3.0)
    talk = hold(robin, Script({2.0: "Bye bye."}))
    assert talk.lines == [("bot", "Thank you, goodbye."), ("customer", "Bye bye.")]
    assert robin.mind.asked == []
    assert talk.end.at < talk.answered + 4.0


def test_a_question_after_our_goodbye_is_still_answered() -> None:
    robin = bot("Goodbye.", lambda heard: ["At ten. ", "Goodbye."], closure_phrases=("goodbye",), linger=2.0)
    talk = hold(robin, Script({1.5: "Wait, at what time was it again?"}))
    assert talk.lines[-1] == ("bot", "At ten. Goodbye.")
    assert talk.end.cause == "closure_phrase"


def test_a_goodbye_that_was_interrupted_does_not_hang_up() -> None:
    farewell = "Well then, I wish you a very good day, and goodbye from all of us here."
    talk = hold(
        bot(farewell, lambda heard: "Friday is fine.", closure_phrases=("goodbye",)),
        Script({1.0: "Friday would be better"}, hangs_up=6.0),
    )
    assert talk.lines[-1] == ("bot", "Friday is fine.")
    assert talk.end.cause == "hung_up"


# -- the customer hangs up ---------------------------------------------------------------------------------------------


def test_in_the_middle_of_the_bots_sentence() -> None:
    script = Script(hangs_up=2.0)
    talk = hold(bot(LONG), script)
    (line,) = talk.said("bot")
    assert (talk.end.cause, talk.end.by, talk.by) == ("hung_up", "there", "customer")
    assert line.cut
    assert line.text == LONG
    assert script.words.startswith(line.heard)
    assert 0 <= len(script.words) - len(line.heard) < 12


def test_in_the_middle_of_its_own_sentence() -> None:
    talk = hold(bot("Hello."), Script({2.0: "I have no time for this nonsense"}, hangs_up=3.2))
    (words,) = [e.text for e in talk.said("customer")]
    assert words.startswith("I have no time")
    assert talk.end.at == talk.log[-1].at
    assert talk.by == "customer"


def test_while_its_turn_is_being_answered() -> None:
    talk = hold(bot("Hello."), Script({2.0: "Never mind."}, hangs_up=3.4))
    assert talk.lines == [("bot", "Hello."), ("customer", "Never mind.")]
    assert len([e for e in talk.of(events.Said) if e.who == "customer"]) == 1


def test_before_it_was_recognised() -> None:
    class Slow(ScriptedEars):
        """Takes ten times as long as the table says."""

        def hear(self, pcm: bytes, rate: int, *, hints: Sequence[str] = (), stop: Stop) -> Iterator[str]:
            yield from [""] * 9
            yield from super().hear(pcm, rate, stop=stop)

    talk = hold(bot("Hello.", ears=Slow()), Script({2.0: "Never mind."}, hangs_up=3.4))
    assert talk.lines == [("bot", "Hello."), ("customer", "Never mind.")]


@pytest.mark.parametrize("says", [{0.5: "Hello?"}, {0.5: "Hello?", 1.7: "Is anybody there?"}])
def test_before_the_opening_was_ready(says: dict[float, str]) -> None:
    slow = Pace("fixed", {"stt": 2.0})
    talk = hold(bot("Hello.", loading=9.0), Script(says, hangs_up=3.4), pace=slow)
    assert talk.lines == [("customer", " ".join(says.values()))]
    assert len(talk.of(events.Said)) == 1
    assert [e.stage for e in talk.of(events.Stage)].count("stt") == 1


def test_a_customers_side_hangs_up_by_its_own_rule() -> None:
    talk = hold(bot("Can you come?"), customer(lambda heard: ["No. Bye.", END]))
    assert talk.lines[:2] == [("bot", "Can you come?"), ("customer", "No. Bye.")]
    assert (talk.end.cause, talk.end.by) == ("hung_up", "there")


# -- nobody speaks, or for too long ------------------------------------------------------------------------------------


def test_silence_is_asked_twice_and_ends_as_a_customer_who_did_not_respond() -> None:
    manners = Manners(ask_again_after=4.0, ask_again_times=2, dead_air=12.0)
    talk = hold(bot("Hello.", manners=manners, ask_again=("Are you there?", "Hello?")), Script())
    assert [text for _, text in talk.lines] == ["Hello.", "Are you there?", "Hello?"]
    assert [(e.attempt, e.silence) for e in talk.of(events.ReEngaged)] == [(1, 4.0), (2, 4.0)]
    assert (talk.end.cause, talk.end.by, talk.by) == ("dead_air", "here", "RNR")


def test_dead_air_after_they_have_spoken_is_the_bots_hanging_up() -> None:
    talk = hold(bot("Hello.", manners=Manners(dead_air=6.0)), Script({2.0: "Yes."}))
    assert (talk.end.cause, talk.by) == ("dead_air", "bot")
    assert talk.end.at - talk.said("bot")[-1].ended == pytest.approx(6.0, abs=1.5)


@pytest.mark.parametrize(("says", "by"), [({2.0: "Yes."}, "timeout"), ({}, "RNR")])
def test_the_longest_a_call_may_last(says: dict[float, str], by: str) -> None:
    talk = hold(bot("Hello.", lambda heard: LONG, max_duration=5.0), Script(says))
    assert (talk.end.cause, talk.by) == ("max_duration", by)
    assert talk.end.at - talk.answered == pytest.approx(5.0, abs=0.05)
    assert [e.cut for e in talk.said("bot")] == ([False, True] if says else [False])


def test_noise_does_not_keep_a_dead_line_alive() -> None:
    noise = dict.fromkeys((2.0, 5.0, 8.0, 11.0, 14.0, 17.0), "    ")
    talk = hold(bot("Hello.", manners=Manners(dead_air=6.0), max_duration=18.0), Script(noise))
    assert talk.end.cause == "dead_air"


# -- before the answer -------------------------------------------------------------------------------------------------


def test_it_rings_no_longer_than_asked() -> None:
    talk = hold(bot(ring_timeout=5.0), Script(answers_after=None))
    assert (talk.end.cause, talk.end.code, talk.end.by, talk.by) == ("ring_timeout", 487, "here", "no_answer")
    assert talk.end.at == pytest.approx(5.0, abs=0.05)
    assert [e.state for e in talk.of(events.Signalled)] == ["calling", "ringing"]
    assert talk.lines == []


@pytest.mark.parametrize(
    ("code", "cause", "by"),
    [
        (404, "sip_error", "error"),
        (480, "no_answer", "no_answer"),
        (486, "rejected", "rejected"),
        (603, "rejected", "rejected"),
    ],
)
def test_refused(code: int, cause: str, by: str) -> None:
    talk = hold(bot(), Script(answers_after=None, refuses=code))
    assert (talk.end.cause, talk.end.code, talk.end.by, talk.by) == (cause, code, "there", by)
    assert talk.end.reason
    assert talk.of(events.Said) == []
    assert talk.of(events.SpeechBegan) == []


# -- something breaks --------------------------------------------------------------------------------------------------


def broken(heard: str) -> Iterator[str]:
    yield "Well, let me "
    raise BROKEN


class BrokenEars(ScriptedEars):
    def hear(self, pcm: bytes, rate: int, *, hints: Sequence[str] = (), stop: Stop) -> Iterator[str]:
        raise BROKEN


class BrokenVoice(ScriptedVoice):
    def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
        if "see" in text:
            raise BROKEN
        yield from super().speak(text, rate, stop)


@pytest.mark.parametrize(
    "side",
    [
        pytest.param(bot("Hello.", broken), id="responder"),
        pytest.param(bot("Hello.", ears=BrokenEars()), id="recognizer"),
        pytest.param(bot("Hello.", voice=BrokenVoice()), id="voice"),
    ],
)
def test_an_engine_that_breaks_ends_the_call_politely(side: Side) -> None:
    script = Script({2.0: "Who is this?"})
    talk = hold(side, script)
    assert talk.of(events.Fault) == [
        events.Fault(at=talk.of(events.Fault)[0].at, where="tiny.gguf", what=str(BROKEN), fatal=True)
    ]
    assert (talk.end.cause, talk.end.by, talk.end.code, talk.by) == ("error", "here", 200, "error")
    assert talk.end.detail == str(BROKEN)
    assert talk.end.at < 6.0


def test_an_engine_that_breaks_on_the_customers_last_words() -> None:
    talk = hold(bot("Hello.", ears=BrokenEars()), Script({2.0: "I have no time for this"}, hangs_up=2.6))
    assert (talk.end.cause, talk.end.detail) == ("hung_up", str(BROKEN))


def test_an_engine_that_cannot_be_loaded_while_it_rings() -> None:
    talk = hold(bot(loading=1.0, load_error=BROKEN), Script(answers_after=3.0))
    assert (talk.end.cause, talk.end.code, talk.by) == ("error", 487, "error")
    assert talk.end.at == pytest.approx(1.0, abs=0.05)
    assert len(talk.of(events.Fault)) == 1
    assert talk.of(events.Answered) == []


def test_engines_that_load_longer_than_it_rings_are_waited_for() -> None:
    talk = hold(bot("Hello.", loading=5.0), Script(answers_after=1.0, hangs_up=8.0))
    assert talk.lines == [("bot", "Hello.")]
    assert talk.said("bot")[0].began == pytest.approx(5.1, abs=0.1)


# -- the operator stops it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [0.0, 0.5, 2.0])
def test_while_it_rings(when: float) -> None:
    talk = hold(bot(), Script(answers_after=3.0), interrupt_at=when)
    assert (talk.end.cause, talk.end.code, talk.end.by, talk.by) == ("interrupted", 487, "here", "bot")
    assert talk.end.at == pytest.approx(when, abs=0.05)
    assert talk.lines == []


def test_while_the_bot_talks() -> None:
    script = Script()
    talk = hold(bot(LONG), script, interrupt_at=2.5)
    (line,) = talk.said("bot")
    assert (talk.end.cause, talk.end.code, talk.end.by) == ("interrupted", 200, "here")
    assert line.cut
    assert script.words.startswith(line.heard)
    assert 0 <= len(script.words) - len(line.heard) < 12


def test_while_the_customer_talks() -> None:
    talk = hold(bot("Hello."), Script({1.0: "I have a lot to say about this"}), interrupt_at=2.5)
    assert talk.said("customer")[0].text.startswith("I have a")
    assert talk.end.cause == "interrupted"
