"""What a scenario file may say, and how each mistake in one is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import metrics, persona, scenario, strict
from lab.errors import ConfigError, ConfigErrors
from lab.persona import Mind, Persona
from lab.result import CallResult
from lab.scenario import METRICS, HangUp, Loss, Noise, Say, Silence, amount

SHIPPED = sorted((Path(__file__).parent.parent / "scenarios").rglob("*.yaml"))
PROFILES = {p.stem: p for p in (Path(__file__).parent.parent.parent / "profiles").glob("*.yaml")}

SCRIPTED = """\
name: asks for the price
profile: dental-reminder
variables: {first_name: Sam}
tags: [smoke, price]
voice: {rate: 1.1}
max_duration: 90s
turns:
  - expect: [{event: greeting, within: 2s}]
  - user: How much is a check-up?
    noise: -30dB
    expect:
      - {within: 3s, contains: "45", absent: [euros]}
  - noise: {level: -20 dB, for: 4s}
  - loss: 5%
  - user: Stop, just book me in.
    after: {event: bot_speaking, delay: 800ms}
    expect:
      event: interrupted
      within: 1s
  - silence: 6s
    expect: {event: re_engagement, matches: "[Ss]till"}
  - hang_up: true
expect:
  - v2v.p50: <= 900ms
  - {result: post_call_analysis.DISPOSITION, one_of: [Confirmed, Reschedule]}
  - {result: disconnected_by, equals: customer}
  - {event: interrupted, count: 1}
  - {metric: turns.bot, min: 2}
"""
REACTIVE = """\
name: an absent-minded patient
profile: dental-reminder
facts: {day: Tuesday}
reactions:
  - name: who
    when: am i speaking
    say: Yes.
  - name: hold
    when: can you * come
    say: One moment, {{day}} you said?
    do: [silence: 6s, noise: {level: -30dB, for: 1s}]
  - name: bye
    when: goodbye
    do: [hang_up: true]
otherwise: Pardon?
expect: {result: callctl.goal, equals: true}
"""
PERSONA = """\
name: Sam
number: +12025550150
voice: {rate: 1.2}
answers_after: 2s
facts: {day: Friday}
reactions:
  - name: yes
    when: can you * come
    say: "{{day}} is fine."
expect:
  told: yes
