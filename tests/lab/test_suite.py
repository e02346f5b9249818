"""Suites: what is found, how cases are held and judged, what is kept of a run."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from lab import record, suite
from lab.cassette import Cassette
from lab.errors import ConfigError, ConfigErrors
from lab.suite import Case, How, Outcome

BOT = """
name: echo
opening_message: Hello, can you come?
prompt: "-"
stt: {model: scripted}
llm:
  model: scripted
  options:
    reactions: [{name: great, when: i will, say: Great.}]
    otherwise: Pardon?
tts: {voice: scripted}
"""
SAYS_YES = """
name: says yes
profile: BOT
tags: [smoke]
turns:
  - user: Yes, I will.
    expect: {event: reply, contains: WORD}
  - hang_up: true
expect: {result: disconnected_by, equals: customer}
"""
REACTS = """
name: reacts
profile: BOT
tags: [slow]
reactions:
  - {name: comes, when: can you come, say: "Yes, I will."}
  - {name: bye, when: great, say: Bye., then: hang_up}
expect: {result: disconnected_by, equals: customer}
"""
FIXED = How(pace="fixed")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot.yaml").write_text(BOT)
    return tmp_path


def write(name: str, text: str = SAYS_YES, *, word: str = "great") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("BOT", str(Path("bot.yaml").resolve())).replace("WORD", word))
    return path


def three() -> list[Case]:
    """One that passes, one that fails, one that cannot be held."""
    write("suite/good.yaml")
    write("suite/deep/bad.yaml", word="splendid")
    write("suite/worse.yaml", SAYS_YES.replace("BOT", "no-such-bot"))
    return suite.find([Path("suite")])


def run(cases: list[Case], how: How = FIXED, *, root: str = "out", workers: int = 1) -> dict[str, Outcome]:
    return {o.name: o for o in suite.run(cases, how, Path(root), {}, workers=workers)}


def names(**options: str) -> list[str]:
    return [case.name for case in suite.find([Path("suite")], **options)]


# -- find --------------------------------------------------------------------------------------------------------------


def test_finds_files_below_folders_in_order_by_words_and_by_tag() -> None:
    write("suite/b.yaml")
    write("suite/a.yml", REACTS)
    write("suite/deep/c.yaml", SAYS_YES.replace("says yes", "Says YES twice"))
    assert names() == ["a", "b", "deep/c"]
    assert names(words="yes SAYS") == ["b", "deep/c"]
    assert names(words="deep") == ["deep/c"], "the path counts as well"
    assert names(tag="slow") == ["a"]
    assert names(words="says", tag="smoke") == ["b", "deep/c"]
    (one,) = suite.find([Path("suite/deep/c.yaml")])
    assert one == Case("c", Path("suite/deep/c.yaml"))


def test_a_file_that_is_named_twice_is_there_once_and_names_differ() -> None:
    a, b, c = write("a/x.yaml"), write("b/x.yaml"), write("b/x-2.yaml")
    cases = suite.find([Path("a"), a, Path("b"), Path("b/../a")])
    assert cases == [Case("x", a), Case("x-2", c), Case("x-3", b)]
    recorded = run(cases, replace(FIXED, tape="record"))
    assert {name: o.verdict for name, o in recorded.items()} == dict.fromkeys(["x", "x-2", "x-3"], "passed")
    assert suite.keep_takes(cases, list(recorded.values())) == [Path("a.cassette"), Path("b.cassette")]


def test_the_folders_of_calls_hold_no_scenarios() -> None:
    """Whoever runs a suite from within its folder has `recordings/` there."""
    cases = suite.find([write("suite/good.yaml")])
    run(cases, root="suite/recordings/runs/one")
    assert len(list(Path("suite").rglob("profile.yaml"))) == 1
    assert names() == ["good"]


def test_all_bad_files_are_reported_at_once() -> None:
    write("suite/good.yaml")
    write("suite/x.yaml", SAYS_YES.replace("tags", "tag"))
    write("suite/y.yaml", SAYS_YES.replace("hang_up: true", "hang_up: false"))
    with pytest.raises(ConfigErrors) as found:
        suite.find([Path("suite"), Path("none.yaml")])
    assert [problem.where for problem in found.value.problems] == ["suite/x.yaml:4", "suite/y.yaml:8", "none.yaml"]


def test_nothing_found_is_a_mistake() -> None:
    Path("suite").mkdir()
    with pytest.raises(ConfigError, match="there are no scenarios: suite"):
        names()
    write("suite/good.yaml")
    with pytest.raises(ConfigError, match="no scenario fits: suite"):
        names(words="nobody")
    with pytest.raises(ConfigError, match="no scenario fits: suite"):
        names(tag="nobody")


@pytest.mark.parametrize(
    ("path", "cassette"),
    [("tests/dental/a.yaml", "tests/dental.cassette"), ("v1.2/a.yaml", "v1.2.cassette")],
)
def test_a_suites_cassette_lies_beside_its_folder(path: str, cassette: str) -> None:
    assert Case("a", Path(path)).cassette == Path(cassette)


@pytest.mark.parametrize("path", ["a.yaml", "../here/a.yaml", "../here/deep/../a.yaml"])
def test_a_suites_cassette_is_found_from_within(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "here/deep").mkdir(parents=True)
    monkeypatch.chdir(folder / "here")
    assert Case("a", Path(path)).cassette.resolve() == folder / "here.cassette"


# -- hold --------------------------------------------------------------------------------------------------------------


def test_passed_failed_and_error() -> None:
    found = run(three())
    assert {name: o.verdict for name, o in found.items()} == {"good": "passed", "deep/bad": "failed", "worse": "error"}
    assert found["good"].title == "says yes"
    assert found["good"].failures == []
    assert 2.0 < found["good"].duration < 8.0
    assert found["good"].reliable is None, "nothing was measured"
    (failure,) = found["deep/bad"].failures
    assert failure == {
        "run": 1,
        "step": 0,
        "where": "suite/deep/bad.yaml:7",
        "expected": "a reply with `splendid`",
        "heard": failure["heard"],
        "at": failure["at"],
    }
    assert failure["heard"].startswith("`Great.`, ")
    assert suite.sentence(failure) == (
        f"step 1: expected a reply with `splendid`; {failure['heard']} at {failure['at']:.1f} s of the audio "
        "(suite/deep/bad.yaml:7)"
    )
    (error,) = found["worse"].failures
    assert error["where"] == "suite/worse.yaml:3"
    assert error["what"] == "`profile`: no profile is named `no-such-bot`"
    assert found["worse"].folders == []


def test_each_call_lies_in_its_own_folder() -> None:
    outcome = run(three(), How(pace="fixed", runs=2))["deep/bad"]
    assert [Path(f).parent for f in outcome.folders] == [Path("out/deep/bad")] * 2
    first, second = map(Path, outcome.folders)
    assert first != second
    assert {record.EVENTS, record.CALL_WAV, "result.json"} <= {p.name for p in first.iterdir()}
    assert [failure["run"] for failure in outcome.failures] == [1, 2]


def test_the_customer_who_reacts() -> None:
    (outcome,) = run(suite.find([write("suite/reacts.yaml", REACTS)])).values()
    assert (outcome.verdict, outcome.failures) == ("passed", [])
    assert (Path(outcome.folders[0]) / "customer.jsonl").stat().st_size > 0


@pytest.mark.parametrize(("asked", "written", "held"), [(1, 1, 1), (3, 1, 3), (1, 2, 2), (3, 2, 3)])
def test_a_scenario_is_held_as_often_as_the_run_and_it_itself_ask(asked: int, written: int, held: int) -> None:
    case = suite.find([write("suite/good.yaml", SAYS_YES + f"runs: {written}\n")])
    outcome = run(case, How(pace="fixed", runs=asked))["good"]
    assert len(outcome.folders) == held
    assert outcome.duration == pytest.approx(held * run(case, root="one")["good"].duration / written, abs=0.1)


def test_the_same_call_gives_the_same_bytes() -> None:
    cases = suite.find([write("suite/good.yaml"), write("suite/reacts.yaml", REACTS)])
    one = run(cases)
    other = run(cases[::-1], root="again")
    for name, outcome in one.items():
        ours, theirs = (Path(o.folders[0]) for o in (outcome, other[name]))
        assert ours.name == theirs.name
        for file in (record.EVENTS, record.CALL_WAV):
            assert (ours / file).read_bytes() == (theirs / file).read_bytes()


def test_a_variable_without_a_value_is_an_error_of_its_scenario() -> None:
    Path("bot.yaml").write_text(BOT.replace("Hello", "Hello {{crm.first_name}}"))
    outcome = run(suite.find([write("suite/good.yaml")]))["good"]
    assert (outcome.verdict, outcome.exit_code) == ("error", 2)
    assert outcome.failures[0]["where"] == "suite/good.yaml:3"


def with_server(url: str) -> list[Case]:
    """A suite of one call whose bot thinks on a server, and of which only the greeting is expected."""
    llm = f"llm: {{model: m, base_url: '{url}'}}\n"
    Path("bot.yaml").write_text(BOT[: BOT.index("llm:")] + llm + BOT[BOT.index("tts:") :])
    turns = SAYS_YES[: SAYS_YES.index("    expect:")]
    return suite.find([write("suite/broken.yaml", turns + "expect: {event: greeting, count: 1}\n")])


def test_a_call_whose_engines_do_not_load_is_an_error() -> None:
    outcome = run(with_server("http://127.0.0.1:1/v1"), How())["broken"]
    assert (outcome.verdict, outcome.exit_code, outcome.folders) == ("error", 3, [])
    assert outcome.failures[0]["what"].startswith("cannot connect")


def test_a_call_that_breaks_is_an_error_although_all_that_was_expected_came() -> None:
    """The server lets the bot make ready, and refuses whatever has words of the customer in it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500 if b"I will" in asked else 200)
            self.end_headers()
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        outcome = run(with_server(f"http://127.0.0.1:{server.server_port}/v1"), How())["broken"]
        server.shutdown()
        thread.join()
    assert (outcome.verdict, outcome.exit_code) == ("error", 3), outcome.failures
    (failure,) = outcome.failures
    assert failure["what"].startswith("the call could not be held: ")
    assert failure["where"] == outcome.folders[0]


