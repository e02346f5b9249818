"""Whole calls in memory: who speaks when, what was heard, what the responder is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import audio, events
from lab.engines.scripted import ScriptedVoice
from lab.floor import Endpointing, Manners
from lab.lines.loop import SETTLE_TICKS
from lab.pace import Pace
from lab.ports import Stop, ToolCall, Turn

from .holding import END, Script, bot, customer, hold

LONG = "Hello, this is Robin from the dental clinic. I am calling about your appointment tomorrow. Can you come?"


def test_a_plain_dialogue() -> None:
    def robin(heard: str) -> str | list[str | ToolCall]:
        return ["Goodbye.", END] if "yes" in heard.lower() else "Can you come?"

    def pat(heard: str) -> str:
        return "Yes, I can." if "come" in heard else "Who is this?"

    talk = hold(bot("Hello, this is Robin.", robin), customer(pat))
    assert talk.lines == [
        ("bot", "Hello, this is Robin."),
        ("customer", "Who is this?"),
        ("bot", "Can you come?"),
        ("customer", "Yes, I can."),
        ("bot", "Goodbye."),
    ]
    assert (talk.end.cause, talk.end.by, talk.by) == ("end_call", "here", "bot")
    assert [e.kind for e in talk.log[-2:]] == ["call.ended", "line.facts"]
    assert [e.at for e in talk.log] == sorted(e.at for e in talk.log)
    assert {round(e.at * 1000) % 20 for e in talk.log} == {0}


def test_both_sides_tell_the_same_story() -> None:
    talk = hold(bot("Hello, this is Robin.", lambda heard: ["Goodbye.", END]), customer(lambda heard: "Who is this?"))
    theirs = [(e.who, e.heard) for e in talk.theirs if isinstance(e, events.Said) and e.heard]
    assert theirs == talk.lines
    assert talk.theirs[-2].at == pytest.approx(talk.end.at, abs=0.021)
    assert next(e for e in talk.theirs if isinstance(e, events.Ended)).cause == "hung_up"


def test_the_opening_is_held_until_the_answer() -> None:
    script = Script(answers_after=3.0, hangs_up=6.0)
    talk = hold(bot("Hello, this is Robin."), script)
    (opening,) = talk.said("bot")
    assert opening.began - talk.answered == pytest.approx(SETTLE_TICKS * audio.FRAME_SECONDS, abs=0.001)
    assert script.words == "Hello, this is Robin."


def test_without_an_opening_the_bot_waits_for_the_customer() -> None:
    talk = hold(bot(None), Script({1.0: "Hello?"}, hangs_up=5.0))
    assert talk.lines == [("customer", "Hello?"), ("bot", "I see.")]


def test_gaps_are_measured_from_voice_to_voice() -> None:
    script = Script({2.0: "Who is this?"}, hangs_up=6.0)
    talk = hold(bot("Hello.", manners=Manners(endpointing=Endpointing.fixed(0.5))), script)
    (asked,), (_, reply), (gap,) = talk.said("customer"), talk.said("bot"), talk.of(events.ReplyGap)
    assert gap.seconds == pytest.approx(reply.began - asked.ended, abs=0.021)
    assert gap.seconds == pytest.approx(0.5 + 0.3 + 0.08, abs=0.05)
    assert (gap.turn, gap.answers, reply.answers) == (reply.turn, asked.turn, asked.turn)
    assert list(gap.parts) == ["endpointing", "stt", "think", "phrase", "tts", "out"]
    assert sum(gap.parts.values()) == pytest.approx(gap.seconds, abs=0.005)
    assert gap.parts == pytest.approx(
        {"endpointing": 0.5, "stt": 0.0, "think": 0.3, "phrase": 0.0, "tts": 0.08, "out": 0.0}, abs=0.045
    )


class Breathing(ScriptedVoice):
    """Draws breath first."""

    def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
        yield audio.silence(0.1, rate)
        yield from super().speak(text, rate, stop)


def test_a_gap_belongs_to_the_turn_that_was_answered() -> None:
    for frame in range(20):  # they begin again at about the moment at which the reply begins
        script = Script({2.0: "Who is this?", 3.5 + frame * 0.02: "Hello there"}, hangs_up=6.0)
        talk = hold(bot("Hello.", lambda heard: "I am Robin, from the clinic.", voice=Breathing()), script)
        ended = {e.turn: e.ended for e in talk.said("customer")}
        began = {e.turn: e.began for e in talk.of(events.SpeechBegan) if e.who == "bot"}
        for gap in talk.of(events.ReplyGap):
            assert gap.seconds == pytest.approx(began[gap.turn] - ended[gap.answers], abs=0.021)


# -- both at once ------------------------------------------------------------------------------------------------------


def test_an_interrupted_bot_stops_and_knows_what_was_heard() -> None:
    robin = bot(LONG, lambda heard: "I am Robin.")
    script = Script({2.0: "Wait, who is this please?"}, hangs_up=8.0)
    talk = hold(robin, script)
    opening, reply = talk.said("bot")
    (asked,) = talk.said("customer")
    assert opening.cut
    assert opening.text.startswith(opening.heard)
    assert 0 < len(opening.heard) < len(opening.text)
    assert opening.ended - asked.began == pytest.approx(0.5, abs=0.15), "some voice, and its words"
    assert asked.text == "Wait, who is this please?"
    assert talk.of(events.Interrupted) == [
        events.Interrupted(at=opening.at - 0.02, turn=opening.turn, by=asked.turn, why="words")
    ]
    assert robin.mind.asked == [[Turn("bot", opening.heard), Turn("customer", asked.text)]]
    assert (reply.heard, reply.cut) == ("I am Robin.", False)
    heard, rest = script.words.split("I am Robin.")  # what was heard is what really came over the line, to the word
    assert heard.startswith(opening.heard)
    assert len(heard) - len(opening.heard) < 12
    assert rest == ""


@pytest.mark.parametrize("when", [x / 10 for x in range(10, 52, 3)])
def test_no_word_counts_as_heard_that_was_not_played(when: float) -> None:
    script = Script({when: "One moment please."}, hangs_up=when + 1.5)
    (opening,) = hold(bot(LONG, lambda heard: ""), script).said("bot")
    assert opening.cut
    assert script.words.startswith(opening.heard)


def test_a_short_word_thrown_in_does_not_stop_the_bot() -> None:
    robin = bot(LONG)
    script = Script({1.5: "Yes."}, hangs_up=10.0)
    talk = hold(robin, script)
    assert talk.lines == [("bot", LONG)]
    assert script.words == LONG
    assert not talk.said("bot")[0].cut
    assert [e.why for e in talk.of(events.Ignored)] == ["spoken over the other side"]
    assert robin.mind.asked == []


def test_a_bot_without_barge_in_is_never_stopped() -> None:
    talk = hold(bot(LONG, manners=Manners(barge_in=None)), Script({1.5: "Stop it, stop it at once"}, hangs_up=10.0))
    assert talk.lines[:2] == [("bot", LONG), ("customer", "Stop it, stop it at once")]


def test_the_bot_speaks_again_after_each_interruption() -> None:
    robin = bot(LONG, lambda heard: "Let me explain it to you from the beginning, as slowly as I can.")
    talk = hold(robin, Script({1.0: "Wait a moment", 4.5: "Wait a second", 8.0: "Wait for me"}, hangs_up=10.5))
    assert [e.text for e in talk.said("customer")] == ["Wait a moment", "Wait a second", "Wait for me"]
    assert [e.cut for e in talk.said("bot")] == [True, True, True, True]
    assert len(talk.of(events.Interrupted)) == 3
    assert [t.text for t in robin.mind.asked[-1]] == [text for _, text in talk.lines[: len(robin.mind.asked[-1])]]


def test_a_sentence_spoken_over_a_bot_that_is_never_stopped_is_kept() -> None:
    remark = "I cannot come tomorrow, I am away"
    talk = hold(bot(LONG, manners=Manners(barge_in=None)), Script({1.0: remark}, hangs_up=12.0))
    assert remark in [e.text for e in talk.said("customer")]


def test_a_bot_that_is_never_stopped_finishes_its_line_and_then_answers() -> None:
    def answer(heard: str) -> list[str]:
        return ["Well, ", "so it is. ", *(f"{word} " for word in LONG.split())] if "tell" in heard else ["I see."]

    costs = {"stt": 0.1, "llm_first": 0.2, "llm": 0.4, "tts": 0.05}  # the line is written slower than it is spoken
    robin = bot("Hello.", answer, manners=Manners(barge_in=None))
    script = Script({2.0: "Please tell me", 5.0: "I cannot come tomorrow", 7.5: "Or not so early"}, hangs_up=40.0)
    talk = hold(robin, script, pace=Pace("fixed", costs))
    assert talk.lines[:3] == [("bot", "Hello."), ("customer", "Please tell me"), ("bot", f"Well, so it is. {LONG}")]
    assert talk.lines[-1] == ("bot", "I see.")
    assert ("customer", "I cannot come tomorrow") in talk.lines
    assert ("customer", "Or not so early") in talk.lines


def test_the_bot_is_softer_while_a_word_is_thrown_in_and_loses_none_of_its_own() -> None:
    script = Script({1.5: "Okay."}, hangs_up=10.0)
    talk = hold(bot(LONG), script)
    (ducked,), (restored,) = talk.of(events.Ducked), talk.of(events.Restored)
    (said,) = talk.said("bot")
    assert 0.0 <= ducked.at - talk.answered - 1.5 < 0.1
    assert restored.at - ducked.at < 0.7
    size, start = audio.frame_bytes(8000), round((said.began + 0.1) / 0.02)
    levels = [audio.level_db(bytes(script.heard[n * size : n * size + size])) for n in range(len(script.heard) // size)]
    loud = [level for level in levels[start:] if level > -60]
    assert max(loud) - min(loud) > 12
    assert script.words == LONG


def test_a_yes_thrown_in_behind_the_question_is_the_answer() -> None:
    line = "Can you come at ten? This call is recorded, by the way."
    robin = bot(line, lambda heard: f"You said {heard}")
    talk = hold(robin, Script({1.8: "Yes."}, hangs_up=7.0))
    assert talk.lines == [("bot", line), ("customer", "Yes."), ("bot", "You said Yes.")]
    assert [e.text for e in talk.of(events.Ignored)] == ["Yes."]


def test_a_yes_thrown_in_before_the_question_is_none() -> None:
    line = "This call is recorded, by the way. Can you come at ten?"
    talk = hold(bot(line, lambda heard: f"You said {heard}"), Script({0.8: "Yes."}, hangs_up=7.0))
    assert talk.lines == [("bot", line)]


def test_a_line_stopped_by_a_sound_without_words_goes_on() -> None:
    script = Script({1.5: " " * 30}, hangs_up=14.0)
    line = "Good morning, this is Robin from the clinic. " + LONG
    talk = hold(bot(line), script)
    (interrupted,), (on,) = talk.of(events.Interrupted), talk.of(events.SpokeOn)
    assert (interrupted.why, on.turn) == ("voice", interrupted.turn)
    first, rest = talk.said("bot")
    assert first.cut
    assert line.endswith(rest.text)
    assert f"{first.heard} {rest.text}".count("clinic") >= 1
    assert rest.heard == rest.text


# -- one turn or two ---------------------------------------------------------------------------------------------------


def test_a_pause_inside_a_sentence_does_not_end_it() -> None:
    robin = bot("Hello.")
    talk = hold(robin, Script({2.0: "I would", 2.9: "like to come"}, hangs_up=6.0))
    assert talk.lines == [("bot", "Hello."), ("customer", "I would like to come"), ("bot", "I see.")]
    assert len(robin.mind.asked) == 1
    partials = [e.text for e in talk.of(events.Partial) if e.who == "customer"]
    assert partials == ["I would", "I would like to come"]


def test_who_goes_on_while_the_reply_is_in_the_making_says_one_turn() -> None:
    robin = bot("Hello.", lambda heard: f"You said {heard}")
    talk = hold(robin, Script({2.0: "I can come.", 3.1: "But on Friday."}, hangs_up=9.0))
    (turn,) = talk.said("customer")
    assert turn.text == "I can come. But on Friday."
    assert [e.text for e in talk.of(events.Said) if e.who == "customer"] == ["I can come.", turn.text]
    assert talk.lines[2:] == [("bot", "You said I can come. But on Friday.")]
    assert robin.mind.asked[-1][-1] == Turn("customer", turn.text)
    assert len(talk.of(events.ReplyGap)) == 1


def test_who_speaks_before_the_opening_is_ready_is_answered_by_it() -> None:
    robin = bot("Hello, this is Robin.", loading=3.0)
    talk = hold(robin, Script({0.5: "Hello?"}, hangs_up=8.0))
    assert talk.lines == [("customer", "Hello?"), ("bot", "Hello, this is Robin.")]
    assert robin.mind.asked == []


def test_the_opening_is_not_lost_on_a_customer_who_asks_twice() -> None:
    robin = bot("Hello, this is Robin.", loading=4.0)
    talk = hold(robin, Script({0.5: "Hello?", 2.0: "Is anybody there?"}, hangs_up=9.0))
    assert talk.lines == [("customer", "Hello? Is anybody there?"), ("bot", "Hello, this is Robin.")]
    assert robin.mind.asked == []


def test_the_bot_does_not_begin_while_the_customer_speaks() -> None:
    robin = bot("Hello, this is Robin.", loading=2.0)
    script = Script({0.5: "Hello? I cannot hear you at all, can you hear me?"}, hangs_up=8.0)
    talk = hold(robin, script)
    (turn,), (opening,) = talk.said("customer"), talk.said("bot")
    assert opening.began > turn.ended
    assert (opening.cut, opening.heard) == (False, "Hello, this is Robin.")
    assert robin.mind.asked == []


def test_who_speaks_while_the_bot_is_about_to_ask_again_is_answered() -> None:
    manners = Manners(ask_again_after=3.0, ask_again_times=1)
    robin = bot("Hello.", manners=manners, ask_again=("Are you there?",))
    talk = hold(robin, Script({3.35: "Yes, I am here."}, hangs_up=8.0), pace=Pace("fixed", {"tts": 0.4}))
    assert len(talk.of(events.ReEngaged)) == 1
    assert talk.lines == [("bot", "Hello."), ("customer", "Yes, I am here."), ("bot", "I see.")]


# -- answers of all kinds ----------------------------------------------------------------------------------------------


def test_an_answer_in_pieces_is_spoken_phrase_by_phrase() -> None:
    words = "That is Dr. Patel at 10:30 a.m. tomorrow. It costs $45.50. Is that fine?"
    script = Script({2.0: "When?"}, hangs_up=12.0)
    talk = hold(bot("Hello.", lambda heard: [words[i : i + 3] for i in range(0, len(words), 3)]), script)
    assert talk.lines[-1] == ("bot", words)
    assert script.words == f"Hello. {words}"
    assert [e.text for e in talk.of(events.Partial) if e.who == "bot"][-3:] == [
        "That is Dr. Patel at 10:30 a.m. tomorrow.",
        "That is Dr. Patel at 10:30 a.m. tomorrow. It costs $45.50.",
        words,
    ]


def test_a_very_long_line() -> None:
    words = "The quick brown fox jumps over the lazy dog, and then it goes home. " * 25
    script = Script({2.0: "Go on."}, hangs_up=140.0)
    talk = hold(bot("Hello.", lambda heard: words), script)
    assert talk.lines[-1] == ("bot", words.strip())
    assert script.words == f"Hello. {words.strip()}"


def test_a_responder_that_says_nothing_leaves_the_floor_to_silence() -> None:
    manners = Manners(ask_again_after=3.0, ask_again_times=1, dead_air=10.0)
    talk = hold(bot("Hello.", lambda heard: "", manners=manners, ask_again=("Are you there?",)), Script({2.0: "Well."}))
    assert talk.lines == [("bot", "Hello."), ("customer", "Well."), ("bot", "Are you there?")]
    assert (talk.end.cause, talk.by) == ("dead_air", "bot")


@pytest.mark.parametrize("answer", ["   ", "\n\n"])
def test_an_answer_of_white_space_is_none(answer: str) -> None:
    talk = hold(bot("Hello.", lambda heard: answer), Script({2.0: "Well."}, hangs_up=6.0))
    assert talk.lines == [("bot", "Hello."), ("customer", "Well.")]


def test_noise_is_no_turn() -> None:
    script = Script({2.0: "       "}, hangs_up=6.0)  # sounds, but has no words in it
    robin = bot("Hello.")
    talk = hold(robin, script)
    assert talk.lines == [("bot", "Hello.")]
    assert [e.why for e in talk.of(events.Ignored)] == ["no words in it"]
    assert robin.mind.asked == []
