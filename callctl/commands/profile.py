"""`callctl profile check|show` and `callctl init`: writing a bot down and seeing what was understood.

Decides: where a profile is looked for, and what a person is shown of it. Refuses to know: what makes a profile valid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callctl.plain import printable
from lab.errors import ConfigError, ConfigErrors

if TYPE_CHECKING:
    from lab.profile import Profile

app = typer.Typer(help="Check and show bot profiles.", no_args_is_help=True)

Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the profile, as in llm.model=…")
]
Vars = Annotated[
    list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="Give a variable its value for this call.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def check(
    profiles: Annotated[list[str], typer.Argument(metavar="FILE…", help="Files, or names of shipped profiles.")],
    json_: Json = False,
) -> None:
    """Say of each profile whether it is right, and everything that is wrong."""
    from lab.profile import load

    reports: list[dict[str, Any]] = []
    problems: list[ConfigError] = []
    warnings: list[ConfigError] = []
    for name in profiles:
        found: list[ConfigError] = []
        try:
            path = find_profile(name)
            loaded = load(path)
            wrong, found = _findings(loaded, path)
            if wrong:
                raise ConfigErrors(wrong)
            reports.append({"file": str(path), "ok": True, **_counts(loaded), "warnings": _told(found)})
        except ConfigError as error:
            report = {"file": name, "ok": False, "problems": _told(error.problems), "warnings": _told(found)}
            reports.append(report)
            problems += error.problems
        warnings += found
    if json_:
        typer.echo(json.dumps({"ok": not problems, "profiles": reports}, ensure_ascii=False, indent=2))
        if problems:
            raise typer.Exit(ConfigError.exit_code)
        return
    for report in reports:
        if report["ok"]:
            typer.echo(_line(report))
    for warning in warnings:
        typer.echo(f"warning: {printable(warning.what)}\n  where: {printable(warning.where or '')}", err=True)
        if warning.hint:
            typer.echo(f"  hint:  {printable(warning.hint)}", err=True)
    if problems:
        raise ConfigErrors(problems)


@app.command()
def show(
    profile: Annotated[str, typer.Argument(metavar="FILE", help="A file, or the name of a shipped profile.")],
    var: Vars = None,
    set_: Sets = None,
    json_: Json = False,
) -> None:
    """Print a profile as a call would use it: defaults filled in, variables put in, secrets removed."""
    from lab.profile import load

    loaded = load(find_profile(profile), overrides=set_ or ())
    resolved = loaded.resolve(parse_vars(var or ()), clock(loaded))
    if json_:
        document = {"profile": resolved.profile.redacted(), "unresolved": list(resolved.unresolved)}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    typer.echo(resolved.profile.to_yaml(), nl=False)
    for name in resolved.unresolved:
        typer.echo(f"`{{{{{name}}}}}` has no value (give one with --var, or under `variables`)", err=True)


def init(
    name: Annotated[str, typer.Argument(help="Of the bot: small letters, digits and dashes.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write NAME.yaml, a commented profile to start from, into this folder."""
    from lab import strict
    from lab.profile import Profile

    text = _STARTER.replace("NAME", name)
    try:
        strict.parse(text, name, Profile)
    except ConfigErrors as error:
        raise ConfigError(error.what, where=name, hint=error.hint) from None
    path = Path(f"{name}.yaml")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError("is there already", where=str(path), hint="--force overwrites it") from None
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(path)) from None
    typer.echo(f"{path}")
    typer.echo(f"Next: callctl profile check {path}, then callctl dial {path}", err=True)


def find_profile(name_or_path: str) -> Path:
    """The file meant by a path, or by the name of a shipped profile. Raises ConfigError, with the nearest name."""
    return find_file(name_or_path, shipped_profiles(), "profile")


def find_file(name_or_path: str, shipped: Mapping[str, Path], kind: str) -> Path:
    """The file at a path if there is one, else the one that is shipped under this name. Raises ConfigError, with the nearest.

    kind: what the file holds, in one word
    """
    from lab.strict import did_you_mean

    path = Path(name_or_path)
    if path.is_file():
        return path
    if name_or_path in shipped:
        return shipped[name_or_path]
    if path.exists() or path.parent != Path() or path.suffix in (".yaml", ".yml"):
        what = "is not a file" if path.exists() else "there is no such file"
        beside = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ConfigError(what, where=name_or_path, hint=did_you_mean(path.name, [*sorted(beside)[:12], *shipped]))
    raise ConfigError(f"no {kind} is named `{name_or_path}`", hint=did_you_mean(name_or_path, list(shipped)))


