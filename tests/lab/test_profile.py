from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import profile, strict, template
from lab.errors import ConfigErrors
from lab.profile import Profile

SHIPPED = sorted((Path(__file__).parents[2] / "profiles").glob("*.yaml"))
DENTAL = next(path for path in SHIPPED if path.stem == "dental-reminder")
MINIMAL = "name: bot\nprompt: You are {{crm.role}}.\nopening_message: Hello {{first_name}}.\n"
SYSTEM = template.system(datetime(2026, 6, 5, 10, 15, tzinfo=UTC), "Asia/Kolkata")


def read(text: str, *overrides: str) -> Profile:
    return strict.parse(text, "bot.yaml", Profile, overrides=overrides)


def only_problem(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        read(text, *overrides)
    assert len(caught.value.problems) == 1, str(caught.value)
    return str(caught.value)


def test_the_defaults_of_a_minimal_profile() -> None:
    bot = read(MINIMAL)
    assert (bot.version, bot.language, bot.timezone, bot.from_number, bot.lab_number) == ("1", "en", "UTC", None, None)
    assert (bot.stt.model, bot.llm.model, bot.tts.voice) == ("whisper-base", "qwen2.5-coder-1.5b", "en_US-joe-medium")
    assert (bot.llm.max_tokens, bot.llm.temperature, bot.llm.base_url, bot.llm.api_key_env) == (60, 0.0, None, None)
    assert (bot.line.codec, bot.turn_taking.barge_in.min_speech, bot.turn_taking.barge_in.words) == ("pcmu", 0.2, True)
    waits = bot.turn_taking.endpointing
    assert (waits.finished, waits.unsure, waits.number, waits.unfinished, waits.always) == (0.3, 0.7, 1.08, 1.6, None)
    assert (bot.limits.max_duration, bot.limits.dead_air, bot.limits.ring_timeout) == (180.0, 30.0, 30.0)
    assert bot.turn_taking.re_engagement.after == 8.0
    assert "goodbye" in bot.closure_phrases
    assert bot.analysis is None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_profile_needs_no_variable(path: Path) -> None:
    bot = profile.load(path)
    assert bot.name == path.stem
    assert bot.lab_number is not None
    assert bot.resolve({}, template.system(datetime(2026, 6, 5, tzinfo=UTC), bot.timezone)).unresolved == ()


def test_the_dental_prompt_stays_short_enough_for_a_small_model() -> None:
    assert len(profile.load(DENTAL).prompt.split()) < 200


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("name: Dental Bot", "bot.yaml:1: `name`: `Dental Bot` is no short name"),
        ("language: English", "`language`: `English` is no language code"),
        ("timezone: Asia/Kolkatta", "did you mean `Asia/Kolkata`?"),
        ("from_number: 2025550100", "`from_number`: `2025550100` has no country code"),
        ("lab_number: +14155550100", "`lab_number`: `+14155550100` is outside the lab's range"),
        ("prompt:", "`prompt` must be text, not empty"),
        ("opening_message: ''", "`opening_message` must not be empty"),
        ("voicemail: {}", "unknown key `voicemail`"),
        ("variables: {system.current_date: x}", "`system.current_date` is set by callctl itself"),
        ("variables: {note: }", "`variables.note` must be text, not empty"),
        ("line: {codec: opus}", "`line.codec` must be 'pcmu', 'pcma' or 'g722', not `opus`"),
        ("llm: {max_tokens: 0}", "`llm.max_tokens` must be at least 1"),
        ("llm: {temperature: nan}", "`llm.temperature` must be a finite number"),
        ("llm: {base_url: localhost:8080}", "this is no server's address"),
        ("llm: {base_url: 'http://[x'}", "this is no server's address"),
        ("llm: {base_url: 'http://me:pw@127.0.0.1/v1'}", "the address carries a password or a key"),
        ("llm: {api_key_env: SOME_KEY}", "`llm.api_key_env`: this is used with a server only"),
        ("turn_taking: {endpointing: 600s}", "`turn_taking.endpointing.always` must be at most 10"),
        ("turn_taking: {endpointing: 0s}", "`turn_taking.endpointing.always` must be more than 0"),
        ("limits: {max_duration: 180}", "`limits.max_duration`: `180` has no unit"),
        ("limits: {dead_air: 16s}", "`limits.dead_air`: 16s hangs up before the 2 re-engagement lines, one every 8s"),
        ("analysis: {instructions: x, schema: {}}", "`analysis.schema` needs at least 1"),
        ("analysis: {instructions: x, schema: {A: {type: string}}}", "`analysis.schema.A`: a string needs a bound"),
        ("analysis: {instructions: x, schema: {A: {type: text}}}", "`analysis.schema.A.type` must be 'string'"),
        ("analysis: {instructions: x, schema: {A B: {type: boolean}}}", "`A B` is no field name"),
        ("analysis: {instructions: x, schema: {A: {type: string, enum: [a]}}}", "each value needs its meaning"),
        ("analysis: {instructions: x, schema: {A: {type: string, enum: {a: }}}}", "`analysis.schema.A.enum.a` must be"),
        ("analysis: {instructions: x, schema: {A: {type: integer, maxLength: 3}}}", "this is used with strings only"),
        ("analysis: {instructions: x, schema: {A: {type: boolean, enum: {a: b}}}}", "this is used with strings only"),
        ("analysis: {instructions: x, schema: {A: {type: string, enum: {a: b}, maxLength: 3}}}", "beside `enum`"),
        ("analysis: {instructions: x, schema: {type: object, properties: {}}}", "one level too deep"),
    ],
)
def test_what_is_wrong_with_one_line(line: str, message: str) -> None:
    key = line.partition(":")[0]
    text = "".join(f"{line}\n" if row.startswith(f"{key}:") else f"{row}\n" for row in MINIMAL.splitlines())
    text = text if line in text else f"{text}{line}\n"
    assert message in only_problem(text)


