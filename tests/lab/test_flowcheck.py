"""What a profile check finds: each mistake alone, in a profile that is otherwise right, with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import course, flowcheck, profile, strict
from lab.flow import Answer, Flow

SHIPPED = sorted((Path(__file__).parents[2] / "profiles").glob("*.yaml"))
BOT = """\
name: bot
prompt: You are Kim from Swift.
opening_message: Hi, this is Kim. Am I speaking with {{crm.first_name}}?
variables: {first_name: Sam, usual_day: Friday}
flow:
  fields:
    person: {type: choice, choices: {right: [right], wrong: [wrong]}}
    day: {type: day}
    amount: {type: amount}
  steps:
    identity:
      answers:
        yes:
          fills: {person: right}
          next: day
        wrong_person:
          says: Sorry. Goodbye.
          fills: {person: wrong}
          next: end
    day:
      says: On which day?
      asks_for: day
      next: amount
      also: [questions]
      answers:
        names_day:
          means: the customer names a day
          examples: [on Friday, the fifteenth, tomorrow please, how about June, a week from now]
          fills: {day: heard, amount: "heard?"}
        usual:
          means: the customer says as always
          examples: [as always, the usual, like last time, same as ever, my regular one]
          says: As always.
          fills: {day: "{{crm.usual_day}}"}
    amount:
      says: How much?
      asks_for: amount
      next: recap
      also: [questions]
      answers:
        names_amount:
          means: the customer names a sum
          examples: [fifty dollars, a hundred, ten bucks, twenty, half of it]
          fills: {amount: heard}
    recap:
      says: So {{fields.amount}} on {{fields.day}}. Is that right?
      answers:
        yes:
          calls: book
          says: It is booked, {{tool.code}}.
          next: anything_else
        no:
          says: Once more.
          clears: [day, amount]
          next: day
    anything_else:
      says: Is there anything else?
      never: [goodbye]
      answers:
        no_more:
          says: Thank you. Goodbye.
          next: end
        cancels:
          means: the customer wants it no more
          examples: [cancel it, I want out, stop it all, drop the whole thing, no deal]
          confirm: Shall I cancel it?
          says: It is cancelled. Goodbye.
          next: end
  sets:
    questions:
      asks_price:
        means: the customer asks what it costs
        examples: [how much is it, what does it cost, any fees, is it free, who pays for it]
        says: It is free.
  always:
    repeat: {}
    wait:
      says: Sure.
    goodbye:
      says: Goodbye.
      next: end
tools:
  book:
    description: books it
    parameters: {day: {type: string}}
    arguments: {day: "{{fields.day}}"}
    mock: {answer: {code: A 12}}
    saves: {code: code}
"""


def check(text: str, folder: Path) -> list[tuple[str, str]]:
    """Kind of each finding, and how it is told."""
    path = folder / "bot.yaml"
    path.write_text(text)
    place = strict.places(path)
    found = flowcheck.findings(profile.load(path))
    told = [(finding.kind, flowcheck.problem(finding, place)) for finding in found]
    return [(kind, str(problem).replace(str(path), "bot.yaml")) for kind, problem in told]


def line(text: str, part: str) -> int:
    assert part in text
    return text[: text.index(part)].count("\n") + 1


def test_nothing_is_wrong(tmp_path: Path) -> None:
    assert check(BOT, tmp_path) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_nothing_is_wrong_with_what_is_shipped(path: Path) -> None:
    place = strict.places(path)
    assert [str(flowcheck.problem(finding, place)) for finding in flowcheck.findings(profile.load(path))] == []


def test_without_a_flow_there_is_little_to_find(tmp_path: Path) -> None:
    head, tail = BOT[: BOT.index("flow:")], BOT[BOT.index("tools:") :]
    tail = tail.replace('"{{fields.day}}"', "Friday")
    assert check(head, tmp_path) == []
    assert check(head + tail, tmp_path) == []
    kind, told = check(head.replace("You are Kim", "You are {{tool.x}}"), tmp_path)[0]
    assert (kind, told.split(" (")[0]) == ("error", "bot.yaml:2: no tool saves `x`")


EMPTY_STEP = """\
    lost:
      says: Nobody comes here.
      answers:
        yes: {next: end, says: Goodbye.}