# -- cassettes ---------------------------------------------------------------------------------------------------------


def test_what_is_recorded_can_be_played() -> None:
    cases = three()
    recorded = run(cases, replace(FIXED, tape="record"))
    changed = suite.keep_takes(cases, list(recorded.values()))
    assert changed == [Path("suite/deep.cassette"), Path("suite.cassette")]
    assert list(Cassette.load(Path("suite.cassette")).takes) == ["good"], "a call that was not held is not kept"
    played = run(cases, replace(FIXED, tape="play"), root="again")
    for name, outcome in played.items():
        assert (outcome.verdict, outcome.failures) == (recorded[name].verdict, recorded[name].failures)
        for ours, theirs in zip(recorded[name].folders, outcome.folders, strict=True):
            assert (Path(ours) / record.EVENTS).read_bytes() == (Path(theirs) / record.EVENTS).read_bytes()


def test_recording_one_leaves_the_others_on_the_cassette() -> None:
    write("suite/a.yaml")
    write("suite/b.yaml")
    record_ = replace(FIXED, tape="record")
    for words in ("a", "b"):
        cases = suite.find([Path(f"suite/{words}.yaml")])
        suite.keep_takes(cases, list(run(cases, record_, root=words).values()))
    assert sorted(Cassette.load(Path("suite.cassette")).takes) == ["a", "b"]