def shipped_profiles() -> dict[str, Path]:
    """Profiles that come with callctl, by name: inside the installed package, or at the top of a source checkout."""
    package = Path(str(files("callctl")))
    folder = package / "profiles"
    if not folder.is_dir():
        folder = package.parent / "profiles"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def parse_vars(given: list[str] | tuple[str, ...]) -> dict[str, str]:
    """`--var name=value` flags as a mapping. Raises ConfigError."""
    from lab.template import variable_name

    values: dict[str, str] = {}
    for flag in given:
        name, equals, value = flag.partition("=")
        if not equals:
            raise ConfigError(f"`{flag}` is not `name=value`", where="--var", hint="for example `--var first_name=Sam`")
        try:
            values[variable_name(name)] = value
        except ConfigError as error:
            raise ConfigError(error.what, where="--var", hint=error.hint) from None
    return values


def clock(profile: Profile) -> dict[str, str]:
    """The `system.*` values of a call that begins now."""
    from datetime import UTC, datetime

    from lab.template import system

    return system(datetime.now(UTC), profile.timezone)


def _findings(profile: Profile, path: Path) -> tuple[list[ConfigError], list[ConfigError]]:
    """What cannot work in the profile that `path` holds, and what hardly can, each in the order of its lines."""
    from lab import flowcheck
    from lab.strict import places

    place = places(path)
    found = sorted(flowcheck.findings(profile), key=lambda finding: place(finding.at)[0])
    errors = [flowcheck.problem(finding, place) for finding in found if finding.kind == "error"]
    return errors, [flowcheck.problem(finding, place) for finding in found if finding.kind == "warning"]


def _told(problems: Sequence[ConfigError]) -> list[dict[str, Any]]:
    return [{"what": p.what, "where": p.where, "hint": p.hint} for p in problems]


def _counts(profile: Profile) -> dict[str, Any]:
    from lab.flowcheck import size

    needed = profile.resolve({}, clock(profile)).unresolved
    return {
        "name": profile.name,
        "variables": len(profile.referenced_variables()),
        "needs": list(needed),
        "re_engagement_lines": len(profile.turn_taking.re_engagement.lines),
        "closure_phrases": len(profile.closure_phrases),
        "analysis_fields": len(profile.analysis.fields) if profile.analysis else 0,
        **(size(profile.flow) if profile.flow else {"steps": 0, "answers": 0, "examples": 0}),
    }


def _line(report: dict[str, Any]) -> str:
    needs = f"; needs --var for {', '.join(report['needs'])}" if report["needs"] else ""
    flow = (
        f", {report['steps']} steps, {report['answers']} answers, {report['examples']} examples"
        if report["steps"]
        else ""
    )
    return (
        f"{report['file']}: ok ({report['variables']} variables, {report['re_engagement_lines']} re-engagement lines, "
        f"{report['closure_phrases']} closure phrases, {report['analysis_fields']} analysis fields{flow}{needs})"
    )