"""
ERROR, WARNING = "error", "warning"


@pytest.mark.parametrize(
    ("old", "new", "kind", "at", "message"),
    [
        # steps
        (
            "    anything_else:\n",
            EMPTY_STEP + "    anything_else:\n",
            ERROR,
            "    lost:",
            "no way from `identity` leads to",
        ),
        (
            "          fills: {amount: heard}\n",
            "          says: Hm.\n",
            ERROR,
            "      asks_for: amount",
            "none of its answers",
        ),
        ("      also: [questions]\n", "", WARNING, "    questions:", "no step uses the set `questions`"),
        # fields
        (
            "    day: {type: day}\n",
            "    day: {type: day}\n    note: {type: text}\n",
            ERROR,
            "    note:",
            "fills `note`",
        ),
        (
            "So {{fields.amount}} on",
            "So {{fields.amuont}} on",
            ERROR,
            "says: So {{",
            "there is no field `amuont` (did you mean",
        ),
        (
            "says: On which day?",
            "says: Why not {{fields.day}}?",
            ERROR,
            "says: Why",
            "before anything can have filled it",
        ),
        ("says: Once more.", "says: Not {{fields.amount}}?", ERROR, "says: Not", "before anything can have filled it"),
        ("confirm: Shall I", "confirm: For {{fields.person}}, shall I", None, "", ""),
        (
            "says: Sure.",
            "says: Sure, {{fields.person}}.",
            WARNING,
            "says: Sure,",
            "`{{fields.person}}` is not known yet",
        ),
        ("how about June", '"on {{fields.day}}"', ERROR, "examples: [on Friday", "is not filled in here"),
        ("You are Kim", "It is {{fields.day}}", ERROR, "prompt:", "`{{fields.day}}` is not filled in here"),
        ("Am I speaking", "{{fields.day}}, am I speaking", ERROR, "opening_message:", "is not filled in here"),
        (
            'day: "{{crm.usual_day}}"',
            "day: someday",
            ERROR,
            "fills: {day: someday",
            "`someday` cannot be read as a day",
        ),
        ("usual_day: Friday", "usual_day: never", ERROR, 'fills: {day: "{{crm', "`never` cannot be read as a day"),
        ("usual_day: Friday", "some_day: Friday", None, "", ""),
        ("{person: wrong}", "{person: wong}", ERROR, "fills: {person: wong", "as a choice (one of: right, wrong)"),
        ('day: "{{crm.usual_day}}"', 'day: "{{fields.day}}"', ERROR, 'fills: {day: "{{f', "is not filled in here"),
        # tools
        ("{{tool.code}}", "{{tool.cod}}", ERROR, "says: It is booked", "no tool saves `cod` (did you mean `code`?)"),
        ('{day: "{{fields.day}}"}', '{day: "{{fields.dya}}"}', ERROR, "  book:", "there is no field `dya`"),
        ("          calls: book\n", "", WARNING, "  book:", "no answer that can be given calls the tool `book`"),
        # examples
        (
            "how about June",
            "as always",
            ERROR,
            "examples: [on Friday",
            "in `day` `as always` is an example of `names_day`",
        ),
        (
            "how about June",
            "Any Fees.",
            ERROR,
            "examples: [on Friday",
            "`any fees` is an example of `names_day` and of `asks_",
        ),
        (
            "how about June",
            "Hang on.",
            ERROR,
            "examples: [on Friday",
            "`hang on` is an example of `names_day` and of `wait`",
        ),
        (
            "how about June",
            "what does it costs",
            WARNING,
            "examples: [how much",
            "is almost `what does it costs`, one of `names",
        ),
        ("how about June, ", "", WARNING, "names_day:", "`names_day` has 4 examples (give at least 5"),
        # endings
        (
            "says: Thank you. Goodbye.",
            "says: Thank you.",
            WARNING,
            "says: Thank you.",
            "`Thank you.`, which is no goodbye",
        ),
        ("          says: Thank you. Goodbye.\n", "", WARNING, "no_more:", "the bot hangs up without a word"),
        ("says: Thank you. Goodbye.", "says: [Bye now., Have a nice day.]", None, "", ""),
        (
            "says: It is free.",
            "says: It is free. Goodbye.",
            WARNING,
            "says: It is free",
            "`goodbye` is one of the `closure",
        ),
        ("says: How much?", "says: Goodbye! How much?", WARNING, "says: Goodbye! How", "the bot hangs up here"),
    ],
)
def test_one_mistake(old: str, new: str, kind: str | None, at: str, message: str | None, tmp_path: Path) -> None:
    text = BOT.replace(old, new)
    found = check(text, tmp_path)
    if kind is None or message is None:
        assert found == []
        return
    assert len(found) == 1, found
    assert found[0][0] == kind
    assert found[0][1].startswith(f"bot.yaml:{line(text, at)}: "), found
    assert message in found[0][1]


def test_a_collision_names_both_lines(tmp_path: Path) -> None:
    text = BOT.replace("how about June", "As always!")
    _, told = check(text, tmp_path)[0]
    assert told == (
        f"bot.yaml:{line(text, 'examples: [on Friday')}: in `day` `as always` is an example of `names_day` and of `usual` "
        f"(the other stands on line {line(text, 'examples: [as always')}) (keep it in one of the two)"
    )


def test_a_collision_in_many_steps_is_told_once(tmp_path: Path) -> None:
    text = BOT.replace("    wait:\n", "    wait:\n      examples: [any fees]\n")
    assert [kind for kind, _ in check(text, tmp_path)] == ["error"]


def test_what_collides_with_the_yes_to_a_question_of_confirming(tmp_path: Path) -> None:
    found = check(BOT.replace("    wait:\n", "    wait:\n      examples: [absolutely not]\n"), tmp_path)
    assert any("where something is confirmed, `absolutely not`" in told for _, told in found), found


def test_a_step_that_cannot_be_left(tmp_path: Path) -> None:
    trap = "    anything_else:\n      says: Is there anything else?\n      answers:\n        yes: {says: Fine.}\n"
    text = BOT[: BOT.index("    anything_else:")] + trap + BOT[BOT.index("  sets:") :]
    assert [kind for kind, _ in check(text, tmp_path)] == ["warning"]
    assert "only what is understood always leads on from the step `anything_else`" in check(text, tmp_path)[0][1]
    text = text.replace("    goodbye:\n      says: Goodbye.\n      next: end\n", "")
    told = [told for _, told in check(text, tmp_path)]
    assert f"bot.yaml:{line(text, '    anything_else:')}: the step `anything_else` cannot be left" in "".join(told)
    assert sum("leads to the end of the call" in one for one in told) == 3


def test_steps_that_go_round_in_a_circle(tmp_path: Path) -> None:
    text = BOT.replace("next: recap", "next: day")
    told = [told for _, told in check(text, tmp_path)]
    where = f"bot.yaml:{line(text, '      next: amount')}: "
    assert f"{where}the steps `day` -> `amount` -> `day` go round in a circle once all is known" in "".join(told)


def test_what_may_be_missing_is_told_for_each_variable(tmp_path: Path) -> None:
    text = BOT.replace("clears: [day, amount]\n          next: day", "clears: [day, amount]\n          next: recap")
    where = f"bot.yaml:{line(text, 'says: So {{')}: "
    assert [told[: len(where) + 16] for _, told in check(text, tmp_path)] == [
        f"{where}`{{{{fields.amount",
        f"{where}`{{{{fields.day}}}}`",
    ]


def test_a_part_of_the_flow_without_an_end(tmp_path: Path) -> None:
    text = BOT.replace("    goodbye:\n      says: Goodbye.\n      next: end\n", "").replace(
        "      never: [goodbye]\n", ""
    )
    text = text.replace("          next: anything_else\n", "          next: day\n")
    found = [told for kind, told in check(text, tmp_path) if kind == "error"]
    for step in ("day", "amount", "recap"):
        assert any(f"no way from the step `{step}` leads to the end of the call" in told for told in found), found
    assert any("leads to the step `anything_else`" in told for told in found)


def test_a_step_that_is_always_passed_over(tmp_path: Path) -> None:
    text = BOT.replace('{day: heard, amount: "heard?"}', "{day: heard, amount: 5}")
    text = text.replace('{day: "{{crm.usual_day}}"}', "{day: Friday, amount: 5}").replace(
        "          next: day\n", "          next: day\n", 1
    )
    told = [told for _, told in check(text, tmp_path)]
    assert any("the step `amount` is always passed over: `amount` is known by then" in one for one in told), told


def test_a_tool_that_fails_fills_nothing(tmp_path: Path) -> None:
    text = BOT.replace("          fills: {day: heard,", "          calls: book\n          fills: {day: heard,")
    assert check(text, tmp_path) == []  # then the step is not left
    text = BOT.replace("fills: {person: right}\n", "fills: {person: right}\n          calls: book\n")
    text = text.replace("says: On which day?", "says: You are {{fields.person}}. On which day?")
    assert [told.split(": ", 1)[1][:38] for _, told in check(text, tmp_path)] == [
        "`{{fields.person}}` is not known yet i"
    ]


def test_how_much_is_written_down() -> None:
    bot = strict.parse(BOT, "bot.yaml", profile.Profile)
    assert bot.flow is not None
    assert flowcheck.size(bot.flow) == {"steps": 5, "answers": 13, "examples": 25}


# -- any flow ----------------------------------------------------------------------------------------------------------

STEPS = ["a", "b", "c", "d"]
ANSWERS = st.builds(
    lambda next_, fills, clears, repeats: {"next": next_, "fills": fills, "clears": clears, "repeats": repeats},
    st.sampled_from([*STEPS, "end", None]),
    st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["heard", "heard?", "soon"]), max_size=2),
    st.lists(st.sampled_from(["x", "y"]), max_size=1),
    st.booleans(),
)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    steps = {}
    for name in STEPS:
        asked = draw(st.sampled_from(["x", "y", None]))
        given_ = draw(st.dictionaries(st.sampled_from(["yes", "no", "busy"]), ANSWERS, max_size=3))
        steps[name] = {
            "says": [] if name == "a" else ["Say {{fields.x}}."],
            "asks_for": asked,
            "next": draw(st.sampled_from([*STEPS, "end"])) if asked else None,
            "answers": given_,
        }
    fields = {"x": {"type": "text"}, "y": {"type": "text"}}
    return Flow.model_validate_json(json.dumps({"fields": fields, "steps": steps}))


@settings(deadline=None, max_examples=40)
@given(flows(), st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12))
def test_no_call_comes_where_it_says_that_none_can(talk: Flow, ways: list[tuple[int, bool]]) -> None:
    bot = profile.Profile(name="bot", prompt="p", opening_message="Hello. Who is it?", flow=talk)
    found = flowcheck.findings(bot)
    dead = {
        f.at[2]
        for f in found
        if f.kind == "error" and len(f.at) == 3 and "the step" in f.what and "no way from `a`" in f.what
    }
    dead |= {f.at[2] for f in found if "always passed over" in f.what}
    unsaid = {f.at for f in found if "before anything" in f.what}
    unsure = {f.at for f in found if "not known yet" in f.what}
    circle = any("circle" in f.what for f in found)
    state = course.begin(talk, "Hello. Who is it?")
    for number, heard in ways:
        keys = list(talk.candidates(state.step))
        if not keys:
            return
        key = keys[number % len(keys)]
        answer: Answer = talk.candidates(state.step)[key]
        filled = {n: "v" for n, value in answer.fills.items() if value != "heard?" or heard}
        line = course.follow(talk, state, key, filled, flowcheck._DAY)
        moved, state = line.state.step != state.step, line.state
        if line.end:
            return
        if circle:
            continue
        assert state.step not in dead
        if moved and state.step != talk.start:  # the first one has no words of its own
            at = ("flow", "steps", state.step, "says", 0)
            assert not (at in unsaid and "x" in state.fields)
            assert "x" in state.fields or at in unsaid | unsure


def test_given_is_what_the_flow_has_for_each_step() -> None:
    for path in SHIPPED:
        talk = profile.load(path).flow
        for step in talk.steps if talk else ():
            assert talk is not None
            found = flowcheck.given(talk, step)
            assert {key: answer for key, (_, answer) in found.items()} == talk.candidates(step)
            places = {("flow", *loc) for loc, _ in talk.answers()}
            assert {loc for loc, _ in found.values()} <= places
