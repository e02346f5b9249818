"""`callctl dial`: one call, placed, watched and kept.

Decides: what the flags come to, that everything wrong with them is said before anything starts, and what the exit code says of
the call. Refuses to know: how a call runs (lab.runner) and how it looks (callctl.view).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TextIO, TypeVar

import typer

from callctl.commands.profile import Sets, Vars, clock, find_file, find_profile, parse_vars
from lab.errors import ConfigError, ConfigErrors, Interrupted, LineError

if TYPE_CHECKING:
    from pathlib import Path

    from callctl.view import View
    from lab.carrier import Carrier
    from lab.pace import Pace
    from lab.persona import Persona
    from lab.profile import Profile
    from lab.result import CallResult
    from lab.runner import Carried, Lab, Order

T = TypeVar("T")

FROM_NUMBER = "+12025550100"
"""Shown to the customer when neither --from nor the profile says otherwise."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A call that can be placed."""

    order: Order
    carrier: Carrier
    models: tuple[str, ...]
    """Names of the models that both sides need."""


def dial(
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="A file, or the name of a shipped profile.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="NUMBER", help="Whom to call; without, the profile's lab_number.")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="NUMBER", help="What the customer sees.")] = None,
    var: Vars = None,
    persona: Annotated[
        str | None, typer.Option("--persona", metavar="P", help="Who answers: a persona's id, or a YAML file.")
    ] = None,
    set_: Sets = None,
    max_duration: Annotated[
        str | None, typer.Option("--max-duration", metavar="D", help="End the call after this long, as in 90s or 2m.")
    ] = None,
    allow_unresolved: Annotated[
        bool, typer.Option("--allow-unresolved", help="Call even if a {{variable}} has no value.")
    ] = False,
    line: Annotated[Literal["sip", "loop"], typer.Option("--line", help="How the call is carried.")] = "sip",
    pace: Annotated[
        Literal["real", "fast", "fixed"] | None,
        typer.Option("--pace", help="How call time passes: real over SIP, else fast.", show_default=False),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Another number, another way the lab's customer puts it.")
    ] = 0,
    json_: Annotated[
        bool, typer.Option("--json", help="The call result on stdout; the call itself is shown on stderr.")
    ] = False,
) -> None:
    """Place a call and show it as it happens. Ctrl-C hangs up politely."""
    plan = prepare(
        profile,
        to=to,
        from_=from_,
        var=var or (),
        persona=persona,
        overrides=set_ or (),
        max_duration=max_duration,
        allow_unresolved=allow_unresolved,
        seed=seed,
    )
    from callctl.commands.models import pull_with_progress

    pull_with_progress(plan.models)

    from callctl.view import View, ending
    from lab import record, store
    from lab.pace import Pace

    root = store.recordings_root()
    stream = sys.stderr if json_ else sys.stdout
    moving = Pace(pace or ("real" if line == "sip" else "fast"))
    with View(stream) as view:
        talk = _Talk(plan, root, view, stream, line, moving)
        result = moving.run(talk.hold)
        folder = root / result.session_id
        talk.watch(lambda: view.finish(folder))
    if json_:
        typer.echo(record.to_json(result.model_dump(by_alias=True)), nl=False)
    if talk.interrupted:
        raise typer.Exit(Interrupted.exit_code)
    if result.disconnected_by == "error":
        sip = result.callctl.sip
        raise LineError(
            sip["detail"] or (ending(view.seen.end) if view.seen.end else "the call has no end"),
            where=str(folder / record.EVENTS),
        )


