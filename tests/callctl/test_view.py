"""What is shown of a call: the fold, the plain lines, and the picture on a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterable
from pathlib import Path

import pytest

from callctl.plain import printable
from callctl.view import Note, Seen, Spoken, View, ending, minutes, show
from lab import events
from tests.callctl.conftest import Store


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def plain(log: Iterable[events.Event]) -> list[str]:
    """What a pipe gets."""
    out = io.StringIO()
    view = View(out)
    for event in log:
        view(event)
    return out.getvalue().splitlines()


def customer(text: str, *, turn: int = 2, at: float = 5.0) -> list[events.Event]:
    said = events.Said(at=at, who="customer", turn=turn, text=text, heard=text, began=at, ended=at)
    return [events.SpeechBegan(at=at, who="customer", turn=turn, began=at), said]


def test_a_whole_call_on_a_pipe(log: list[events.Event]) -> None:
    assert plain(log) == [
        "dental-reminder  +12025550190 → +12025550101 (Jordan Lee)",
        "                   dialling",
        "                   ringing",
        " 0:00.0            answered after 2.0 s, PCMU",
        " 0:00.1  bot       Am I speaking with Jordan?",
        " 0:02.5  customer  Yes, this is Jordan.",
        " 0:04.1  bot       Your visit — cut off: is on Tuesday. · 840 ms",
        " 0:04.8            the customer spoke over the bot, which stopped for words",
        " 0:04.8  customer  Which day?",
        " 0:06.9  bot       Tuesday. · 1000 ms",
        " 0:07.2            a sound was ignored: spoken over the other side",
        "",
        "  ended            the customer hung up (outcome: customer)",
        "  duration         0:09",
        "  turns            3 bot, 2 customer",
        "  interruptions    1",
        "  voice to voice   920 ms median, 1000 ms worst, on the bot's side",
        "  analysis         DISPOSITION: Confirmed",
        "                   SURE: true",
        "  goal             reached",
    ]


def test_how_replies_came_about_and_what_is_known_at_the_end(log: list[events.Event]) -> None:
    lines = plain(
        [
            *log[:10],
            events.ToolCalled(at=5.95, name="book_slot", arguments={"day": "Tuesday"}),
            events.ToolAnswered(at=6.0, name="book_slot", ok=True, data={"code": "A 12"}, took=0.05),
            events.Replied(
                at=6.14, turn=3, answers=2, how="picked", step="identity", pick="yes", confidence=0.995,
                filled={"person": "right"}, by={"person": "profile"}, next="visit", fields={"person": "right"},
            ),
            *log[10:16],
            events.Replied(
                at=8.9, turn=5, answers=4, how="unknown", step="visit", pick="asks_when", confidence=0.31, second=-1.25,
                dropped="a figure out of nothing: 12 (It is at 12.)", next="visit", fields={"person": "right", "visit": "coming"},
            ),
            *log[16:],
        ]
    )  # fmt: skip
    assert lines[5:15] == [
        " 0:02.5  customer  Yes, this is Jordan.",
        " 0:04.0            the bot called book_slot (day: Tuesday)",
        ' 0:04.0            book_slot answered after 0.1 s: {"code": "A 12"}',
        " 0:04.1  bot       Your visit — cut off: is on Tuesday. · 840 ms",
        "                   picked yes in identity, confidence 0.99; person = right (by the profile); then visit",
        " 0:04.8            the customer spoke over the bot, which stopped for words",
        " 0:04.8  customer  Which day?",
        " 0:06.9  bot       Tuesday. · 1000 ms",
        "                   unknown in visit, as nothing prepared fits, likeliest asks_when, confidence 0.31; "
        "the model thought no (-1.2); dropped: a figure out of nothing: 12 (It is at 12.)",
        " 0:07.2            a sound was ignored: spoken over the other side",
    ]
    assert "  fields           person right, visit coming" in lines


def test_where_a_line_came_from_is_dim_and_stands_below_it(log: list[events.Event], tmp_path: Path) -> None:
    out = Terminal()
    show([*log[:10], events.Replied(at=6.1, turn=3, answers=2, how="free"), *log[10:]], tmp_path, out)
    lines = out.getvalue().splitlines()
    below = lines[1 + next(i for i, line in enumerate(lines) if "cut off" in line)]
    assert "\x1b[2mfree, the model's own words\x1b[0m" in below


def test_a_customers_turn_stays_open_until_somebody_else_speaks(log: list[events.Event]) -> None:
    start = log[:4]
    again = events.Said(at=6.0, who="customer", turn=2, text="Yes, it is me.", heard="Yes, it is me.", began=5.0, ended=6.0)  # fmt: skip
    assert "Yes" not in "".join(plain([*start, *customer("Yes")]))
    reply = events.SpeechBegan(at=7.0, who="bot", turn=3, began=7.0)
    assert plain([*start, *customer("Yes"), again, reply])[4:] == [" 0:03.0  customer  Yes, it is me."]


def test_what_the_end_leaves_open_is_shown_as_far_as_it_is_known(log: list[events.Event]) -> None:
    end = next(e for e in log if isinstance(e, events.Ended))
    assert " 0:02.5  customer  Yes, this is" in plain([*log[:9], end])


def test_a_turn_that_never_sounded_is_not_shown(log: list[events.Event]) -> None:
    seen = Seen()
    for event in [*log[:4], events.Partial(at=2.5, who="bot", turn=1, text="Hel")]:
        seen.see(event)
    assert all(isinstance(item, Note) for item in seen.items)


def test_text_known_before_the_sound_is_not_lost(log: list[events.Event]) -> None:
    seen = Seen()
    for event in [*log[:4], log[5], log[4]]:
        seen.see(event)
    assert seen.items[-1] == Spoken("bot", 1, 2.1, text="Am I speaking")


def test_notes(log: list[events.Event]) -> None:
    lines = plain(
        [
            *log[:4],
            events.ReEngaged(at=10.0, attempt=1, silence=8.0),
            events.Unresolved(at=10.0, name="crm.day"),
            events.Fault(at=10.0, where="whisper", what="out of memory", fatal=True),
            events.ToolCalled(at=10.0, name="transfer"),
            events.ToolCalled(at=10.0, name="end_call"),
        ]
    )
    assert [line.strip().split(maxsplit=1)[1] for line in lines[4:]] == [
        "nobody spoke for 8 s: the bot asks again (1)",
        "{{crm.day}} has no value",
        "whisper: out of memory",
        "the bot called transfer",
    ]


@pytest.mark.parametrize(
    ("cause", "code", "reason", "words"),
    [
        ("closure_phrase", 200, "OK", "the bot said goodbye and hung up"),
        ("sip_error", 404, "Not Found", "the call was not connected (404 Not Found)"),
        ("rejected", 486, "Busy Here", "the customer rejected the call (486 Busy Here)"),
        ("line_lost", 0, "exit 9", "the line was lost (exit 9)"),
        ("a later version's", 0, "", "a later version's"),
    ],
)
def test_endings(cause: str, code: int, reason: str, words: str) -> None:
    assert ending(events.Ended(at=1.0, cause=cause, code=code, reason=reason)) == words


def test_a_call_nobody_answered_has_no_figures(log: list[events.Event]) -> None:
    end = events.Ended(at=30.0, cause="ring_timeout", by="here")
    skipped = events.Analysed(at=30.0, data=None, error="not analysed: nobody answered", took=0.0, attempts=0)
    assert plain([*log[:3], end, skipped])[3:] == [
        "",
        "  ended            the bot gave up: nobody answered in time (outcome: no_answer)",
        "  analysis         none: not analysed: nobody answered",
        "  goal             not reached",
    ]


def test_model_output_cannot_steer_the_terminal(log: list[events.Event]) -> None:
    nasty = "[red]bold[/red] \x1b[2J\x07 a\nb\u202e :smile:"
    text = "\n".join(plain([*log[:4], *customer(nasty), events.Ended(at=6.0, cause="hung_up")]))
    assert "[red]bold[/red] \ufffd[2J\ufffd a b\ufffd :smile:" in text


def test_printable_keeps_letters() -> None:
    assert printable("Grüß Gott, क्षत्रिय, 你好 👩\u200d⚕ \U0001f9b7") == "Grüß Gott, क्षत्रिय, 你好 👩\u200d⚕ \U0001f9b7"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.99, "0:59"), (61, "1:01"), (3600, "60:00")])
def test_minutes(seconds: float, shown: str) -> None:
    assert minutes(seconds) == shown


def test_long_texts_hang_below_themselves_on_a_terminal(
    log: list[events.Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    long = " ".join(["word"] * 40) + " " + "x" * 100
    show([*log[:4], *customer(long), events.Ended(at=6.0, cause="hung_up")], tmp_path, out)
    lines = [line for line in unstyled(out.getvalue()).splitlines() if "word" in line or "xx" in line]
    assert lines[0].startswith(" 0:03.0  customer  word")
    assert all(line.startswith(" " * 19) for line in lines[1:])
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)
    assert "".join("".join(line[19:].split()) for line in lines) == "".join(long.split())


def test_no_color_keeps_the_marks(log: list[events.Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    show(log, tmp_path, out)
    assert "Your visit — cut off: is on Tuesday." in unstyled(out.getvalue())
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", out.getvalue())


def test_a_log_without_an_end(log: list[events.Event], tmp_path: Path) -> None:
    out = io.StringIO()
    show(log[:9], tmp_path, out)
    assert " 0:02.5  customer  Yes, this is\n\n  ended            not yet, as far as the log goes\n" in out.getvalue()


def test_files_lie_where_they_are_said_to(
    log: list[events.Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recordings" / "x"
    folder.mkdir(parents=True)
    (folder / "call.wav").touch()
    out = io.StringIO()
    monkeypatch.chdir(tmp_path)
    show(log, folder, out)
    assert out.getvalue().splitlines()[-2:] == ["  files            recordings/x/", "                   call.wav"]
    monkeypatch.chdir(folder)
    show(log, folder.parent, out)
    assert f"  files            {folder.parent}/\n" in out.getvalue()


LIVE = """
import sys
from callctl.view import View
from lab import events
with View(sys.stdout) as view:
    for line in open(sys.argv[1], encoding="utf-8"):
        view(events.from_line(line))
"""


def test_live_on_a_terminal_of_80_columns(log: list[events.Event], keep: Store) -> None:
    shown = on_terminal([sys.executable, "-c", LIVE, str(keep(log) / "events.jsonl")])
    assert "● ringing 0:00   Ctrl-C hangs up" in unstyled(shown)
    assert "\x1b[2mYes, this is\x1b[0m" in shown, "partial text is dim"
    settled = unstyled(shown).split("answered 0:09")[-1]
    assert settled.count("the customer hung up") == 1
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is back"
    assert "dialling\r" not in unstyled(shown), "the live region says that"
    assert "\r\n  goal             reached\r\n" in unstyled(shown)
    assert shown.endswith("\x1b[1A\x1b[2K"), "the live region is gone"


def unstyled(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def on_terminal(command: list[str], columns: int = 80) -> str:
    """Everything `command` writes to a terminal it believes to stand on."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    environment |= {"TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = bytearray()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        while chunk := _read(screen):
            shown += chunk
    assert process.wait(timeout=10) == 0, shown.decode()
    return shown.decode()


def _read(screen: io.FileIO) -> bytes:
    try:
        return screen.read(65536) or b""
    except OSError:  # Linux: the other end is closed
        return b""
