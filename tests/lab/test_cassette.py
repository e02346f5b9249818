"""What engines gave, kept and given again: in order, at the same cost, until somebody asks for something else."""

from __future__ import annotations

import asyncio
import random
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.cassette import INDEX, Cassette, Take
from lab.engines.cassette import Playback, Recording, TapedEmbedder, TapedRecognizer, TapedResponder, TapedVoice
from lab.engines.scripted import ScriptedDetector, ScriptedEars, ScriptedEmbedder, ScriptedResponder, ScriptedVoice
from lab.errors import ConfigError, InfrastructureError, ModelError
from lab.g711 import PCMU
from lab.offload import stream
from lab.pace import Pace
from lab.persona import PersonaVoice
from lab.ports import EngineFacts, Past, Priced, Stop, ToolCall, ToolResult, Turn
from lab.profile import Profile
from lab.shelf import JUDGE, Shelf

NEVER = threading.Event()
TURNS = [Turn("bot", "Hello."), Turn("customer", "Hi.")]
MINUTE = 60


class Clock:
    """Moves on by a tenth of a second whenever somebody looks."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


class Counting(ScriptedResponder):
    """Says one more word each time it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def respond(self, system: str, turns: Any, stop: Stop, *, tools: Any = ()) -> Iterator[str | ToolCall]:
        self.times += 1
        yield from [f"{word} " for word in range(self.times)]
        yield ToolCall("end_call", {"why": self.times})


def play(take: Take) -> Playback:
    return Playback(take, where="dental.cassette: confirms", anew="callctl test tests/scenarios --record")


def mind(take: Take) -> TapedResponder:
    return TapedResponder(play(take), ScriptedResponder.facts, None)


def recorded(times: int = 1) -> Take:
    tape = Recording(Clock())
    responder = TapedResponder(tape, ScriptedResponder.facts, Counting())
    for _ in range(times):
        list(responder.respond("Be kind.", TURNS, NEVER))
    return tape.take


def kept(take: Take, path: Path) -> Take:
    Cassette({"confirms": take}).save(path)
    return Cassette.load(path).takes["confirms"]


def test_items_come_again_in_order_at_their_cost(tmp_path: Path) -> None:
    items = mind(kept(recorded(), tmp_path / "c")).respond("Be kind.", TURNS, NEVER)
    assert isinstance(items, Priced)
    assert [(item, items.cost) for item in items] == [("0 ", 0.1), (ToolCall("end_call", {"why": 1}), 0.1)]


def test_what_was_asked_twice_has_two_answers_and_the_last_one_stays() -> None:
    responder = mind(recorded(times=2))
    lengths = [len(list(responder.respond("Be kind.", TURNS, NEVER))) for _ in range(4)]
    assert lengths == [2, 3, 3, 3]


def test_audio_is_what_the_line_would_make_of_it_while_recording_too(tmp_path: Path) -> None:
    tape = Recording()
    (first,) = TapedVoice(tape, ScriptedVoice.facts, ScriptedVoice()).speak("Hello.", 8000, NEVER)
    (plain,) = ScriptedVoice().speak("Hello.", 8000, NEVER)
    assert first == PCMU.decode(PCMU.encode(plain)) != plain
    (again,) = TapedVoice(play(kept(tape.take, tmp_path / "c")), ScriptedVoice.facts, None).speak("Hello.", 8000, NEVER)
    assert again == first
    (text,) = TapedRecognizer(tape, ScriptedEars.facts, ScriptedEars()).hear(first, 8000, stop=NEVER)
    assert text == "Hello."


def test_a_cost_on_the_tape_is_charged_in_place_of_the_table() -> None:
    pace, responder = Pace("fixed", {"llm": 7.0}), mind(recorded())

    async def length() -> float:
        began = pace.now()
        async for _ in stream(lambda stop: responder.respond("Be kind.", TURNS, stop), pace, "llm"):
            pass
        return pace.now() - began

    assert pace.run(length) == pytest.approx(0.2)


