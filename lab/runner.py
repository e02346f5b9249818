"""The only assembler: profile + line + engines -> a call -> its result.

Decides: what is put together, and in which order a call is opened and closed. Refuses to know: how anything of it works inside.

A `Lab` is the telephone network on this machine: softphone workers and engines that stay between calls. One `dial` is one call.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from lab import analysis, events, offload, record, store, template, values
from lab import ear as ears
from lab import profile as profiles
from lab.call import Call, Engines, Part
from lab.caller import Caller, Ways
from lab.carrier import NOT_FOUND, Carrier
from lab.customers import Customer
from lab.dialogue import Brief, Dialogue
from lab.ear import Ear
from lab.echo import Echo
from lab.errors import ConfigError, InfrastructureError, LabError
from lab.floor import Endpointing, Manners
from lab.lines import loop as loop_line
from lab.lines.sip import IncomingCall, Lockstep, Softphone
from lab.pace import Pace
from lab.persona import Persona, PersonaVoice
from lab.ports import LINE_RATES, Line, Responder, ToolCall
from lab.profile import Profile, Resolved, without_secrets
from lab.quiet import Guard, late
from lab.result import CallResult
from lab.scenario import Step
from lab.shelf import SCRIPTED, Shelf
from lab.voiced import End

Sink = Callable[[events.Event], None]
Carried = Literal["sip", "loop"]

SESSION_HEADER = "X-Callctl-Session"
CUSTOMER_LOG = "customer.jsonl"
MOST_HINT = 30
"""Characters of a variable's value that is still a name rather than a text."""
CUSTOMER_PATIENCE = 2.0
"""Seconds the customer's side gets to finish after the bot's has ended."""


@dataclass(frozen=True, slots=True)
class Order:
    """A call to be placed."""

    profile: Resolved
    to_number: str
    from_number: str
    variables: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    steps: tuple[Step, ...] = ()
    """What the customer does, step by step; without them the number plan's persona answers."""
    voice: PersonaVoice = field(default_factory=PersonaVoice)
    """Of a customer who goes by steps."""
    ways: Ways = field(default_factory=Ways)
    """The same customer's."""
    doing: Mapping[str, tuple[ToolCall, ...]] = field(default_factory=dict)
    """What a persona does after the words of a reaction, by its name."""


OTHER_CALLS = "other calls ran in this process"
"""A doubt about a call's latencies."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A call that is over."""

    result: CallResult
    folder: Path
    log: list[events.Event]
    ear: End | None
    """What a customer of ours said and received."""


@dataclass(slots=True)
class _Talk:
    """A call under way, as the customer's side finds it."""

    order: Order
    emit: Sink
    folder: Path | None = None
    """None for a call of somebody else, which leaves no record."""
    call: Call | None = None
    customer: Customer | None = None
    ear: Ear | None = None
    """What a customer of ours hears."""
    task: asyncio.Task[None] | None = None