def test_a_key_pasted_where_its_name_belongs_is_not_repeated() -> None:
    problem = only_problem(MINIMAL + "llm: {base_url: 'http://h/v1', api_key_env: sk-live-123}")
    assert "never the key" in problem
    assert "sk-live" not in problem


def test_schema_mistakes_have_their_line() -> None:
    text = MINIMAL + "analysis:\n  instructions: x\n  schema:\n    A: {type: boolean}\n    B:\n      type: string\n"
    assert only_problem(text).startswith("bot.yaml:8: `analysis.schema.B`")


def test_dead_air_needs_no_room_for_lines_that_are_not_there() -> None:
    assert read(MINIMAL, "turn_taking.re_engagement.lines=[]", "limits.dead_air=5s").limits.dead_air == 5.0


def test_dead_air_from_a_flag_names_the_flag() -> None:
    assert only_problem(MINIMAL, "limits.dead_air=5s").startswith("--set limits.dead_air: ")


def test_resolve_fills_every_text_that_is_used() -> None:
    text = MINIMAL + (
        "variables: {first_name: there}\n"
        "turn_taking: {re_engagement: {lines: ['{{first_name}}?']}}\n"
        "closure_phrases: 'bye, {{first_name}}'\n"
        "analysis:\n"
        "  instructions: It is {{system.current_date}} for {{missing}}.\n"
        "  schema:\n"
        "    A: {type: string, description: 'what {{first_name}} said', enum: {'{{x}}': '{{first_name}} of {{gone}}'}}\n"
        "    B: {type: boolean}\n"
    )
    bot = read(text)
    assert bot.referenced_variables() == ("crm.role", "first_name", "system.current_date", "missing", "gone")
    resolved = bot.resolve({"crm.role": "a clerk"}, SYSTEM)
    filled = resolved.profile
    assert filled.prompt == "You are a clerk."
    assert filled.opening_message == "Hello there."
    assert filled.turn_taking.re_engagement.lines == ("there?",)
    assert filled.analysis is not None
    assert filled.closure_phrases == ("bye, there",)
    assert filled.analysis.instructions == "It is 05 June 2026 for {{missing}}."
    assert filled.analysis.fields["A"].description == "what there said"
    assert filled.analysis.meanings() == {"A": {"{{x}}": "there of {{gone}}"}}
    assert filled.analysis.fields["B"] == bot.analysis.fields["B"]  # type: ignore[union-attr]
    assert resolved.unresolved == ("missing", "gone")