# -- what picks and likeness give --------------------------------------------------------------------------------------


class Weighing(ScriptedResponder):
    """Remembers for what it was used; has an opinion with more digits than a tape keeps."""

    def __init__(self) -> None:
        self.used: list[str] = []

    def warm(self, system: str, stop: Stop, turns: Any = (), *, use: Any = "talk") -> None:
        self.used.append(use)

    def weigh(self, system: str, turns: Any, choices: Any, stop: Stop) -> Iterator[Sequence[float]]:
        yield [-1 / 3, -2 / 3]

    def extract(self, system: str, text: str, schema: Any, stop: Stop, *, use: Any = "analysis") -> Iterator[str]:
        self.used.append(use)
        yield "{}"


def test_an_opinion_comes_again_and_while_recording_it_is_what_the_tape_keeps(tmp_path: Path) -> None:
    tape = Recording(Clock())
    responder = TapedResponder(tape, ScriptedResponder.facts, Weighing())
    (first,) = responder.weigh("Be kind.", TURNS, ("Yes", "No"), NEVER)
    assert list(first) == [-0.3333, -0.6667]
    items = mind(kept(tape.take, tmp_path / "c")).weigh("Be kind.", TURNS, ("Yes", "No"), NEVER)
    assert isinstance(items, Priced)
    assert [(list(item), items.cost) for item in items] == [(list(first), 0.1)]
    with pytest.raises(ConfigError, match=r"the pick was not asked this: .* the choices changed"):
        mind(tape.take).weigh("Be kind.", TURNS, ("Yes", "Never"), NEVER)


def test_vectors_come_again_bit_by_bit(tmp_path: Path) -> None:
    tape, texts = Recording(Clock()), ["Could we move it?", "", "I will be there."]
    (plain,) = ScriptedEmbedder().embed(texts, NEVER)
    (first,) = TapedEmbedder(tape, ScriptedEmbedder.facts, ScriptedEmbedder()).embed(texts, NEVER)
    assert np.array_equal(first, plain)
    played = TapedEmbedder(play(kept(tape.take, tmp_path / "c")), ScriptedEmbedder.facts, None)
    items = played.embed(texts, NEVER)
    assert isinstance(items, Priced)
    (again,) = items
    assert (again.dtype, again.shape, items.cost) == (plain.dtype, plain.shape, 0.1)
    assert np.array_equal(again, plain)
    with pytest.raises(ConfigError, match=r"the embed was not asked this: \"Could we move it\?\" .* the texts changed"):
        played.embed(texts[:1], NEVER)


def test_no_texts_have_no_vectors(tmp_path: Path) -> None:
    tape = Recording()
    (first,) = TapedEmbedder(tape, ScriptedEmbedder.facts, ScriptedEmbedder()).embed([], NEVER)
    played = TapedEmbedder(play(kept(tape.take, tmp_path / "c")), ScriptedEmbedder.facts, None)
    (again,) = played.embed([], NEVER)
    assert first.shape == again.shape == (0, 384)


def test_an_embedder_that_was_stopped_gave_nothing(tmp_path: Path) -> None:
    tape, stopped = Recording(), threading.Event()
    stopped.set()
    assert not list(TapedEmbedder(tape, ScriptedEmbedder.facts, ScriptedEmbedder()).embed(["Hi."], stopped))
    played = TapedEmbedder(play(kept(tape.take, tmp_path / "c")), ScriptedEmbedder.facts, None)
    with pytest.raises(ConfigError, match="was stopped in the middle"):
        list(played.embed(["Hi."], NEVER))


def test_the_model_behind_a_tape_is_told_for_what_it_is_used() -> None:
    weighing = Weighing()
    responder = TapedResponder(Recording(), ScriptedResponder.facts, weighing)
    responder.warm("Be kind.", NEVER, use="pick")
    list(responder.extract("Be kind.", "Hi.", {}, NEVER, use="fill"))
    assert weighing.used == ["pick", "fill"]


