"""The floor: what it answers to given voices, and what must hold for every voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import cues
from lab.floor import (
    AskAgain,
    Began,
    DeadAir,
    Duck,
    Endpointing,
    Floor,
    Listen,
    Manners,
    Move,
    Paused,
    Restore,
    Resumed,
    ThrownIn,
    TurnEnded,
    Yield,
)

MANNERS = Manners(endpointing=Endpointing.fixed(0.6), barge_in=0.4, words=False)
WORDS = Manners(
    endpointing=Endpointing(finished=0.3, unsure=0.7, number=1.0, unfinished=1.6, unheard=3.0), barge_in=0.3
)
VOICE, WANTS = Yield("voice"), Yield("words")


@dataclass
class Fed:
    """A floor and every move it made, with the frame it came in."""

    floor: Floor
    frame: int = -1
    moves: list[tuple[int, Move]] = field(default_factory=list)

    def told(self, text: str, upto: int, finished: float | None = None) -> Fed:
        self.floor.heard(text, upto)
        if finished is not None:
            self.floor.judged(finished, upto)
        return self

    def feed(self, voice: float, frames: int, *, sounding: bool = False, busy: bool = False) -> Fed:
        for _ in range(frames):
            self.frame += 1
            self.moves += [(self.frame, m) for m in self.floor.step(voice, sounding=sounding, busy=busy)]
        return self

    @property
    def what(self) -> list[Move]:
        return [m for _, m in self.moves]


def fed(manners: Manners = MANNERS) -> Fed:
    return Fed(Floor(manners))


def test_a_turn_counts_from_its_first_to_its_last_voiced_frame() -> None:
    talk = fed().feed(0, 10).feed(1, 20).feed(0, 40)
    assert talk.moves == [(12, Began(10)), (34, Paused(29)), (59, TurnEnded(10, 29))]
    assert talk.floor.spoke == (10, 29)


def test_a_click_is_no_turn() -> None:
    assert fed().feed(1, 2).feed(0, 1).feed(1, 2).feed(0, 100).what == []


def test_a_voice_between_the_thresholds_stays_what_it_was() -> None:
    assert fed().feed(0.4, 50).what == []
    assert fed().feed(1, 5).feed(0.4, 50).what == [Began(0)]


def test_a_pause_shorter_than_endpointing_does_not_end_the_turn() -> None:
    assert fed().feed(1, 10).feed(0, 29).feed(1, 10).feed(0, 30).what == [
        Began(0),
        Paused(9),
        Paused(48),
        TurnEnded(0, 48),
    ]


def test_listening_only_inside_a_turn() -> None:
    talk = fed().feed(0, 5)
    assert not talk.floor.listening
    assert talk.feed(1, 5).floor.listening
    assert not talk.feed(0, 30).floor.listening


def test_we_yield_once_they_have_spoken_long_enough() -> None:
    talk = fed().feed(1, 40, sounding=True).feed(0, 30)
    assert [m for m in talk.moves if m[1] == VOICE] == [(19, VOICE)]
    assert talk.what[-1] == TurnEnded(0, 39)


def test_speech_from_before_we_sounded_counts_towards_yielding() -> None:
    assert fed().feed(1, 30).feed(1, 1, sounding=True).what == [Began(0), VOICE]


def test_pauses_do_not_count_towards_yielding() -> None:
    talk = fed().feed(1, 15, sounding=True).feed(0, 20, sounding=True)
    assert VOICE not in talk.what
    assert talk.feed(1, 5, sounding=True).what[-1] == VOICE


def test_we_never_stop_without_barge_in() -> None:
    assert VOICE not in fed(Manners(barge_in=None)).feed(1, 500, sounding=True).what


def test_a_word_thrown_in_is_no_turn() -> None:
    assert fed().feed(1, 10, sounding=True).feed(0, 30, sounding=True).what == [Began(0), Paused(9), ThrownIn(0, 9)]


def test_a_word_at_the_end_of_our_line_is_a_turn() -> None:
    assert fed().feed(1, 10, sounding=True).feed(0, 30).what[-1] == TurnEnded(0, 9)


def test_the_turn_goes_on_while_our_reply_is_in_the_making() -> None:
    talk = fed().feed(1, 10).feed(0, 30).feed(0, 10, busy=True).feed(1, 10, busy=True).feed(0, 30)
    assert talk.what == [Began(0), Paused(9), TurnEnded(0, 9), Resumed(0), Paused(59), TurnEnded(0, 59)]


def test_it_is_a_new_turn_once_our_reply_has_sounded() -> None:
    talk = fed().feed(1, 10).feed(0, 30).feed(0, 5, busy=True).feed(0, 1, sounding=True).feed(0, 5, busy=True)
    assert talk.feed(1, 3).what[-1] == Began(51)


def test_silence_asks_again_and_ends_in_dead_air() -> None:
    talk = fed(Manners(ask_again_after=4, ask_again_times=2, dead_air=10)).feed(0, 2000)
    assert talk.moves == [(199, AskAgain(1, 4)), (399, AskAgain(2, 4)), (499, DeadAir(10))]


def test_quiet_is_counted_from_the_moment_both_have_fallen_silent() -> None:
    talk = fed(Manners(ask_again_after=4, ask_again_times=1, dead_air=10)).feed(0, 150).feed(0, 100, sounding=True)
    assert talk.feed(0, 199).what == []
    assert talk.feed(0, 1).what == [AskAgain(1, 4)]


def test_their_voice_starts_the_count_again() -> None:
    manners = Manners(endpointing=Endpointing.fixed(0.6), ask_again_after=4, ask_again_times=1, dead_air=6)
    talk = fed(manners).feed(0, 250).feed(1, 10).feed(0, 30)
    assert talk.feed(0, 199).what.count(AskAgain(1, 4)) == 1
    assert talk.feed(0, 1).what.count(AskAgain(1, 4)) == 2
    assert talk.feed(0, 100).what[-1] == DeadAir(6)


# -- the end of a turn, by its words and its sound ---------------------------------------------------------------------


def ends_after(text: str, finished: float | None = None, asked: str = "") -> float:
    """Seconds of silence that end a turn with these words."""
    talk = fed(WORDS)
    talk.floor.expects = cues.expected(asked)
    talk.feed(1, 50).feed(0, 10).told(text, 49, finished).feed(0, 200)
    (ended,) = [frame for frame, move in talk.moves if isinstance(move, TurnEnded)]
    return round((ended - 49) * 0.02, 2)


@pytest.mark.parametrize(
    ("text", "finished", "seconds"),
    [
        ("Yes, that works.", None, 0.3),
        ("Yes, that works.", 0.9, 0.3),
        ("Yes, that works.", 0.05, 0.7),
        ("Yes, that works.", 0.01, 1.0),
        ("I think that works for me", None, 0.7),
        ("I think that works for me", 0.9, 0.3),
        ("I'd like.", 0.9, 1.6),
        ("Yes", None, 0.5),
        ("Tuesday", None, 0.3),
        ("Could you also?", 0.9, 1.0),
        ("It is 202, 555", 0.9, 1.0),
        ("", 0.0, 0.3),
    ],
)
def test_how_long_a_silence_ends_a_turn(text: str, finished: float | None, seconds: float) -> None:
    assert ends_after(text, finished) == seconds


def test_what_was_asked_for_must_be_whole() -> None:
    asked = "What is the best number to reach you?"
    assert ends_after("Two oh two.", asked=asked) == 1.0
    assert ends_after("202-555-0143.", asked=asked) == 0.3
    assert ends_after("Why do you need it?", asked=asked) == 0.3


def test_a_turn_does_not_end_while_its_last_words_are_still_being_recognised() -> None:
    talk = fed(WORDS).feed(1, 30).feed(0, 10).told("Hello.", 29).feed(1, 20).feed(0, 40)
    assert [m for m in talk.what if isinstance(m, TurnEnded)] == []
    assert talk.told("Hello. Who is this?", 59).feed(0, 1).what[-1] == TurnEnded(0, 59)


def test_words_that_never_come_end_the_turn_all_the_same() -> None:
    talk = fed(WORDS).feed(1, 30).feed(0, 149)
    assert TurnEnded(0, 29) not in talk.what
    assert talk.feed(0, 1).what[-1] == TurnEnded(0, 29)


def test_words_of_an_earlier_turn_count_nothing() -> None:
    talk = fed(WORDS).feed(1, 30).feed(0, 10).told("Hello.", 29).feed(0, 40).feed(1, 20).told("Hello.", 29).feed(0, 40)
    assert [m for m in talk.what if isinstance(m, TurnEnded)] == [TurnEnded(0, 29)]


# -- voice while we sound ----------------------------------------------------------------------------------------------


def test_we_speak_softer_with_the_first_voice_and_at_full_level_after_it() -> None:
    talk = fed(WORDS).feed(0, 20, sounding=True).feed(1, 8, sounding=True).feed(0, 30, sounding=True)
    assert [(f, m) for f, m in talk.moves if isinstance(m, Duck | Restore)] == [(21, Duck()), (37, Restore())]


def test_even_a_click_ducks_and_nothing_else() -> None:
    assert fed(WORDS).feed(1, 2, sounding=True).feed(0, 40, sounding=True).what == [Duck(), Restore()]


def test_what_they_say_is_looked_at_as_they_speak() -> None:
    talk = fed(WORDS).feed(1, 15, sounding=True)
    assert talk.what[-1] == Listen(14)
    talk.feed(1, 20, sounding=True)
    assert talk.what[-1] == Listen(14), "one look at a time"
    assert talk.told("Mm-hmm.", 14).feed(1, 1, sounding=True).what[-1] == Listen(35)


def test_words_that_ask_for_the_floor_stop_us() -> None:
    talk = fed(WORDS).feed(1, 20, sounding=True).told("Yeah.", 14).feed(1, 10, sounding=True)
    assert WANTS not in talk.what
    assert talk.told("Yeah, but I", 29).feed(1, 1, sounding=True).what[-1] == WANTS


def test_a_short_word_that_asks_for_the_floor_stops_us_once_it_is_known() -> None:
    talk = fed(WORDS).feed(1, 12, sounding=True).feed(0, 10, sounding=True)
    assert talk.what[-2:] == [Paused(11), Restore()]
    assert talk.told("Stop.", 11).feed(0, 1, sounding=True).what[-1] == WANTS
    assert TurnEnded(0, 11) not in talk.feed(0, 20).what, "who has stopped us has more to say"
    assert talk.feed(0, 10).what[-1] == TurnEnded(0, 11)


def test_words_that_only_say_they_listen_never_stop_us() -> None:
    talk = fed(WORDS)
    for _ in range(5):
        talk.feed(1, 25, sounding=True).feed(0, 10, sounding=True)
        talk.told("Yeah, okay.", talk.floor.spoke[1]).feed(0, 40, sounding=True)
    assert not any(isinstance(m, Yield | TurnEnded) for m in talk.what)
    assert sum(isinstance(m, ThrownIn) for m in talk.what) == 5


def test_voice_without_words_stops_us_when_it_goes_on() -> None:
    talk = fed(WORDS).feed(1, 40, sounding=True).told("", 14).feed(1, 39, sounding=True)
    assert VOICE not in talk.what
    assert talk.feed(1, 2, sounding=True).what.count(VOICE) == 1


def test_what_was_not_their_voice_is_forgotten() -> None:
    talk = fed(WORDS).feed(1, 5, sounding=True)
    talk.floor.not_theirs()
    assert not talk.floor.listening
    talk.feed(0, 100, sounding=True)
    assert talk.what == [Duck(), Began(0), Restore()]


# -- for every voice ---------------------------------------------------------------------------------------------------

Frame = tuple[float, bool, bool]
stretches = st.tuples(
    st.sampled_from([0.0, 0.0, 0.4, 1.0, 1.0]), st.booleans(), st.booleans(), st.integers(min_value=1, max_value=60)
)
talks = st.lists(stretches, max_size=12).map(lambda parts: [(p, s, b) for p, s, b, n in parts for _ in range(n)])
manners = st.builds(
    Manners,
    endpointing=st.sampled_from([0.1, 0.2, 0.6, 1.0]).map(Endpointing.fixed),
    barge_in=st.sampled_from([None, 0.1, 0.4, 0.8]),
    words=st.booleans(),
    ask_again_after=st.sampled_from([None, 0.2, 1.0]),
    ask_again_times=st.integers(0, 3),
    dead_air=st.sampled_from([None, 0.4, 1.0, 3.0]),
)
recognised = st.lists(st.sampled_from([None, "", "Yes.", "Mm-hmm.", "I'd like", "202", "Hold on"]), max_size=12)
quick = settings(max_examples=20, deadline=None)


def run(floor: Floor, talk: Sequence[Frame], texts: Sequence[str | None] = ()) -> list[tuple[Frame, bool, list[Move]]]:
    """Each frame with whether they were in a turn before it, and its moves.

    texts: what is recognised 5 frames after each time that recognition is asked for; None for never.
    """
    done: list[tuple[Frame, bool, list[Move]]] = []
    due: list[tuple[int, str | None, int]] = []
    known = iter(texts)
    for number, frame in enumerate(talk):
        for at, text, upto in due:
            if at == number and text is not None:
                floor.heard(text, upto)
        moves: list[Move] = []
        listening = floor.listening
        for move in floor.step(frame[0], sounding=frame[1], busy=frame[2]):
            moves.append(move)
            if isinstance(move, Paused | Listen):
                due.append((number + 5, next(known, None), move.ended if isinstance(move, Paused) else move.upto))
        done.append((frame, listening, moves))
    return done


@quick
@given(manners, talks, recognised)
def test_every_turn_ends_once_they_are_silent(manners: Manners, talk: list[Frame], texts: list[str | None]) -> None:
    floor = Floor(manners)
    run(floor, talk, texts)
    run(floor, [(0.0, False, False)] * 160)
    assert not floor.listening


@quick
@given(manners, talks, recognised)
def test_moves_about_turns_come_in_order(manners: Manners, talk: list[Frame], texts: list[str | None]) -> None:
    inside, opened, yielded, last = False, None, False, -1
    for _, _, moves in run(Floor(manners), talk, texts):
        for move in moves:
            match move:
                case Began(began):
                    assert not inside
                    assert began > last
                    inside, opened, yielded = True, began, False
                case Resumed(began):
                    assert not inside
                    assert began == opened
                    inside = True
                case TurnEnded(began, ended) | ThrownIn(began, ended):
                    assert inside
                    assert began == opened
                    assert began <= ended
                    inside, last = False, ended
                case Yield():
                    assert inside
                    assert not yielded
                    yielded = True
                case Paused() | Listen():
                    assert inside
                case AskAgain() | DeadAir():
                    assert not inside


@quick
@given(manners, talks)
def test_dead_air_and_asking_again_only_while_nobody_has_the_floor(manners: Manners, talk: list[Frame]) -> None:
    dead = 0
    for (_, sounding, busy), listening, moves in run(Floor(manners), talk):
        for move in moves:
            if isinstance(move, AskAgain | DeadAir):
                assert not any((sounding, busy, listening))
            if isinstance(move, AskAgain):
                assert 1 <= move.attempt <= manners.ask_again_times
            dead += isinstance(move, DeadAir)
    assert dead <= 1


@quick
@given(manners.filter(lambda m: m.dead_air is not None), talks)
def test_endless_silence_always_ends_in_dead_air(manners: Manners, talk: list[Frame]) -> None:
    floor = Floor(manners)
    before = [m for _, _, moves in run(floor, talk) for m in moves]
    after = [m for _, _, moves in run(floor, [(0.0, False, False)] * 250) for m in moves]
    assert sum(isinstance(m, DeadAir) for m in before + after) == 1


@quick
@given(manners, talks, recognised)
def test_we_are_softer_only_while_we_sound_and_never_for_ever(
    manners: Manners, talk: list[Frame], texts: list[str | None]
) -> None:
    ducked = False
    floor = Floor(manners)
    for (_, sounding, _), _, moves in run(floor, [*talk, *[(0.0, True, False)] * 20], texts):
        if not sounding:
            ducked = False  # the next line begins at full level
        for move in moves:
            if isinstance(move, Duck):
                assert sounding
                assert not ducked
                ducked = True
            if isinstance(move, Restore):
                assert ducked
                ducked = False
    assert not ducked


@quick
@given(talks, recognised)
def test_a_turn_that_ends_by_its_words_has_all_of_them(talk: list[Frame], texts: list[str | None]) -> None:
    """Never while part of it is still being recognised."""
    floor = Floor(WORDS)
    known, waiting = iter(texts), dict[int, tuple[str, int]]()
    for number, frame in enumerate([*talk, *[(0.0, False, False)] * 40]):
        if number in waiting:
            floor.heard(*waiting.pop(number))
        for move in floor.step(frame[0], sounding=False, busy=False):
            if isinstance(move, Paused) and (text := next(known, None)) is not None:
                waiting[number + 9] = (text, move.ended)
            if isinstance(move, TurnEnded):
                assert not any(upto == move.ended for _, upto in waiting.values())


@quick
@given(talks)
def test_a_floor_without_manners_for_silence_never_breaks_it(talk: list[Frame]) -> None:
    moves = [m for _, _, moves in run(Floor(Manners()), [*talk, *[(0.0, False, False)] * 250]) for m in moves]
    assert not any(isinstance(m, AskAgain | DeadAir) for m in moves)