def test_a_call_that_is_not_on_the_cassette() -> None:
    cases = suite.find([write("suite/good.yaml")])
    outcome = run(cases, replace(FIXED, tape="play"))["good"]
    assert (outcome.verdict, outcome.exit_code) == ("error", 2)
    assert outcome.failures[0]["what"] == "there is no cassette"
    Cassette().save(Path("suite.cassette"))
    (failure,) = run(cases, replace(FIXED, tape="play"))["good"].failures
    assert failure == {
        "what": "this call is not on the cassette",
        "where": "suite.cassette: good",
        "hint": "callctl test suite/good.yaml --record",
    }


# -- workers -----------------------------------------------------------------------------------------------------------


def test_two_workers_find_what_one_finds() -> None:
    cases = three()
    one, two = run(cases), run(cases, root="two", workers=2)
    assert sorted(one) == sorted(two)
    for name, outcome in one.items():
        other = two[name]
        assert (outcome.verdict, outcome.failures, outcome.duration) == (other.verdict, other.failures, other.duration)
        assert [Path(f).name for f in outcome.folders] == [Path(f).name for f in other.folders]


def test_a_worker_that_dies_is_an_error_of_its_case() -> None:
    """It is killed while it holds a call in real time."""
    write("suite/long.yaml", SAYS_YES.replace("hang_up: true", "silence: 60s"))
    write("suite/wrong.yaml", SAYS_YES.replace("BOT", "no-such-bot"))
    outcomes = suite.run(suite.find([Path("suite")]), How(pace="real"), Path("out"), {}, workers=2)
    assert next(outcomes).name == "wrong"
    for worker in multiprocessing.active_children():
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
    (killed,) = outcomes
    assert (killed.name, killed.verdict, killed.exit_code) == ("long", "error", 3)
    assert killed.failures[0]["what"] == "the process that held this call died"