def test_a_changed_prompt_is_a_miss_that_says_so() -> None:
    tape = play(recorded())
    with pytest.raises(ConfigError) as error:
        TapedResponder(tape, ScriptedResponder.facts, None).respond("Be brief.", TURNS, NEVER)
    assert str(error.value) == (
        "dental.cassette: confirms: the recording does not fit this call: the llm was not asked this: "
        '"Hi." (nearest is "Hi.": the prompt changed) '
        "(record it anew: callctl test tests/scenarios --record)"
    )
    assert error.value.exit_code == 2
    assert tape.error is error.value


def test_the_first_miss_is_the_one_that_counts() -> None:
    tape = play(recorded())
    responder, ears = (
        TapedResponder(tape, ScriptedResponder.facts, None),
        TapedRecognizer(tape, ScriptedEars.facts, None),
    )
    with pytest.raises(ConfigError, match="what was said before changed") as first:
        responder.respond("Be kind.", TURNS[1:], NEVER)
    with pytest.raises(ConfigError, match=r"0\.02 s of audio \(no stt at all was recorded\)"):
        ears.hear(bytes(320), 8000, stop=NEVER)
    assert tape.error is first.value


def test_tools_are_part_of_a_question_only_where_there_are_some() -> None:
    tape = recorded()
    assert set(tape.answers[0].question.parts) == {"engine", "system", "turns"}
    list(mind(tape).respond("Be kind.", TURNS, NEVER, tools=[]))
    with pytest.raises(ConfigError, match="the tools changed"):
        mind(tape).respond("Be kind.", TURNS, NEVER, tools=[{"type": "function"}])


def test_what_a_tool_gave_is_part_of_what_was_said_before() -> None:
    tape = Recording(Clock())
    past: list[Past] = [*TURNS, ToolResult(ToolCall("book"), {"code": 1})]
    list(TapedResponder(tape, ScriptedResponder.facts, Counting()).respond("Be kind.", past, NEVER))
    assert list(mind(tape.take).respond("Be kind.", past, NEVER))
    with pytest.raises(ConfigError, match="what was said before changed"):
        mind(tape.take).respond("Be kind.", [*TURNS, ToolResult(ToolCall("book"), {"code": 2})], NEVER)


def test_another_model_is_another_engine() -> None:
    facts = replace(ScriptedResponder.facts, sha256="ab" * 32)
    with pytest.raises(ConfigError, match="the engine or its options changed"):
        TapedResponder(play(recorded()), facts, None).respond("Be kind.", TURNS, NEVER)


def test_an_answer_that_was_stopped_ends_where_it_was_stopped(tmp_path: Path) -> None:
    tape = Recording()
    words = TapedResponder(tape, ScriptedResponder.facts, Counting()).respond("Be kind.", TURNS, NEVER)
    with closing(words):  # type: ignore[type-var]
        assert next(words) == "0 "
    again = mind(kept(tape.take, tmp_path / "c")).respond("Be kind.", TURNS, NEVER)
    assert next(again) == "0 "
    with pytest.raises(ConfigError, match="stopped in the middle of its answer"):
        next(again)


@pytest.mark.parametrize("pace", ["fast", "fixed"])
def test_whoever_walks_away_leaves_an_incomplete_answer(pace: Any) -> None:
    tape, over = Recording(), threading.Event()

    class Endless(ScriptedResponder):
        facts = ScriptedResponder.facts

        def __init__(self) -> None: ...

        def respond(self, system: str, turns: Any, stop: Stop, *, tools: Any = ()) -> Iterator[str | ToolCall]:
            try:
                while not stop.is_set():
                    yield "on and "
            finally:
                over.set()

    responder = TapedResponder(tape, Endless.facts, Endless())

    async def main() -> None:
        items = stream(lambda stop: responder.respond("", [], stop), Pace(pace), "llm")
        await anext(items)
        await items.aclose()

    Pace(pace).run(main)
    assert over.wait(10)
    assert not tape.take.answers[0].complete


