"""Whole calls on tape: a call that is played is the recorded one, byte by byte, and asks no engine."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lab.call import Engines
from lab.carrier import Carrier
from lab.cassette import Cassette, Take
from lab.dialogue import Brief, Dialogue
from lab.engines.cassette import Playback, Recording, TapedRecognizer, TapedResponder, TapedVoice
from lab.engines.scripted import ScriptedDetector
from lab.errors import ConfigError
from lab.floor import Endpointing, Manners
from lab.pace import Pace, PaceName
from lab.persona import Persona
from lab.ports import Responder
from lab.profile import Profile, Resolved
from lab.runner import Lab, Order

from .holding import END, Side, bot, customer, hold

ROOT = Path(__file__).parents[2]
NAME = "lively"
LONG = "It is Robin. And I ask you again, if I may, on which day of this week or the next you want to come to us."
SLOWLY = [f"{word} " for word in LONG.split()]


@dataclass
class OnTape(Side):
    """A side whose every engine is on the tape."""

    tape: Recording | Playback | None = None

    def engines(self, pace: Pace) -> Engines:
        tape, me = self.tape, self.part.me
        assert tape is not None
        recording = isinstance(tape, Recording)
        detector = tape.detector(me, ScriptedDetector()) if isinstance(tape, Recording) else tape.detector(me)
        mind: asyncio.Future[Responder] = self._load(
            TapedResponder(tape, self.mind.facts, self.mind if recording else None)
        )
        return Engines(
            self._load(TapedRecognizer(tape, self.ears.facts, self.ears if recording else None)),
            Dialogue(self.brief, mind, pace),
            self._load(TapedVoice(tape, self.voice.facts, self.voice if recording else None)),
            detector,
        )


def sides(tape: Recording | Playback, prompt: str = "Be kind.") -> tuple[Side, Side]:
    """A lively call: an interruption while a reply is still being made, silence that is asked about, a goodbye."""
    remarks = iter(["Wait, who is this?", "Ah, that is you, and where?", "", "Fine, then I come on Friday."])
    robin = bot(
        "Hello, this is Robin from the dental clinic. I am calling about your appointment.",
        lambda heard: ["Good", "bye.", END] if "Friday" in heard else SLOWLY,
        manners=Manners(endpointing=Endpointing.fixed(0.5), ask_again_after=2.0, ask_again_times=2, dead_air=20.0),
        ask_again=("Are you there?", "Hello?"),
        max_duration=60.0,
    )
    pat = customer(
        lambda heard: next(remarks, "Yes."), manners=Manners(endpointing=Endpointing.fixed(0.2), barge_in=0.8)
    )
    robin.brief = Brief(system=prompt)
    return _on(tape, robin), _on(tape, pat)


def _on(tape: Recording | Playback, side: Side) -> Side:
    return OnTape(side.part, side.mind, side.ears, side.voice, brief=side.brief, tape=tape)


def recorded() -> tuple[Take, str]:
    """On a machine where each piece takes an engine 137 ms."""
    tape = Recording(count(0, 0.137).__next__)
    talk = hold(*sides(tape))
    assert talk.end.cause == "end_call"
    return tape.take, talk.text


def playback(take: Take) -> Playback:
    return Playback(take, where=NAME, anew="callctl test PATH --record")


def played(path: Path) -> str:
    """Both logs of the call on the cassette at `path`; what a fresh process prints."""
    return hold(*sides(playback(Cassette.load(path).takes[NAME]))).text


def test_a_played_call_is_the_recorded_one_in_this_process_and_in_another(tmp_path: Path) -> None:
    take, text = recorded()
    path = tmp_path / "calls.cassette"
    Cassette({NAME: take}).save(path)
    assert not all(answer.complete for answer in take.answers)  # somebody was interrupted while speaking
    assert played(path) == played(path) == text
    code = f"from pathlib import Path; from tests.calls.test_frozen import played; print(played(Path({str(path)!r})))"
    fresh = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert fresh.stdout == text + "\n"


def test_another_prompt_is_one_error_that_names_call_stage_and_command() -> None:
    take, _ = recorded()
    tape = playback(take)
    talk = hold(*sides(tape, prompt="Be brief."))
    assert talk.end.cause == "error"
    assert str(tape.error).startswith(f"{NAME}: the recording does not fit this call: the llm was not asked this: ")
    assert "the prompt changed" in str(tape.error)
    assert "record it anew: callctl test PATH --record" in str(tape.error)


def test_audio_that_goes_another_way_is_found_where_it_does() -> None:
    take, _ = recorded()
    answer = next(a for a in take.answers if a.question.stage == "tts" and a.items)
    codes = answer.items[0]
    assert isinstance(codes, bytes)
    answer.items[0] = codes[:4000] + bytes([codes[4000] ^ 0x10]) + codes[4001:]
    tape = playback(take)
    with pytest.raises(ConfigError, match=r"what the customer hears is not what was heard then, from 0\.\d\d s after"):
        hold(*sides(tape))
    assert tape.error is not None


# -- through the lab: a mind on a server that is gone when the call is played --------------------------------------------


@contextmanager
def server(asked: list[dict[str, Any]]) -> Iterator[int]:
    """An OpenAI-compatible server whose bot says always the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            line = '{"confirmed": true}' if "response_format" in body else "I see."
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for word in line.split(" "):
                delta = {"choices": [{"delta": {"content": f" {word}"}}]}
                self.wfile.write(f"data: {json.dumps(delta)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, format: str, *args: object) -> None: ...

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=service.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield service.server_port
    finally:
        service.shutdown()
        service.server_close()
        thread.join()


def dial(root: Path, port: int, pace: PaceName, tape: Recording | Playback) -> str:
    profile = {
        "name": "robin",
        "prompt": "Be kind.",
        "opening_message": "Do you come on Friday?",
        "stt": {"model": "scripted"},
        "tts": {"voice": "scripted"},
        "llm": {"model": "some-model", "base_url": f"http://127.0.0.1:{port}/v1"},
        "analysis": {"instructions": "Look.", "schema": {"confirmed": {"type": "boolean"}}},
    }
    yes = {"name": "yes", "when": "friday", "say": "Yes, I do.", "once": True}
    bye = {"name": "bye", "when": "see", "say": "Goodbye then.", "then": "hang_up"}
    persona = Persona.model_validate({"name": "Pat", "number": "+12025550123", "reactions": [yes, bye]})
    order = Order(Resolved(Profile.model_validate(profile), ()), "+12025550123", "+12025550190")

    async def main() -> None:
        carrier = Carrier([("pat", persona)])
        noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
        async with Lab(
            carrier, root, pace=Pace(pace), carried="loop", now=lambda: noon, token=lambda n: "0" * 2 * n
        ) as lab:
            lab.shelf.tape = tape
            await asyncio.wait_for(lab.dial(order), 1000)

    Pace(pace).run(main)
    (folder,) = root.iterdir()
    return (folder / "events.jsonl").read_text() + (folder / "customer.jsonl").read_text()


def test_a_lab_call_is_played_when_its_server_is_gone(tmp_path: Path) -> None:
    tape, asked = Recording(), list[dict[str, Any]]()
    with server(asked) as port:
        live = dial(tmp_path / "live", port, "fast", tape)
    assert "I see." in live
    calls = len(asked)
    logs = {dial(tmp_path / f"{n}", port, "fixed", playback(tape.take)) for n in range(3)}
    assert len(logs) == 1
    log = logs.pop()
    assert "Goodbye then." in log
    assert '"confirmed":true' in log
    assert "fault" not in log
    assert len(asked) == calls
