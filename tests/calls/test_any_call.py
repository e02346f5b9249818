"""What holds for every call, whatever the customer does and whenever it does it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lab import events
from lab.call import LAST_WORD_WORDS
from lab.floor import Endpointing, Manners
from lab.pace import Pace

from .holding import END, Answer, Script, Side, Talk, bot, hold

WORDS = ["Yes.", "No", "Hello?", "Who is this, please?", "I would like to come on Friday", "Bye.", "     ", "Hm"]
moments = st.integers(0, 600).map(lambda tick: tick * 0.02)
scripts = st.builds(
    Script,
    st.dictionaries(moments, st.sampled_from(WORDS), max_size=7),
    answers_after=st.sampled_from([None, 0.0, 0.5, 2.0]),
    hangs_up=st.none() | moments,
)
answers: dict[str, Answer] = {
    "short": lambda heard: "I see.",
    "long": lambda heard: "Well, that is a long story, and I will tell you all of it. It began in May. It was cold.",
    "nothing": lambda heard: "",
    "goodbye": lambda heard: ["Good", "bye.", END] if "Bye" in heard else "Can you come, or is there another day?",
}
bots = st.builds(
    lambda answer, opening, loading, manners: bot(
        opening,
        answers[answer],
        loading=loading,
        manners=manners,
        ask_again=("Are you there?", "Hello?"),
        closure_phrases=("it was cold",),
        max_duration=25.0,
        ring_timeout=4.0,
    ),
    st.sampled_from(sorted(answers)),
    st.sampled_from([None, "Hello.", "Hello, this is Robin from the clinic. I am calling about your appointment."]),
    st.sampled_from([0.0, 1.0, 3.0]),
    st.builds(
        Manners,
        endpointing=st.sampled_from([0.1, 0.4, 0.6]).map(Endpointing.fixed),
        barge_in=st.sampled_from([None, 0.2, 0.4]),
        ask_again_after=st.sampled_from([None, 1.0, 3.0]),
        ask_again_times=st.just(2),
        dead_air=st.sampled_from([None, 4.0, 8.0]),
    ),
)
costs = st.sampled_from([{}, {"stt": 0.2, "llm_first": 0.3, "tts": 0.08}, {"stt": 0.9, "llm_first": 1.2, "tts": 0.7}])


@settings(max_examples=50, deadline=None)
@given(bots, scripts, costs, st.none() | moments)
def test_whatever_happens(robin: Side, script: Script, costs: dict[str, float], interrupt_at: float | None) -> None:
    script.heard.clear()
    robin.mind.asked.clear()
    talk = hold(robin, script, pace=Pace("fixed", costs), interrupt_at=interrupt_at)
    it_ends_once_and_in_order(talk)
    every_voice_becomes_a_turn_or_is_ignored(talk)
    what_was_heard_was_played(talk, script)
    history_is_what_was_heard(talk, robin)
    whoever_speaks_gets_an_answer(talk, robin)


def it_ends_once_and_in_order(talk: Talk) -> None:
    assert [e.kind for e in talk.log[-2:]] == ["call.ended", "line.facts"]
    assert len(talk.of(events.Ended)) == 1
    assert [e.at for e in talk.log] == sorted(e.at for e in talk.log)
    assert talk.of(events.Fault) == []
    assert talk.end.at <= 30.0


def every_voice_becomes_a_turn_or_is_ignored(talk: Talk) -> None:
    began = [e.turn for e in talk.of(events.SpeechBegan)]
    assert len(began) == len(set(began))
    over = {e.turn for e in talk.of(events.Said)} | {e.turn for e in talk.of(events.Ignored)}
    assert set(began) == over
    for said in talk.of(events.Said):
        assert said.began <= said.ended <= said.at
        assert talk.answered <= said.began
    replies = [e.answers for e in talk.of(events.ReplyGap)]
    assert len(replies) == len(set(replies))
    assert all(e.seconds > 0 for e in talk.of(events.ReplyGap))


def what_was_heard_was_played(talk: Talk, script: Script) -> None:
    rest = script.words
    for said in talk.said("bot"):
        assert said.text.startswith(said.heard)
        assert said.cut or said.heard == said.text
        if said.heard:
            before, found, rest = rest.partition(said.heard)
            assert found == said.heard
            assert len(before) < 30  # words that were cut in their middle


def history_is_what_was_heard(talk: Talk, robin: Side) -> None:
    texts = {e.heard for e in talk.of(events.Said)}
    for history in robin.mind.asked:
        assert history[-1].who == "customer"
        assert {turn.text for turn in history} <= texts


def whoever_speaks_gets_an_answer(talk: Talk, robin: Side) -> None:
    """If the call goes on long enough, the responder is asked, or an opening that was in the making is the answer.

    A few words to a goodbye are a goodbye, also while it is being said. Who says two things to a bot that is never stopped gets an
    answer to the last.
    """
    stopped = robin.part.manners.barge_in is not None
    asked = [history[-1].text for history in robin.mind.asked]
    unasked = [e.began for e in talk.said("bot") if e.answers is None]
    for said in talk.said("customer"):
        last_word = talk.end.cause == "closure_phrase" and len(said.heard.split()) <= LAST_WORD_WORDS
        more = not stopped and any(said.ended < other.began < said.at + 4.0 for other in talk.said("customer"))
        if talk.end.at - said.at > 4.0 and not last_word and not more:
            assert said.heard in asked or any(began > said.ended for began in unasked)