def test_an_engine_that_failed_is_incomplete_too() -> None:
    tape = Recording()

    class Broken(ScriptedEars):
        def hear(self, *args: Any, **kwargs: Any) -> Iterator[str]:
            yield "so far"
            raise ModelError("it broke")

    with pytest.raises(ModelError):
        list(TapedRecognizer(tape, Broken.facts, Broken()).hear(b"", 8000, stop=NEVER))
    assert [(a.items, a.complete) for a in tape.take.answers] == [(["so far"], False)]


def test_a_detector_tells_the_frame_in_which_it_hears_something_else(tmp_path: Path) -> None:
    frames = [random.Random(n).randbytes(320) if n % 2 else bytes(320) for n in range(50)]
    tape = Recording()
    detector = tape.detector("customer", ScriptedDetector())
    first = [detector.probability(frame, 8000) for frame in frames]
    take = kept(tape.take, tmp_path / "c")
    again = play(take).detector("customer")
    assert [again.probability(frame, 8000) for frame in frames] == first
    with pytest.raises(ConfigError, match=r"side ended 1\.00 s after the answer, and now it goes on"):
        again.probability(bytes(320), 8000)
    other = play(take).detector("customer")
    for frame in frames[:30]:
        other.probability(frame, 8000)
    with pytest.raises(ConfigError, match=r"what the customer hears is not what was heard then, from 0\.60 s"):
        other.probability(frames[31], 8000)
    with pytest.raises(ConfigError, match="nothing is recorded of the bot's detector"):
        play(take).detector("bot")


def test_the_same_content_is_the_same_file_and_a_call_of_a_minute_is_small(tmp_path: Path) -> None:
    """Somebody speaks all the time, noise that cannot be compressed; both sides have a detector."""
    tape, noise = Recording(Clock()), random.Random(1)

    class Noise(ScriptedVoice):
        def speak(self, text: str, rate: int, stop: Stop) -> Iterator[bytes]:
            yield PCMU.decode(noise.randbytes(3 * rate))

    for n in range(MINUTE // 3):
        list(TapedVoice(tape, Noise.facts, Noise()).speak(f"Sentence {n}.", 8000, NEVER))
        list(TapedResponder(tape, ScriptedResponder.facts, Counting()).respond("Be kind.", TURNS[:n], NEVER))
    for side in ("bot", "customer"):
        detector = tape.detector(side, ScriptedDetector())
        for _ in range(MINUTE * 50):
            detector.probability(noise.randbytes(320), 8000)
    Cassette({"a": tape.take, "b": tape.take}).save(tmp_path / "one")
    Cassette({"b": tape.take, "a": tape.take}).save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").stat().st_size < 500_000
    Cassette.load(tmp_path / "one").save(tmp_path / "three")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "three").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "three", "two"]


def test_parts_are_merged_and_the_newer_take_of_a_call_counts(tmp_path: Path) -> None:
    Cassette({"confirms": recorded(1), "silent": recorded(2)}).save(tmp_path / "old")
    Cassette({"confirms": recorded(3)}).save(tmp_path / "part-1")
    Cassette({"noisy": recorded(1)}).save(tmp_path / "part-2")
    whole = Cassette.load(tmp_path / "old")
    for part in ("part-1", "part-2"):
        whole.takes.update(Cassette.load(tmp_path / part).takes)
    whole.save(tmp_path / "whole")
    found = Cassette.load(tmp_path / "whole").takes
    assert {name: len(take.answers) for name, take in found.items()} == {"confirms": 3, "noisy": 1, "silent": 2}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)


def _text(path: Path) -> None:
    path.write_text("not a zip")