class Lab:
    """The telephone network and the engines. Use as an async context manager.

    root: where call folders go. shelf: engines that outlive this network. now, token: injected where the same call must give the
    same log.
    """

    def __init__(
        self,
        carrier: Carrier,
        root: Path,
        *,
        pace: Pace | None = None,
        carried: Carried = "sip",
        shelf: Shelf | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.carrier, self.root, self.carried = carrier, root, carried
        self.pace = pace or Pace()
        self.shelf = shelf or Shelf(self.pace)
        self._now = now
        self._token = token
        self._phones: dict[str, tuple[Softphone, Softphone]] = {}
        self._lockstep: Lockstep | None = None
        self._talks: dict[str, _Talk] = {}
        self._calls: dict[str, Call] = {}
        self._interrupted = asyncio.Event()
        self._stack = AsyncExitStack()
        self._warming: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Lab:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def interrupt(self) -> None:
        """Hang up politely whatever is under way; the results are still written."""
        self._interrupted.set()
        for call in self._calls.values():
            call.hang_up("interrupted")

    async def dial(self, order: Order, *sinks: Sink) -> CallResult:
        """Place the call, hold it to its end, analyse it, write everything.

        sinks get each event as it happens. Raises LabError when the call could not be carried or kept; a call that was carried and
        went wrong is a result.
        """
        return (await self.hold(order, *sinks)).result

    async def hold(self, order: Order, *sinks: Sink) -> Finished:
        """`dial`, with all that is known of the call."""
        profile = order.profile.profile
        session = record.session_id(self._now(), self._token)
        rate = LINE_RATES[profile.line.codec]
        self.shelf.check(profile)
        started = self._started(session, order, rate)
        with record.Recorder(self.root / session, rate) as recorder:

            def emit(event: events.Event) -> None:
                recorder.event(event)
                for sink in sinks:
                    sink(event)

            recorder.text(record.PROFILE, profile.to_yaml())
            emit(started)
            talk = self._talks[session] = _Talk(order, emit, recorder.folder)
            try:
                guard = Guard()
                await self._hold(session, order, talk, recorder, emit)
                cpu = None if self.pace.inline else round(guard.used(), 2)
                emit(events.Measured(at=recorder.log[-1].at, doubts=self._doubts(guard, recorder.log), cpu=cpu))
                await self._analyse(profile, recorder.log, emit)
            except Exception as error:
                self._give_up(error, recorder)
                raise
            finally:
                del self._talks[session]
            result = store.write_result(recorder.folder, recorder.log)
            return Finished(result, recorder.folder, list(recorder.log), talk.ear.end if talk.ear else None)

    def network_pids(self) -> list[int]:
        """Of the processes that carry the customers' side."""
        return [network.pid for _, network in self._phones.values()]

    def _doubts(self, guard: Guard, log: Sequence[events.Event]) -> list[str]:
        """Why the call's latencies should not be believed."""
        if self.pace.inline:
            return ["thinking was charged by a table or a recording"]
        alone = len(self._calls) <= 1
        facts = next((e.facts for e in reversed(log) if isinstance(e, events.LineFacts)), {})
        return guard.doubts() + late(facts.get("clock", {})) + ([] if alone else [OTHER_CALLS])

    def _give_up(self, error: Exception, recorder: record.Recorder) -> None:
        """What could not be carried or kept has a result too, as far as the disk lets us."""
        log = recorder.log
        with suppress(LabError):
            if not any(isinstance(e, events.Ended) for e in log):
                recorder.event(events.Ended(at=log[-1].at, cause="error", detail=str(error)))
            store.write_result(recorder.folder, log)

    # -- the call itself -----------------------------------------------------------------------------------------------

    async def _hold(self, session: str, order: Order, talk: _Talk, recorder: record.Recorder, emit: Sink) -> None:
        profile = order.profile.profile
        for name in order.profile.unresolved:
            emit(events.Unresolved(at=0.0, name=name))
        async with self._line(session, order, talk) as line:
            call = Call(bot_part(profile), line, self._bot_engines(order), self.pace, emit=emit, tap=recorder.tick)
            self._calls[session] = talk.call = call
            try:
                if self._interrupted.is_set():
                    call.hang_up("interrupted")
                await call.run()
            finally:
                del self._calls[session]
                line.hang_up()
                await self._let_customer_finish(talk)
        if talk.customer is not None:
            emit(events.Told(at=recorder.log[-1].at, told=talk.customer.told))
        if talk.ear is not None:
            for heard in list(ears.facts(recorder.log, call.end, talk.ear.end)):
                emit(heard)

    @asynccontextmanager
    async def _line(self, session: str, order: Order, talk: _Talk) -> AsyncIterator[Line]:
        codec = order.profile.profile.line.codec
        if self.carried == "sip":
            bot, network = await self._network(codec)
            uri = f"sip:{order.to_number}@127.0.0.1:{network.port}"
            yield bot.place(uri, from_number=order.from_number, headers={SESSION_HEADER: session})
        else:
            ours, theirs = loop_line.pair(codec)
            taking = self._customer(talk, theirs)
            if taking is None:
                theirs.hang_up(NOT_FOUND)
            else:
                theirs.ring()
                talk.task = asyncio.ensure_future(taking)
            yield ours

    async def _network(self, codec: Any) -> tuple[Softphone, Softphone]:
        """The bot's softphone and the network's, for one codec; dead ones are replaced."""
        known = self._phones.get(codec)
        if known is None or not all(phone.alive for phone in known):
            for phone in known or ():
                await phone.close()
            if self._lockstep is None and self.pace.name != "real":
                self._lockstep = await self._stack.enter_async_context(Lockstep())
            bot, network = await asyncio.gather(self._phone("bot", codec), self._phone("network", codec))
            known = self._phones[codec] = (bot, network)
            serving = asyncio.ensure_future(self.carrier.serve(network, self._pick_up))
            self._stack.push_async_callback(_end, serving)
        return known

    async def _phone(self, name: str, codec: Any) -> Softphone:
        phone = await Softphone.start(name=name, codec=codec, lockstep=self._lockstep)
        self._stack.push_async_callback(phone.close)
        return phone

    # -- the customer --------------------------------------------------------------------------------------------------

    def _pick_up(self, call: IncomingCall) -> Coroutine[Any, Any, None] | None:
        """Who takes a call that came in over SIP; one that is none of ours is taken without a record."""
        talk = self._talks.get(call.headers.get(SESSION_HEADER, ""))
        if talk is None:
            order = Order(_NOBODY, call.to_number, call.from_number)
            talk = _Talk(order, lambda event: None)
        taking = self._customer(talk, call.line)
        if taking is not None:
            talk.task = asyncio.ensure_future(taking)
            return _until(talk.task)
        return None

    def _customer(self, talk: _Talk, line: Line) -> Coroutine[Any, Any, None] | None:
        """The called side of this call; None when nobody has that number."""
        order = talk.order
        if order.steps:
            profile = order.profile.profile
            tones = profile.stt.model == SCRIPTED
            voice = order.voice.model_copy(update={"voice": SCRIPTED}) if tones else order.voice
            ear = talk.ear = Ear(talk.folder, line.rate)
            caller = Caller(
                order.steps,
                line,
                self.shelf.voice(voice),
                self.shelf.detector("customer", tones=order.ways.by_energy or profile.tts.voice == SCRIPTED),
                self.pace,
                emit=talk.emit,
                tap=ear.tick,
                seed=order.seed,
                ways=order.ways,
            )
            return _with(ear, caller.run())
        persona = self.carrier.who(order.to_number)
        return self._answer(talk, persona, line) if persona else None

    async def _answer(self, talk: _Talk, persona: Persona, line: Line) -> None:
        customer = talk.customer = Customer(persona, talk.order.seed, talk.order.doing)
        log = (talk.folder / CUSTOMER_LOG).open("a", encoding="utf-8") if talk.folder else None

        def emit(event: events.Event) -> None:
            if log is not None:
                log.write(events.to_line(event) + "\n")
                log.flush()
            match event:
                case events.Fault(what=what) | events.Ended(cause="line_lost", reason=what) if talk.call is not None:
                    talk.call.fail(InfrastructureError(f"the customer's side failed: {what}"))

        engines = self._customer_engines(customer, talk.order.profile.profile)
        talk.ear = Ear(talk.folder, line.rate)
        try:
            with talk.ear as ear:
                await Call(customer.part(), line, engines, self.pace, emit=emit, tap=ear.tick).run()
        finally:
            line.hang_up()
            if log is not None:
                log.close()

    async def _let_customer_finish(self, talk: _Talk) -> None:
        if talk.task is not None:
            with suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(asyncio.shield(talk.task), CUSTOMER_PATIENCE)
            await _end(talk.task)

    # -- engines -------------------------------------------------------------------------------------------------------

    async def prepare(self, order: Order) -> None:
        """Load what the call will compute with, so that none of it falls into the call. Raises what loading raises."""
        profile = order.profile.profile
        bot = self._bot_engines(order)
        await asyncio.gather(*bot.loading)
        persona = None if order.steps else self.carrier.who(order.to_number)
        if persona:
            customer = self._customer_engines(Customer(persona, order.seed), profile)
            await asyncio.gather(customer.voice, customer.recognizer)

    def _bot_engines(self, order: Order) -> Engines:
        shelf, profile = self.shelf, order.profile.profile
        voice = shelf.voice(PersonaVoice(voice=profile.tts.voice), profile.tts.options)  # first: it speaks first
        return Engines(
            recognizer=shelf.recognizer(profile.stt.model, profile.language, profile.stt.options),
            dialogue=self._bot_dialogue(order),
            voice=voice,
            detector=shelf.detector("bot", tones=profile.stt.model == SCRIPTED),
            judge=shelf.judge() if shelf.judges(profile) else None,
            echo=None if SCRIPTED in (profile.stt.model, profile.tts.voice) else Echo(LINE_RATES[profile.line.codec]),
        )

    def _customer_engines(self, customer: Customer, profile: Profile) -> Engines:
        persona = customer.persona
        bot_speaks_tones, bot_hears_tones = profile.tts.voice == SCRIPTED, profile.stt.model == SCRIPTED
        voice = customer.voice.model_copy(update={"voice": SCRIPTED}) if bot_hears_tones else customer.voice
        ready: asyncio.Future[Responder] = asyncio.get_running_loop().create_future()
        ready.set_result(_responder(customer))
        return Engines(
            recognizer=self.shelf.recognizer(SCRIPTED if bot_speaks_tones else persona.ear.model),
            dialogue=Dialogue(Brief(), ready, self.pace),
            voice=self.shelf.voice(voice),
            detector=self.shelf.detector("customer", tones=bot_speaks_tones),
        )

    def _bot_dialogue(self, order: Order) -> Dialogue:
        profile = order.profile.profile
        now = self._now().astimezone(ZoneInfo(profile.timezone))
        brief = Brief(
            system=profile.prompt,
            opening=profile.opening_message,
            flow=profile.flow,
            tools=profile.tools,
            values={**template.namespaced(profile.variables), **template.system(now, profile.timezone)},
            today=now.date(),
        )
        embedder = self.shelf.embedder(self.shelf.embedding(profile)) if profile.flow else None
        loading = self.shelf.responder(profile.llm)
        ready: asyncio.Future[Responder] = asyncio.get_running_loop().create_future()
        dialogue = Dialogue(brief, ready, self.pace, embedder)
        warming = asyncio.ensure_future(self._warmed(dialogue, loading, ready))
        self._warming.add(warming)
        warming.add_done_callback(self._warming.discard)
        return dialogue

    async def _warmed(
        self, dialogue: Dialogue, loading: asyncio.Future[Responder], ready: asyncio.Future[Responder]
    ) -> None:
        """Hand over the responder once it has read its prompts."""
        try:
            responder = await asyncio.shield(loading)
            await dialogue.prepare(responder)
            if not ready.done():
                ready.set_result(responder)
        except Exception as error:  # noqa: BLE001 - raised again where the responder is awaited
            if not ready.done():
                ready.set_exception(error)

    # -- after the call ------------------------------------------------------------------------------------------------

    async def _analyse(self, profile: Profile, log: Sequence[events.Event], emit: Sink) -> None:
        at, began = log[-1].at, self.pace.now()

        def found(data: dict[str, Any] | None, error: str | None, attempts: int) -> None:
            took = round(self.pace.now() - began, 3)
            emit(events.Analysed(at=at, data=data, error=error, took=took, attempts=attempts))

        if profile.analysis is None:
            return found(None, "not analysed: the profile asks for none", 0)
        if skipped := analysis.why_not(log):
            return found(None, skipped, 0)
        schema, meanings = profile.analysis.json_schema(), profile.analysis.meanings()
        system = analysis.system(profile.analysis.instructions, schema, meanings)
        responder = await self.shelf.responder(profile.llm)
        complaint: str | None = None
        for attempt in (1, 2):
            try:
                answer = await self._until_interrupted(responder, system, analysis.text(log, complaint), schema)
                if answer is None:
                    return found(None, "not analysed: interrupted", attempt)
                return found(analysis.read(answer, schema), None, attempt)
            except ValueError as error:
                complaint = str(error)
            except LabError as error:
                return found(None, str(error), attempt)
        return found(None, f"no usable answer: {complaint}", 2)

    async def _until_interrupted(
        self, responder: Responder, system: str, text: str, schema: Mapping[str, Any]
    ) -> str | None:
        async def ask() -> str:
            pieces = offload.stream(
                lambda stop: responder.extract(system, text, schema, stop), self.pace, "analysis", "analysis_rest"
            )
            async with aclosing(pieces):
                return "".join([piece async for piece in pieces])

        asking, stopped = asyncio.ensure_future(ask()), asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait((asking, stopped), return_when=asyncio.FIRST_COMPLETED)
            return await asking if asking.done() else None
        finally:
            await _end(asking)
            await _end(stopped)

    def _expected(self, persona: Persona, profile: Profile) -> dict[str, Any]:
        return expected(persona, profile, self._now().astimezone(ZoneInfo(profile.timezone)).date())

    def _started(self, session: str, order: Order, rate: int) -> events.Started:
        profile = order.profile.profile
        persona = None if order.steps else self.carrier.who(order.to_number)
        return events.Started(
            at=0.0,
            session_id=session,
            wall=self._now().isoformat(timespec="milliseconds"),
            bot=profile.name,
            bot_version=profile.version,
            from_number=order.from_number,
            to_number=order.to_number,
            rate=rate,
            context={
                "line": self.carried,
                "pace": self.pace.name,
                "persona": persona.name if persona else None,
                "variables": without_secrets(order.variables),
                "engines": self.shelf.facts(profile),
                "expect": self._expected(persona, profile) if persona else None,
            },
        )


def expected(persona: Persona, profile: Profile, today: date) -> dict[str, Any]:
    """What `persona` expects of a call with the bot of `profile`; fields as the flow would fill them.

    Fields that another bot would fill stand under `not_judged`: anybody may call anybody. Raises ConfigError for a value that a
    field cannot have.
    """
    found = persona.expect.model_dump(mode="json", exclude_defaults=True)
    filled: dict[str, Any] = {}
    for name, written in found.pop("fields", {}).items():
        field = profile.flow.fields.get(name) if profile.flow else None
        if field is None:
            found.setdefault("not_judged", []).append(name)
            continue
        value = values.literal(field, template.as_text(written), today)
        if value is None:
            what = f"expects `{name}: {written}`, which is no {field.type}"
            raise ConfigError(what, where=f"persona {persona.name}", hint="write it as the flow would fill it")
        filled[name] = value
    return {**found, "fields": filled} if filled else found


def bot_part(profile: Profile) -> Part:
    """What the bot of `profile` (its texts filled in) is to do in a call."""
    taking, limits = profile.turn_taking, profile.limits
    return Part(
        me="bot",
        opening=profile.opening_message,
        ask_again=taking.re_engagement.lines,
        closure_phrases=profile.closure_phrases,
        hints=hints(profile),
        max_duration=limits.max_duration,
        ring_timeout=limits.ring_timeout,
        manners=Manners(
            endpointing=_endpointing(taking.endpointing, english=profile.language.startswith("en")),
            barge_in=taking.barge_in.min_speech if taking.barge_in.enabled else None,
            words=taking.barge_in.words and profile.language.startswith("en"),
            ask_again_after=taking.re_engagement.after,
            ask_again_times=len(taking.re_engagement.lines),
            dead_air=limits.dead_air,
        ),
    )


def hints(profile: Profile) -> tuple[str, ...]:
    """Words the customer is likely to say: what the profile names, and the short ones of its variables' values."""
    values = (value for name, value in profile.variables.items() if value != "***")
    short = (value for value in values if value and len(value) <= MOST_HINT and not value.replace(" ", "").isdigit())
    return tuple(dict.fromkeys((*profile.stt.hints, *short)))


def _endpointing(waits: profiles.Endpointing, *, english: bool) -> Endpointing:
    if waits.always is not None:
        return Endpointing.fixed(waits.always)
    if not english:  # nobody knows where its sentences end
        return Endpointing.fixed(waits.unsure)
    return Endpointing(waits.finished, waits.unsure, waits.number, waits.unfinished)


def _responder(customer: Customer) -> Responder:
    from lab.engines.scripted import ScriptedResponder

    return ScriptedResponder(customer.answer)


_NOBODY = Resolved(Profile(name="nobody", prompt="-", opening_message="-"), ())


async def _with(ear: Ear, taking: Coroutine[Any, Any, None]) -> None:
    with ear:
        await taking


async def _until(task: asyncio.Future[None]) -> None:
    """Wait; what the task raises is for the call it belongs to."""
    await asyncio.wait([task])


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel and wait; what the task raised is of no more interest."""
    task.cancel()
    with suppress(asyncio.CancelledError, InfrastructureError, ExceptionGroup):
        await task