"""


def read(text: str) -> scenario.Scenario:
    return scenario.parse(text, "x.yaml")


# -- what is understood ------------------------------------------------------------------------------------------------


def test_the_actions_of_a_script() -> None:
    assert [step.action for step in read(SCRIPTED).steps] == [
        None,
        Say("How much is a check-up?", noise=-30.0),
        Noise(-20.0, 4.0),
        Loss(0.05),
        Say("Stop, just book me in."),
        Silence(6.0),
        HangUp(),
    ]


def test_what_is_expected_and_when() -> None:
    script = read(SCRIPTED)
    assert [(e.event, e.within) for step in script.steps for e in step.expect] == [
        ("greeting", 2.0),
        ("reply", 3.0),
        ("interrupted", 1.0),
        ("re_engagement", None),
    ]
    after = script.steps[4].after
    assert after is not None
    assert (after.event, after.delay) == ("bot_speaking", 0.8)
    assert [type(e).__name__ for e in script.expect] == [
        "MetricExpect", "ResultExpect", "ResultExpect", "CountExpect", "MetricExpect",
    ]  # fmt: skip


def test_a_file_knows_its_lines() -> None:
    script = read(SCRIPTED)
    assert script.where("turns", 1, "expect", 0) == "x.yaml:12"
    assert script.where("turns", 4, "expect", 0) == "x.yaml:17"
    assert script.where("expect", 2) == "x.yaml:26"
    assert script.where("seed") is None
    assert scenario.Scenario.model_validate({"name": "x", "profile": "y", "persona": "z", "expect": []} | {"expect": [{"event": "reply", "count": 1}]}).where("name") is None  # fmt: skip


def test_reactions_are_a_script_that_a_mind_speaks() -> None:
    reactive = read(REACTIVE)
    assert reactive.steps == ()
    assert reactive.script is not None
    mind = Mind(reactive.script)
    assert mind.answer("Can you please come?").text == "One moment, Tuesday you said?"
    answer = mind.answer("Goodbye.")
    assert (answer.text, answer.reaction) == ("", "bye")
    assert reactive.doing("hold") == (Silence(6.0), Noise(-30.0, 1.0))
    assert reactive.doing("bye") == (HangUp(),)
    assert reactive.doing("who") == ()
    assert read(SCRIPTED).script is None


def test_defaults() -> None:
    least = read("name: x\nprofile: y\npersona: z\nexpect: {event: reply, count: 1}\n")
    assert (least.seed, least.runs, least.tags, least.max_duration, least.script) == (0, 1, (), None, None)


def test_every_metric_is_in_the_result() -> None:
    figures = {"v2v": metrics.summary([1.0]), "stages": {}} | {
        k: v for k, v in metrics.metrics(()).items() if k not in ("v2v", "stages")
    }
    for name, figure in METRICS.items():
        top, *rest = figure.path.split(".")
        assert top in CallResult.model_fields, name
        if top == "callctl":
            inside = figures[rest[1]]
            assert not isinstance(inside, dict) or rest[1] == "stages" or rest[2] in inside, name


@pytest.mark.parametrize(("text", "value"), [("3", 3.0), ("-1.5", -1.5), ("900ms", 0.9), ("1m30s", 90.0)])
def test_amounts(text: str, value: float) -> None:
    assert amount(text) == value


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_are_right(path: Path) -> None:
    scenario.cast(scenario.load(path), path.parent, PROFILES)


def test_there_are_shipped_scenarios_and_their_names_differ() -> None:
    for suite in {path.parent for path in SHIPPED}:
        names = [scenario.load(path).name for path in SHIPPED if path.parent == suite]
        assert len(set(names)) == len(names) >= (2 if suite.name == "support" else 6), suite


# -- wrong files -------------------------------------------------------------------------------------------------------

WRONG_SCRIPTED = [
    ("name: asks", "nmae: asks", 1, "did you mean `name`?"),
    ("profile: dental-reminder", "profil: dental-reminder", 2, "did you mean `profile`?"),
    ("variables: {first_name: Sam}", "variables: [Sam]", 3, "`variables` must be a group of keys, not a list"),
    ("first_name: Sam", "system.timezone: Sam", 3, "is set by callctl itself"),
    ("tags: [smoke, price]", "tags:", 4, "`tags`: is empty"),
    ("rate: 1.1", "rat: 1.1", 5, "did you mean `rate`?"),
    ("rate: 1.1", "rate: 11", 5, "`voice.rate` must be at most 2.0"),
    ("max_duration: 90s", "max_duration: 90", 6, "write `90s`"),
    ("max_duration: 90s", "max_duration: 0s", 6, "must be more than 0"),
    ("max_duration: 90s", "runs: 0", 6, "`runs` must be at least 1"),
    ("max_duration: 90s", "runs: many", 6, "must be a whole number"),
    ("max_duration: 90s", "seed: 1.5", 6, "`seed` must be a whole number"),
    ("turns:\n", "turn:\n", 7, "did you mean `turns`?"),
    ("event: greeting", "event: greting", 8, "did you mean `greeting`?"),
    ("within: 2s", "within: 2", 8, "write `2s`, `2ms` or `2m`"),
    ("within: 2s", "within: 2 seconds", 8, "write it like `0.5s`"),
    ("user: How", "usr: How", 9, "did you mean `user`?"),
    ("user: How much is a check-up?", "user:", 9, "`turns.1.user`: is empty"),
    ("user: How much is a check-up?", "user: [a, b]", 9, "must be text, not a list"),
    ("noise: -30dB", "noise: -30", 10, "write `-30dB`"),
    ("noise: -30dB", "noise: 30dB", 10, "is not -90dB to 0dB"),
    ("noise: -30dB", "noise: {level: -30dB, for: 2s}", 10, "remove `for`"),
    ("noise: -30dB", "silence: 2s", 10, "`user` and `silence` are two actions"),
    ("within: 3s", "wihtin: 3s", 12, "did you mean `within`?"),
    ('contains: "45"', 'contains: "?!"', 12, "has no words"),
    ('contains: "45"', "contains: []", 12, "needs at least 1"),
    ("absent: [euros]", "absent: {euros: 1}", 12, "must be a list, not a group of keys"),
    ("within: 3s", "judge: is polite", 12, "unknown key `turns.1.expect.0.judge`"),
    ("noise: {level: -20 dB, for: 4s}", "noise: -20dB", 13, "noise needs an end"),
    ("for: 4s", "four: 4s", 13, "did you mean `for`?"),
    ("level: -20 dB", "level: loud", 13, "for example `-30dB`"),
    ("loss: 5%", "loss: 5", 14, "write `5%`"),
    ("loss: 5%", "loss: 500%", 14, "is not 0% to 100%"),
    ("loss: 5%", "loss: {rate: 5%}", 14, "must be a number, not a group of keys"),
    ("event: bot_speaking", "event: bot_speaks", 16, "did you mean `bot_speaking`?"),
    ("delay: 800ms", "delay: 800", 16, "write `800s`, `800ms`"),
    ("after: {event: bot_speaking, delay: 800ms}", "after: 800ms", 16, "must be a group of keys, not `800ms`"),
    ("      event: interrupted", "      event: interupted", 18, "did you mean `interrupted`?"),
    ("within: 1s", "contains: sorry", 19, "`interrupted` has no text"),
    ("silence: 6s", "silence: long", 20, "is no duration"),
    ('matches: "[Ss]till"', 'matches: "[Sstill"', 21, "no regular expression"),
    ("event: re_engagement, matches", "event: greeting, matches", 21, "the greeting is over when this step begins"),
    ("hang_up: true", "hang_up: false", 22, "`true` only"),
    ("hang_up: true", "hang_up: after a while", 22, "must be true or false"),
    ("hang_up: true", "hang_up: true\n  - user: Hello?", 23, "a step follows although the customer has hung up"),
    ("hang_up: true", "{}", 22, "this step does nothing"),
    ("v2v.p50: <= 900ms", "v2v.p5: <= 900ms", 24, "there is no metric `v2v.p5`"),
    ("v2v.p50: <= 900ms", "v2v.p50: < 900ms", 24, "write `v2v.p50: <= 900ms`"),
    ("v2v.p50: <= 900ms", "v2v.p50: <= 900", 24, "write `900s`, `900ms`"),
    ("v2v.p50: <= 900ms", "v2v.n: <= 900ms", 24, "this has no unit"),
    ("post_call_analysis.DISPOSITION", "post_call_anlysis.DISPOSITION", 25, "did you mean `post_call_analysis`?"),
    ("post_call_analysis.DISPOSITION, one_of: [Confirmed, Reschedule]", "transcript", 25, "nothing is asked"),
    ("result: disconnected_by", "result: disconnected_by.who", 26, "has no fields below it"),
    ("result: disconnected_by", "result: transcript.first.text", 26, "number its items from 0"),
    ("result: disconnected_by", "result: callctl.metrics.v2w.p50", 26, "did you mean `v2v`?"),
    ("equals: customer", "equals: custmer", 26, "did you mean `customer`?"),
    ("result: disconnected_by", "reslt: disconnected_by", 26, "did you mean `result`?"),
    ("count: 1", "count: once", 27, "must be a whole number"),
    ("count: 1", "cuont: 1", 27, "did you mean `count`?"),
    ("count: 1", "contains: hello, count: 1", 27, "`interrupted` has no text"),
    ("metric: turns.bot", "metric: turns.bott", 28, "did you mean `turns.bot`?"),
    ("turns.bot, min: 2", "turns.bot", 28, "nothing is asked of this figure"),
    ("min: 2", "min: 2s", 28, "this has no unit"),
]
WRONG_REACTIVE = [
    ("facts: {day: Tuesday}", "facts: {dya: Tuesday}", 10, "did you mean `dya`?"),
    ("name: hold", "name: who", 8, "two reactions are named `who`"),
    ("when: am i speaking", "when: am (i speaking", 6, "means nothing here"),
    ("when: am i speaking", "wen: am i speaking", 6, "did you mean `when`?"),
    ("    say: Yes.\n", "", 5, "this reaction does nothing"),
    ("silence: 6s", "slience: 6s", 11, "did you mean `silence`?"),
    ("silence: 6s", "silence: 6", 11, "write `6s`"),
    ("do: [hang_up: true]", "do: [hang_up: true]\n    then: hang_up", 15, "this comes before `do`"),
    ("do: [hang_up: true]", "then: hangup", 14, "'hang_up'"),
    ("otherwise: Pardon?", "turns: [{user: Hello}]", 4, "there is `turns` already"),
    ("otherwise: Pardon?", "persona: dental-confirms", 15, "there is `reactions` already"),
    ("expect: {result: callctl.goal, equals: true}\n", "", 1, "nothing is expected, so nothing could fail"),
    ("expect: {result: callctl.goal, equals: true}", "expect: [goal reached]", 16, "must be"),
]
WRONG_PERSONA = [
    ("name: Sam", "nam: Sam", 1, "did you mean `name`?"),
    ("+12025550150", "+14155550150", 2, "outside the lab's range"),
    ("+12025550150", "12025550150", 2, "has no country code"),
    ("rate: 1.2", "rate: fast", 3, "must be a number"),
    ("answers_after: 2s", "answers_after: 2", 4, "write `2s`"),
    ("{{day}}", "{{dya}}", 9, "did you mean `day`?"),
    ("can you * come", "can you *", 8, "words go before and after it"),
    ("told: yes", "told: yse", 11, "did you mean `yes`?"),
    ("told: yes", "disconnected_by: custmer", 11, "did you mean `customer`?"),
    ("reactions:\n", "reactions: []\nreaction:\n", 6, "needs at least 1"),
]
CASES = [
    *((SCRIPTED, *case) for case in WRONG_SCRIPTED),
    *((REACTIVE, *case) for case in WRONG_REACTIVE),
    *((PERSONA, *case) for case in WRONG_PERSONA),
]


@pytest.mark.parametrize(("text", "old", "new", "line", "told"), CASES, ids=[f"{c[1]} -> {c[2]}" for c in CASES])
def test_a_wrong_file_is_told_with_its_line_and_what_to_write(
    text: str, old: str, new: str, line: int, told: str
) -> None:
    assert text.count(old) == 1
    model = Persona if text == PERSONA else scenario.Scenario
    with pytest.raises(ConfigErrors) as caught:
        strict.parse(text.replace(old, new), "x.yaml", model)
    assert any(p.where == f"x.yaml:{line}" and told in str(p) for p in caught.value.problems), str(caught.value)
    assert all(p.where and p.where.startswith("x.yaml:") for p in caught.value.problems)


def test_the_files_they_are_made_from_are_right() -> None:
    assert len(CASES) > 60
    read(SCRIPTED), read(REACTIVE), strict.parse(PERSONA, "x.yaml", Persona)


def test_only_reactions_take_what_belongs_to_reactions() -> None:
    with pytest.raises(ConfigErrors, match="used with `reactions` only"):
        read("name: x\nprofile: y\npersona: z\nfacts: {a: b}\nexpect: {event: reply, count: 1}\n")
    with pytest.raises(ConfigErrors, match="the persona has a voice"):
        read("name: x\nprofile: y\npersona: z\nvoice: {rate: 1.1}\nexpect: {event: reply, count: 1}\n")
    with pytest.raises(ConfigErrors, match="there is no customer"):
        read("name: x\nprofile: y\nexpect: {event: reply, count: 1}\n")


# -- references --------------------------------------------------------------------------------------------------------

BOT = """\
name: b
prompt: "{{crm.first_name}} {{plain}} {{system.current_date}} {{current_time}}"
opening_message: Hi
variables: {first_name: Sam}
analysis:
  instructions: x
  schema: {HOW: {type: string, enum: {Good: g, Bad: b}}, WHY: {type: string, maxLength: 9}}