def _index(content: str) -> Any:
    def damage(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(INDEX, content)

    return damage


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (Path.unlink, "there is no cassette"),
        (_cut, "damaged"),
        (_flip, "damaged"),
        (_text, "damaged"),
        (_index("{"), "damaged"),
        (_index("[]"), "damaged"),
        (_index('{"version": 1, "takes": {"a": {"engines": {}, "answers": [{}], "tracks": {}}}}'), "damaged"),
        (_index('{"version": 1, "takes": {"a": {"engines": {}, "answers": [], "tracks": {"bot": ["x"]}}}}'), "damaged"),
        (_index('{"version": 2, "takes": {}}'), "of version 2; this callctl reads version 1"),
    ],
)
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, damage: Any, what: str) -> None:
    path = tmp_path / "dental.cassette"
    Cassette({"confirms": recorded()}).save(path)
    damage(path)
    with pytest.raises(ConfigError, match=what) as error:
        Cassette.load(path)
    assert error.value.where == str(path)
    assert "callctl test PATH --record" in (error.value.hint or "")


def test_what_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "c" / "d").mkdir(parents=True)
    with pytest.raises(InfrastructureError, match="cannot write the cassette"):
        Cassette({}).save(tmp_path / "c")
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


# -- the shelf ---------------------------------------------------------------------------------------------------------


def profile(**more: Any) -> Profile:
    return Profile.model_validate({"name": "robin", "prompt": "Be kind.", "opening_message": "Hello.", **more})


def full(sha256: str | None = None) -> Take:
    """A take that had every engine of `profile()`; sha256: of the models, in place of the catalogue's."""
    from lab import catalogue, shelf

    bot = profile()
    return Take(
        {
            asked: EngineFacts("engine", name, sha256 or catalogue.CATALOGUE[name].files[0].sha256)
            for asked, name in [
                (shelf._stt(bot.stt.model, bot.language, bot.stt.options), bot.stt.model),
                (shelf._llm(bot.llm), bot.llm.model),
                (shelf._tts(PersonaVoice(voice=bot.tts.voice), bot.tts.options), bot.tts.voice),
                (shelf._asked("turn", shelf.JUDGE), shelf.JUDGE),
            ]
        }
    )


def test_a_frozen_shelf_needs_no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLCTL_MODELS", str(tmp_path))
    monkeypatch.setenv("CALLCTL_OFFLINE", "1")
    shelf, bot = Shelf(Pace("fixed"), play(full())), profile()
    assert all(len(engine["sha256"]) == 64 for engine in shelf.facts(bot).values())

    async def main() -> list[Any]:
        engines: list[asyncio.Future[Any]] = [
            shelf.recognizer(bot.stt.model, bot.language, bot.stt.options),
            shelf.voice(PersonaVoice(voice=bot.tts.voice), bot.tts.options),
            shelf.responder(bot.llm),
            shelf.judge(),
        ]
        return [(await engine).facts.model for engine in engines]

    assert Pace("fixed").run(main) == [bot.stt.model, bot.tts.voice, bot.llm.model, JUDGE]


def test_another_model_or_option_in_the_profile_is_found_before_the_call() -> None:
    shelf = Shelf(Pace("fixed"), play(full()))
    with pytest.raises(ConfigError, match=r"there was no engine .*temperature"):
        shelf.facts(profile(llm={"temperature": 0.5}))
    with pytest.raises(ConfigError, match=r"was a model with SHA-256 abababababab…, now it is"):
        Shelf(Pace("fixed"), play(full("ab" * 32))).facts(profile())


def test_a_frozen_shelf_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    bot = profile(llm={"base_url": "http://127.0.0.1:1/v1", "api_key_env": "SOME_KEY"})
    Shelf(Pace("fixed"), play(Take())).check(bot)
    with pytest.raises(ConfigError, match="SOME_KEY is not set"):
        Shelf(Pace("fixed")).check(bot)


def test_an_engine_outlives_the_event_loop_it_was_loaded_in() -> None:
    shelf, bot = Shelf(Pace("fixed")), profile(llm={"base_url": "http://127.0.0.1:1/v1"})

    async def main() -> Any:
        return await shelf.responder(bot.llm)

    assert Pace("fixed").run(main) is Pace("fixed").run(main)