_STARTER = """\
# A bot. Try it:
#
#   callctl profile check NAME.yaml                      is everything right?
#   callctl profile show NAME.yaml --var first_name=Sam  what would it be told?
#   callctl dial NAME.yaml                               call the lab customer below
#
# Lines that begin with # show what you may add, with the value that holds without them.

name: NAME
description: What this bot is for, in one sentence.
# version: "1"
# language: en
timezone: UTC                        # for {{system.current_date}} and {{system.current_time}}
# from_number: +12025550190          # what the customer sees
lab_number: +12025550101             # who is called without --to

# Said as soon as the customer has answered.
opening_message: Hello, this is Robin from Example Company. Am I speaking with {{crm.first_name}}?

# What the model may know and say where nothing below is prepared.
prompt: |
  You are Robin from Example Company, on the phone with {{crm.first_name}} about a visit.

  Facts:
  - Visit: {{crm.day}} at noon, 1 Example Street.
  - Parking: in front of the house.

# Values that hold when the call brings none.
variables:
  first_name: Jordan
  day: Tuesday

# The prepared conversation: the bot says these words as long as it knows what the customer means. Without `flow` the model
# writes every line, from the prompt alone.
flow:
  fields:                            # what the call finds out
    visit: {type: choice, choices: {coming: [coming], cancelled: [cancelled]}}

  # The call is always in one step, first in the upper one. `answers` is what the customer may mean there: what it means in one
  # line, how people say it (the more different, the better), what the bot says then, and which step is `next`. An answer
  # without `next` stays: the step's question is asked `again`.
  steps:
    identity:
      again: Am I speaking with {{crm.first_name}}?
      answers:
        yes: {next: visit}           # meaning and examples of yes, no, wrong_person, busy and some more are known
        wrong_person: {says: I am sorry to have bothered you. Goodbye., next: end}

    visit:
      says: You have a visit on {{crm.day}} at noon. Can you come?
      answers:
        comes:
          means: the customer will come
          examples:
            - "yes"
            - I will be there
            - that works for me
            - sure, I can make it
            - see you then
            - it is in my calendar
          fills: {visit: coming}     # or a field of type day, time, amount, …: {pay_day: heard} reads it from the words
          says: Great, we will see you then. Goodbye.
          next: end                  # hangs up
        cancels:
          means: the customer cannot come, or does not want to
          examples:
            - "no"
            - I cannot make it
            - please cancel it
            - that day is bad for me
            - I do not need it any more
            - something came up
          confirm: Do you want me to cancel the visit?    # asked first, where a mistake would hurt
          fills: {visit: cancelled}
          # calls: cancel_visit      # a tool, written under `tools`
          says: All right, I have noted that. Goodbye.
          next: end
        asks_where:
          means: the customer asks where the visit is or where to park
          examples:
            - where is it
            - what is the address
            - where can I park
            - how do I get there
            - is there a place for my car
          says: At 1 Example Street. You can park in front of the house.

  always:                            # understood in every step, six at most
    who_is_this: {says: This is Robin from Example Company.}
    are_you_robot: {says: I am a computer that calls for Example Company.}
    repeat: {}                       # the bot says its last line again
    wait: {says: Take your time.}
    goodbye: {says: Goodbye., next: end}

# stt: {model: whisper-base}
# llm: {model: qwen2.5-coder-1.5b, max_tokens: 60, temperature: 0.0}
# An OpenAI-compatible server in its place; the key stays in the environment:
# llm: {model: some-model, base_url: "http://127.0.0.1:8080/v1", api_key_env: MY_SERVER_KEY}
# tts: {voice: en_US-joe-medium}
# line: {codec: pcmu}                # or pcma, g722

# Durations have a unit: 500ms, 0.6s, 2m, 1m30s.
# turn_taking:
#   endpointing:                     # this much silence ends the customer's turn; or one time for all: `endpointing: 0.6s`
#     finished: 0.3s                 # after a whole sentence
#     unsure: 0.7s
#     number: 1080ms                 # inside a telephone number, a code, an address, a spelled word
#     unfinished: 1.6s               # after a sentence that breaks off
#     sound: true                    # a model judges by the sound, too
#   barge_in: {enabled: true, min_speech: 0.2s, words: true}   # words stop the bot, `mm-hmm` does not
#   re_engagement:
#     after: 8s
#     lines: ["Hello, are you still there?", "I cannot hear you. Are you there?"]
# limits:
#   max_duration: 3m
#   dead_air: 30s                    # longer than `after` times the lines
#   ring_timeout: 30s
# closure_phrases: [goodbye, bye bye, have a great day]

# Found out from the transcript after the call. Every value needs its meaning, every other string a maxLength.
analysis:
  instructions: Read the call between Robin, the bot, and the customer. Say how it came out.
  schema:
    DISPOSITION:
      type: string
      enum:
        Confirmed: the customer said they will come
        Declined: the customer said they will not come
        Unknown: the customer did not say
    CALLING_REMARKS: {type: string, maxLength: 120, description: one sentence on what the customer said}
"""