"""
REFERRING = """\
name: x
profile: bot.yaml
persona: sam.yaml
variables: {plain: there}
expect:
  - {result: post_call_analysis.HOW, equals: Good}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bot.yaml").write_text(BOT)
    (tmp_path / "sam.yaml").write_text(PERSONA)
    return tmp_path


def test_references_are_paths_from_the_file_or_names_of_shipped_ones(folder: Path) -> None:
    found = scenario.cast(read(REFERRING), folder, {})
    assert found.persona is not None
    assert (found.profile.name, found.persona.name) == ("b", "Sam")
    text = REFERRING.replace("sam.yaml", "dental-confirms").replace("bot.yaml", "shipped")
    found = scenario.cast(read(text), Path("/nowhere"), {"shipped": folder / "bot.yaml"})
    assert found.persona is not None
    assert found.persona.name == persona.load(persona.shipped()["dental-confirms"]).name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bot.yaml", "bto.yaml", "x.yaml:2: `profile`: there is no file `bto.yaml` from"),
        ("bot.yaml", "shiped", "x.yaml:2: `profile`: no profile is named `shiped` (did you mean `shipped`?)"),
        ("sam.yaml", "dental-confirm", "x.yaml:3: `persona`: no persona is named `dental-confirm` (did you mean"),
        ("sam.yaml", "../none/sam.yaml", "x.yaml:3: `persona`: there is no file `../none/sam.yaml`"),
        ("sam.yaml", "bot.yaml", "unknown key `prompt`"),
        ("{plain: there}", "{plain: there, frist_name: A}", "x.yaml:4: `variables.frist_name` is not used by `b` (did"),
        ("{plain: there}", "{first_name: there}", "x.yaml:2: `{{plain}}` of `b` has no value (give `plain` under"),
        ("HOW", "HWO", "x.yaml:6: the analysis of `b` has no field `HWO` (did you mean `HOW`?)"),
        ("equals: Good", "equals: Godo", "x.yaml:6: `post_call_analysis.HOW` is never `Godo` (did you mean `Good`?)"),
    ],
)
def test_bad_references(folder: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        scenario.cast(read(REFERRING.replace(old, new)), folder, {"shipped": folder / "bot.yaml"})
    assert message in str(caught.value)


# -- anything at all ---------------------------------------------------------------------------------------------------

_PIECES = sorted({piece for text in (SCRIPTED, REACTIVE) for piece in text.replace(",", " ").split()})


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """A right file in which something was lost, doubled, moved or replaced."""
    rows = draw(st.sampled_from([SCRIPTED, REACTIVE, REFERRING])).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(rows) - 1))
        words = rows[at].split(" ")
        word = draw(st.integers(0, len(words) - 1))
        match draw(st.sampled_from(["lose", "double", "swap", "word", "text", "cut", "indent"])):
            case "lose":
                rows[at] = ""
            case "double":
                rows.insert(at, rows[at])
            case "swap":
                other = draw(st.integers(0, len(rows) - 1))
                rows[at], rows[other] = rows[other], rows[at]
            case "word":
                words[word] = draw(st.sampled_from(_PIECES))
                rows[at] = " ".join(words)
            case "text":
                words[word] = draw(st.text(max_size=8))
                rows[at] = " ".join(words)
            case "cut":
                rows[at] = rows[at][: draw(st.integers(0, len(rows[at])))]
            case _:
                rows[at] = "  " + rows[at]
    return "\n".join(rows) + "\n"


@settings(max_examples=300, deadline=None)
@given(mangled())
def test_a_mangled_file_is_right_or_told_what_is_wrong(text: str) -> None:
    problems: list[ConfigError] = []
    try:
        found = read(text)
        assert [step.action for step in found.steps] or found.script or found.persona
        scenario.cast(found, Path("/nowhere"), PROFILES)
    except ConfigErrors as error:
        problems = list(error.problems)
    assert all(p.where and p.where.startswith("x.yaml") and p.what for p in problems)