def test_what_is_written_beside_a_recording_has_the_calls_own_variables() -> None:
    bot = read(MINIMAL + "variables: {first_name: A, crm.role: a clerk, api_token: t}\n")
    filled = bot.resolve({"first_name": "B", "age": 4, "note": None, "door_key": "k"}, SYSTEM).profile
    assert read(filled.to_yaml()).variables == {
        "crm.role": "a clerk",
        "api_token": "***",
        "first_name": "B",
        "age": "4",
        "note": "",
        "door_key": "***",
    }
    assert bot.variables["first_name"] == "A"


def test_without_secrets() -> None:
    values = {"First_Name": "A", "PassWord": "p", "more": [{"secret": {"a": 1}, "b": 2}]}
    assert profile.without_secrets(values) == {
        "First_Name": "A",
        "PassWord": "***",
        "more": [{"secret": "***", "b": 2}],
    }
    assert values["PassWord"] == "p"


def test_values_of_the_call_win_over_the_profiles() -> None:
    bot = read(MINIMAL + "variables: {role: a clerk, crm.first_name: A}\n")
    assert bot.resolve({"first_name": "B"}, SYSTEM).profile.opening_message == "Hello B."
    assert bot.resolve({"crm.role": "a cook"}, SYSTEM).profile.prompt == "You are a cook."
    assert bot.resolve({"call.first_name": "B"}, SYSTEM).profile.opening_message == "Hello A."


def test_json_schema_is_standard_and_meanings_stand_beside_it() -> None:
    analysis = profile.load(DENTAL).analysis
    assert analysis is not None
    schema = analysis.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"DISPOSITION": "Confirmed", "CALLING_REMARKS": "Will come."}, schema)
    bad: list[dict[str, Any]] = [
        {},
        {"DISPOSITION": "Confirmed"},
        {"DISPOSITION": "Perhaps", "CALLING_REMARKS": ""},
        {"DISPOSITION": "Confirmed", "CALLING_REMARKS": "x" * 1000},
        {"DISPOSITION": "Confirmed", "CALLING_REMARKS": "", "more": 1},
    ]
    for answer in bad:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(answer, schema)
    assert set(analysis.meanings()["DISPOSITION"]) == set(schema["properties"]["DISPOSITION"]["enum"])


def test_secrets_in_options_are_removed_and_nothing_else() -> None:
    bot = read(
        MINIMAL + "llm: {options: {api_key: sk, n: 4, headers: [{X-Token: t, Accept: json}], empty: null}}\n"
        "stt: {options: {Password: {a: b}}}\n"
    )
    data = bot.redacted()
    assert data["llm"]["options"] == {
        "api_key": "***",
        "n": 4,
        "headers": [{"X-Token": "***", "Accept": "json"}],
        "empty": None,
    }
    assert data["stt"]["options"] == {"Password": "***"}
    assert bot.llm.options["api_key"] == "sk"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_written_beside_a_recording_loads_again(path: Path) -> None:
    bot = profile.load(path)
    assert read(bot.to_yaml()) == bot


@settings(deadline=None)
@given(
    prompt=st.text(min_size=1),
    variables=st.dictionaries(st.from_regex(r"\A[a-z_]{1,8}\Z"), st.text()),
    options=st.dictionaries(
        st.text(min_size=1), st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(), max_size=3
    ),
    wait=st.integers(1, 10_000),
)
def test_any_profile_survives_writing_and_reading(
    prompt: str, variables: dict[str, str], options: dict[str, Any], wait: int
) -> None:
    text = yaml.safe_dump({"name": "bot", "prompt": f"x{prompt}x", "opening_message": "y", "variables": variables})
    bot = read(text, f"turn_taking.endpointing={wait}ms")
    bot = bot.model_copy(update={"stt": bot.stt.model_copy(update={"options": options})})
    again = read(bot.to_yaml())
    assert again.model_copy(update={"stt": bot.stt, "variables": bot.variables}) == bot
    assert again.variables == bot.redacted()["variables"]
    assert again.stt.options == bot.redacted()["stt"]["options"]