# -- what is kept of a run ---------------------------------------------------------------------------------------------


def test_the_documents_counts() -> None:
    outcomes = list(run(three()).values())
    found = suite.document("20261121-081500-abc123", outcomes, 1.23456)
    assert (found["passed"], found["failed"], found["errors"], found["seconds"]) == (1, 1, 1, 1.235)
    assert found["call_seconds"] == round(sum(o.duration for o in outcomes), 3)
    for row, outcome in zip(found["scenarios"], outcomes, strict=True):
        assert (row["name"], row["verdict"], row["duration"]) == (outcome.name, outcome.verdict, outcome.duration)
    assert json.loads(record.to_json(found)) == found


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([("passed", 0), ("passed", 0)], 0),
        ([("passed", 0), ("failed", 1)], 1),
        ([("failed", 1), ("error", 2)], 2),
        ([("error", 3), ("passed", 0), ("failed", 1)], 3),
    ],
)
def test_exit_codes(verdicts: list[tuple[Any, int]], code: int) -> None:
    assert suite.exit_code([Outcome("x", verdict=verdict, exit_code=own) for verdict, own in verdicts]) == code


def parsed(outcomes: list[Outcome], folder: Path) -> TestSuite:
    file = folder / "junit.xml"
    file.write_bytes(suite.junit("a-run", outcomes))
    (found,) = JUnitXml.fromfile(str(file))
    assert isinstance(found, TestSuite)
    return found


def cases_of(found: TestSuite) -> list[TestCase]:
    return [case for case in found if isinstance(case, TestCase)]


def test_junit_has_the_counts_names_and_texts_of_the_document(folder: Path) -> None:
    outcomes = list(run(three()).values())
    document, found = suite.document("a-run", outcomes, 1.0), parsed(outcomes, folder)
    assert (found.name, found.tests) == (document["run"], len(document["scenarios"]))
    assert (found.failures, found.errors, found.skipped) == (document["failed"], document["errors"], 0)
    for row, case in zip(document["scenarios"], cases_of(found), strict=True):
        assert "/".join(filter(None, [case.classname, case.name])) == row["name"]
        assert case.time == row["took"]
        kinds = {"passed": [], "failed": [Failure], "error": [Error]}[row["verdict"]]
        assert [type(result) for result in case.result] == kinds
        for result in case.result:
            texts = [suite.sentence(failure) for failure in row["failures"]]
            assert (result.message, result.text) == (texts[0], "\n".join(texts))


def test_junit_with_characters_that_xml_forbids(folder: Path) -> None:
    failure = {
        "step": None,
        "expected": "<&\"'>\x07",
        "heard": "\x1b[31m\x00é😀\ud800\ufffe",
        "at": None,
        "where": None,
    }
    outcome = Outcome("deep/\x08x", verdict="failed", failures=[failure, failure])
    (case,) = cases_of(parsed([outcome], folder))
    assert (case.classname, case.name) == ("deep", "x")
    (result,) = case.result
    assert result.text == "\n".join(["the whole call: expected <&\"'>; [31mé😀"] * 2)


# -- over SIP ----------------------------------------------------------------------------------------------------------


@pytest.mark.sip
@pytest.mark.parametrize("text", [SAYS_YES, REACTS])
def test_the_verdict_over_sip_is_the_one_in_memory(text: str, folder: Path) -> None:
    case = Case("same", write("same.yaml", text))
    for how in (How("loop", "fixed"), How("sip", "fixed")):
        outcome = suite.hold(case, how, folder / how.carried, {})
        assert (outcome.verdict, outcome.failures) == ("passed", []), how