def prepare(
    profile: str,
    *,
    to: str | None = None,
    from_: str | None = None,
    var: Sequence[str] = (),
    persona: str | None = None,
    overrides: Sequence[str] = (),
    max_duration: str | None = None,
    allow_unresolved: bool = False,
    seed: int = 0,
) -> Plan:
    """What the flags of `dial` come to. Raises ConfigErrors with everything that is wrong in them and in the files they name."""
    from lab import numbers, shelf
    from lab.profile import load
    from lab.runner import Order

    problems: list[ConfigError] = []

    def tried(make: Callable[[], T], where: str | None = None) -> T | None:
        try:
            return make()
        except ConfigError as error:
            problems.extend(ConfigError(p.what, where=p.where or where, hint=p.hint) for p in error.problems)
            return None

    limit = tried(lambda: _limit(max_duration), "--max-duration") if max_duration is not None else None
    bot = tried(lambda: load(find_profile(profile), overrides=[*overrides, *([limit] if limit else [])]))
    to_number = tried(lambda: numbers.e164(to), "--to") if to is not None else None
    from_number = tried(lambda: numbers.e164(from_), "--from") if from_ is not None else None
    values = tried(lambda: parse_vars(tuple(var)))
    customer = tried(lambda: find_persona(persona), "--persona") if persona is not None else None

    if bot and values is not None:
        resolved = bot.resolve(values, clock(bot))
        if not allow_unresolved:
            problems += [_unresolved(name, profile) for name in resolved.unresolved]
    if bot:
        tried(lambda: shelf.check(bot), profile)
    number = to_number or (customer.number if customer else bot.lab_number if bot else None)
    carrier = _network(number, customer)
    if bot and to is None and persona is None and not number:
        hint = "give --to NUMBER or --persona P, or write `lab_number` into the profile"
        problems.append(ConfigError("there is no number to call", where=profile, hint=hint))
    elif number and not carrier.who(number):
        hint = "`callctl lab numbers` lists who can be called"
        problems.append(
            ConfigError(f"nobody has the number {number}", where="--to" if to_number else profile, hint=hint)
        )
    if problems or not bot or values is None or not number:
        raise ConfigErrors(problems)

    order = Order(resolved, number, from_number or bot.from_number or FROM_NUMBER, variables=values, seed=seed)
    return Plan(order, carrier, _models(bot, carrier.who(number)))


def find_persona(name_or_path: str) -> Persona:
    """The persona in this file, or with this id or name. Raises ConfigError, with the nearest."""
    from lab import persona

    shipped = persona.shipped()
    names = {persona.load(path).name: path for path in shipped.values()}
    return persona.load(find_file(name_or_path, {**names, **shipped}, "persona"))


class _Talk:
    """One call under the eyes of a person who may interrupt it, or look away."""

    def __init__(self, plan: Plan, root: Path, view: View, stream: TextIO, line: Carried, pace: Pace) -> None:
        self._plan, self._root, self._line, self._pace = plan, root, line, pace
        self._view, self._stream = view, stream
        self.interrupted = False

    async def hold(self) -> CallResult:
        import asyncio

        from lab.runner import Lab

        async with Lab(self._plan.carrier, self._root, pace=self._pace, carried=self._line) as lab:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGINT, self._on_signal, lab, True)
            loop.add_signal_handler(signal.SIGTERM, self._on_signal, lab, False)
            fresh = asyncio.ensure_future(self._view.keep_fresh()) if self._pace.name == "real" else None
            try:
                return await lab.dial(self._plan.order, lambda event: self.watch(lambda: self._view(event)))
            finally:
                if fresh:
                    fresh.cancel()

    def _on_signal(self, lab: Lab, impatient: bool) -> None:
        if self.interrupted:
            if impatient:
                self._view.close()
                os._exit(Interrupted.exit_code)  # the softphones say BYE when they lose us
            return
        self.interrupted = True
        self.watch(self._view.hanging_up)
        lab.interrupt()

    def watch(self, draw: Callable[[], None]) -> None:
        """Draw; once whoever read it has closed the stream, into nothing: the call goes on."""
        try:
            draw()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _limit(text: str) -> str:
    from lab.strict import duration

    if duration(text) <= 0:
        raise ConfigError(f"`{text}` leaves no time for a call", hint="for example `2m`")
    return f"limits.max_duration={text}"


def _unresolved(name: str, profile: str) -> ConfigError:
    from lab.template import variable_name

    try:
        hint = f"give one with `--var {variable_name(name)}=…`, or call all the same with `--allow-unresolved`"
    except ConfigError as error:
        hint = f"{error.what}; `--allow-unresolved` calls all the same"
    return ConfigError(f"`{{{{{name}}}}}` has no value", where=profile, hint=hint)


def _network(number: str | None, customer: Persona | None) -> Carrier:
    """The lab's network, in which `customer`, if any, has `number`."""
    from callctl.commands.lab import shipped_personas
    from lab.carrier import Carrier

    personas = shipped_personas()
    if customer:
        others = {name: persona for name, persona in personas.items() if persona.number != number}
        personas = {**others, customer.name: customer.model_copy(update={"number": number})}
    return Carrier(personas.items())


def _models(bot: Profile, customer: Persona | None) -> tuple[str, ...]:
    """What both sides need. Beside a scripted engine of the bot the customer's counterpart is scripted too."""
    from lab.shelf import SCRIPTED

    needed = [bot.stt.model, bot.tts.voice]
    if bot.llm.base_url is None:
        needed.append(bot.llm.model)
    if customer and bot.tts.voice != SCRIPTED:
        needed.append(customer.ear.model)
    if customer and bot.stt.model != SCRIPTED:
        needed.append(customer.voice.voice)
    return tuple(dict.fromkeys(name for name in needed if name != SCRIPTED))
