"""What a side says next: what was prepared where something fits, a model's words where nothing does.

Decides: in which order engines, tools and prepared answers are asked for one line. Refuses to know: sound, turns, the line, and who
picks (lab.answers), where an answer leads (lab.course), and what may be said (lab.guard).

How a line comes about
1.  With a flow, the customer's words are held against the step's candidates. A sure one is followed; in doubt the model says yes
    or no to it; then the bot asks back. What fits nothing is answered by the model in one sentence, if the guard lets it pass,
    and the step's question comes after it.
2.  Fields are read from the words; what cannot be read, the model fills in, and what it fills in must be readable too.
3.  Without a flow the model writes the line. A server's model calls tools itself; one on this machine is asked which, by a letter,
    and fills in the arguments.
4.  A line begins with a `Plan`: how it came about, and how the conversation stands once it is heard. Nothing has changed until
    `commit`, so a line that nobody hears can be thrown away.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import re
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import Any

from lab import answers, course, guard, template, tools, values
from lab.course import State
from lab.cues import Expects
from lab.errors import ModelError
from lab.flow import Answer, Flow
from lab.offload import call, stream
from lab.pace import Pace
from lab.ports import Embedder, Past, Responder, Stop, ToolCall, ToolResult, Turn
from lab.tooling import END_CALL, FILLER_AFTER, Tool

MOST_ROUNDS = 3
"""Tool calls in a row for one line."""
RECENT = 6
"""Turns that a sentence is made up from, and that arguments are filled in from."""
HELPLESS = "I am sorry, I could not find that out."
"""Said when a model calls one tool after another and never answers."""
BRIEF = """
Answer the customer's last words with one short, friendly sentence. Use only the facts above. If they do not say it, say that you do \
not know. Never promise anything. Do not ask anything."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a line came about."""

    how: str
    """picked, asked_back, confirming, generated, unknown, gave_up; free where nothing is prepared."""
    step: str | None = None
    """Where the conversation stood."""
    pick: str | None = None
    """The likeliest answer, also where it was not taken."""
    confidence: float | None = None
    second: float | None = None
    """The model's opinion in log-odds; None when it was not asked."""
    filled: Mapping[str, Any] = field(default_factory=dict)
    """Field -> value, of this line."""
    by: Mapping[str, str] = field(default_factory=dict)
    """Field -> who read it: `words`, `model` or `profile`."""
    tool: str | None = None
    dropped: str | None = None
    """What the model made up and why it was not said."""
    before: State | None = None
    """How the conversation stood when it was made up."""
    state: State | None = None
    """How it stands then."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What became of the customer's words."""

    pick: answers.Pick
    filled: Mapping[str, values.Value] = field(default_factory=dict)
    by: Mapping[str, str] = field(default_factory=dict)
    missing: str | None = None
    """A field that the answer must fill and that is not in the words: why it was not taken."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What one side is to talk about. Its texts are filled in."""

    system: str = ""
    opening: str = ""
    flow: Flow | None = None
    tools: Mapping[str, Tool] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    """Variables by full name, for tools."""
    today: date = date(1970, 1, 1)
    """Where the customer is: what `tomorrow` counts from."""


class Filler(str):
    """Words that are no part of an answer: said while a tool takes its time."""


Piece = str | ToolCall | Plan | tools.ToolAnswer


class Dialogue:
    """One side's words for one call.

    embedder: needed with a flow only
    """

    def __init__(
        self,
        brief: Brief,
        responder: asyncio.Future[Responder],
        pace: Pace,
        embedder: asyncio.Future[Embedder] | None = None,
    ) -> None:
        self.brief, self.responder, self.embedder = brief, responder, embedder
        self._pace = pace
        self._done: dict[str, tools.ToolAnswer] = {}
        self._saved: dict[str, str] = {}
        self._fillers = 0
        self._vectors: answers.Vectors | None = None
        """Of everything the flow teaches."""
        self.state = course.begin(brief.flow, brief.opening) if brief.flow else None
        self._before: State | None = None
        """How it stood before the bot's last line."""

    def commit(self, plan: Plan) -> None:
        """The line of `plan` is being heard: from now on the conversation stands there."""
        if plan.state is not None:
            self.state, self._before = plan.state, plan.before

    @property
    def expects(self) -> Expects | None:
        """What the customer was asked for that has pauses inside, as far as the flow says."""
        flow, state = self.brief.flow, self.state
        return flow.expects(state.step) if flow and state else None

    def reply(self, history: Sequence[Past], decided: asyncio.Event | None = None) -> AsyncGenerator[Piece, None]:
        """A plan, then the pieces of the next line. history: what was heard.

        decided: before it is set, no tool is called; None: it is certain that the line is wanted
        """
        return self._prepared(history, decided) if self.brief.flow else self._free(list(history), decided)

    def likely(self) -> list[str]:
        """Lines that may come next, as far as they are known now; `{{` is in what is not."""
        flow, state, today = self.brief.flow, self.state, self.brief.today
        if flow is None or state is None:
            return []
        lines = [
            course.follow(flow, state, key, course.constants(flow, answer, today), today).text
            for key, answer in course.candidates(flow, state).items()
        ]
        following = {answer.next for answer in flow.steps[state.step].answers.values()} | {flow.steps[state.step].next}
        lines += [text for name in following if name in flow.steps for text in flow.steps[name].says[:1]]
        lines += [course.ask_back(flow, state, today).text, course.digress(flow, state, None, today).text]
        return [template.render(line, self._saved).text for line in lines]

    async def warm(self, history: Sequence[Past]) -> None:
        """While the customer takes their turn: have everything read what was said so far."""
        await self.prepare(await asyncio.shield(self.responder), history)

    async def prepare(self, responder: Responder, history: Sequence[Past] = ()) -> None:
        """`warm` with a responder that nobody else has yet."""
        flow, state = self.brief.flow, self.state
        if flow and state:
            await self._sense(flow, state)
            known, _ = answers.second_opinion(state.said, "", Answer())
            await call(lambda stop: responder.warm(known, stop, use="pick"), self._pace, "load")
        system = self._system()
        await call(
            lambda stop: responder.warm(system, stop, _recent(history, 1) if flow else history), self._pace, "load"
        )

    def _system(self) -> str:
        return self.brief.system + BRIEF if self.brief.flow else self.brief.system

    # -- prepared ------------------------------------------------------------------------------------------------------

    async def _prepared(self, history: Sequence[Past], decided: asyncio.Event | None) -> AsyncGenerator[Piece, None]:
        flow, state, today = self.brief.flow, self.state, self.brief.today
        assert flow is not None, "reply() has seen to it"
        assert state is not None, "made beside the flow"
        heard, state, understood = await self._heard(history, state)
        pick, filled, by = understood.pick, understood.filled, understood.by
        facts: dict[str, Any] = {
            "step": state.step,
            "pick": pick.key,
            "confidence": pick.confidence,
            "second": pick.second,
        }
        if understood.missing:
            facts["dropped"] = f"no {understood.missing} in it"
        if pick.kind == "unclear":
            line = course.ask_back(flow, state, today)
            how = "gave_up" if line.end else "asked_back"
        elif pick.kind == "none":
            asked = guard.asks(heard) or guard.is_order(heard)
            # what a small model says to a remark is beside it as often as not; a few neutral words never are
            sentence, dropped = await self._made_up(history, heard) if asked else (None, "a remark")
            line = course.digress(flow, state, sentence, today, asked=asked)
            how = "gave_up" if line.end else "generated" if sentence else "unknown"
            facts["dropped"] = dropped or facts.get("dropped")
        else:
            acting = course.acting(flow, state, pick.key)
            tool = acting.calls if acting else None
            failure: str | None = None
            if tool:
                known = {**state.fields, **state.pending, **filled}
                async with aclosing(self._use(tool, self._values(known), None, decided)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, tools.ToolAnswer) and not piece.ok:
                            failure = self._tool(tool).on_failure or flow.unknown[0]
                        yield piece
            line = course.follow(flow, state, pick.key, filled, today, failure=failure)
            how = "confirming" if line.state.confirming else "picked"
            if acting and state.confirming and pick.key == course.YES:
                filled = {**state.pending, **filled}
            facts |= {"filled": {} if failure else filled, "by": by, "tool": tool}
        text = template.render(line.text, self._saved).text
        said = replace(line.state, said=text) if text else line.state
        done = facts.get("tool") is not None  # what a tool has done cannot be taken back
        yield Plan(how, **facts, before=None if done else state, state=said)
        if text:
            yield text
        if line.end:
            yield ToolCall(END_CALL)

    async def _heard(self, history: Sequence[Past], state: State) -> tuple[str, State, Understood]:
        """What the customer said, where the conversation stood for them, and what they meant.

        Who pauses and goes on cuts off a line they have not taken in. Their words then belong together, and to what they were
        asked before, if they make sense there. If not, the new ones stand alone; if they mean nothing, the old ones still count.
        """
        heard = _last_words(history)
        earlier = _words_before(history, state.said)
        if self._before is None or not earlier:
            return heard, state, await self.understand(heard, state)
        whole = f"{earlier} {heard}"
        together = await self.understand(whole, self._before)
        if together.pick.kind == "picked" and not self._repeats(together.pick.key, self._before):
            return whole, self._before, together
        alone = await self.understand(heard, state)
        if alone.pick.kind == "picked":
            return heard, state, alone
        return earlier, self._before, await self.understand(earlier, self._before)

    def _repeats(self, key: str, state: State) -> bool:
        """The answer asks for our last line again: for the one that was cut, not for what came before it."""
        flow = self.brief.flow
        return flow is not None and course.candidates(flow, state)[key].repeats

    async def understand(self, heard: str, state: State) -> Understood:
        """What `heard` means where the conversation stands at `state`. Changes nothing."""
        flow = self.brief.flow
        assert flow is not None, "asked with a flow only"
        candidates = course.candidates(flow, state)
        pick = await self._pick(flow, state, candidates, heard)
        if pick.kind != "picked":
            return Understood(pick)
        filled, by, missing = await self._fill(flow, candidates[pick.key], heard, state.said)
        if missing:
            pick = replace(pick, kind="unclear")
        return Understood(pick, filled, by, missing)

    async def _pick(self, flow: Flow, state: State, candidates: Mapping[str, Answer], heard: str) -> answers.Pick:
        sense = await self._sense(flow, state)
        vectors = await self._embed([answers.normal(heard)])
        guess = sense.guess(heard, vectors[0])
        second: float | None = None
        if guess.open:
            second = await self._second(state.said, heard, candidates[guess.best])
        acts = course.acts(candidates[guess.best])
        return answers.settle(guess, second, asked_back=state.unclear, acts=acts)

    async def _second(self, said: str, heard: str, answer: Answer) -> float | None:
        responder = await asyncio.shield(self.responder)
        known, question = answers.second_opinion(said, heard, answer)
        turns = [Turn("customer", question)]
        asking = stream(lambda stop: responder.weigh(known, turns, answers.YES_NO, stop), self._pace, "pick")
        async with aclosing(asking) as found:
            async for yes, no in found:
                return yes - no
        return None

    def _read(self, flow: Flow, name: str, heard: str, said: str) -> values.Value | None:
        return values.read(flow.fields[name], heard, self.brief.today, context=said)

    async def _fill(
        self, flow: Flow, answer: Answer, heard: str, said: str
    ) -> tuple[dict[str, values.Value], dict[str, str], str | None]:
        """What `answer` fills, who read it, and the first field that must be there and is not."""
        filled = course.constants(flow, answer, self.brief.today)
        by = dict.fromkeys(filled, "profile")
        for name, must in course.wanted(flow, answer).items():
            value, who = self._read(flow, name, heard, said), "words"
            if value is None and must:
                value, who = await self._ask_model(flow, name, heard, said), "model"
            if value is not None:
                filled[name], by[name] = value, who
            elif must:
                return filled, by, name
        return filled, by, None

    async def _ask_model(self, flow: Flow, name: str, heard: str, said: str) -> values.Value | None:
        """The model's reading, if it can be read in turn and stands on something that was said."""
        spec = flow.fields[name]
        what = spec.description or name.replace("_", " ")
        system = (
            f"Today is {self.brief.today:%A, %d %B %Y}. Read one value from what a customer said on the phone: {what} "
            f"({spec.type}). null when they did not say it."
        )
        text = f'Bot: "{said}"\nCustomer: "{heard}"'
        responder = await asyncio.shield(self.responder)
        schema = values.schema(spec)
        pieces = stream(lambda stop: responder.extract(system, text, schema, stop, use="fill"), self._pace, "fill")
        try:
            async with aclosing(pieces) as found:
                document = json.loads("".join([piece async for piece in found]))
        except (ValueError, ModelError):
            return None
        value = document.get("value") if isinstance(document, dict) else None
        if value is None or not _grounded(str(value), heard):
            return None
        return values.literal(spec, str(value), self.brief.today)

    async def _made_up(self, history: Sequence[Past], heard: str) -> tuple[str | None, str | None]:
        """One sentence of the model that may be said; else None and why."""
        if guard.is_order(heard):
            return None, "an order to the bot"
        responder = await asyncio.shield(self.responder)
        system, recent = self._system(), _recent(history)
        text, facts = "", f"{self.brief.system}\n{heard}"
        customer = self.brief.values.get("crm.first_name", "")
        pieces = stream(lambda stop: responder.respond(system, recent, stop), self._pace, "llm_first", "llm")
        async with aclosing(pieces) as written:
            async for piece in written:
                if isinstance(piece, str):
                    text += piece
                if guard.first_sentence(text + " ") or guard.flaw(text, facts, customer):
                    break
        sentence = guard.first_sentence(text + " ") or text.strip()
        said = [turn.text for turn in history if isinstance(turn, Turn) and turn.who == "bot"]
        why = guard.objection(sentence, facts, said, customer)
        return (None, f"{why} ({sentence})") if why else (sentence, None)

    # -- what tells candidates apart -----------------------------------------------------------------------------------

    async def _sense(self, flow: Flow, state: State) -> answers.Sense:
        candidates = course.candidates(flow, state)
        if self._vectors is None:
            self._vectors = await self._embed(answers.texts(flow, course.yes_no()))
        vectors = self._vectors

        def make(stop: Stop) -> answers.Sense:
            return _sense(flow, candidates, vectors)

        return await call(make, self._pace, "load")

    async def _embedder(self) -> Embedder:
        assert self.embedder is not None, "who has a flow has an embedder"
        return await asyncio.shield(self.embedder)

    async def _embed(self, texts: Sequence[str]) -> answers.Vectors:
        embedder = await self._embedder()
        pieces = stream(lambda stop: embedder.embed(texts, stop), self._pace, "embed")
        async with aclosing(pieces) as found:
            async for vectors in found:
                return vectors
        raise ModelError("the embedder gave nothing")

    # -- tools ---------------------------------------------------------------------------------------------------------

    def _tool(self, name: str) -> Tool:
        return self.brief.tools[name]

    def _values(self, known: Mapping[str, values.Value]) -> dict[str, str]:
        fields = {f"fields.{name}": template.as_text(value) for name, value in known.items()}
        return {**self.brief.values, **fields, **self._saved}

    async def _use(
        self,
        name: str,
        variables: Mapping[str, str],
        arguments: Mapping[str, Any] | None,
        decided: asyncio.Event | None,
    ) -> AsyncGenerator[Piece, None]:
        """The call, a filler when it takes long, and what came of it. What worked once in this call is not done again."""
        if decided is not None:
            await decided.wait()
        tool = self._tool(name)
        given = dict(arguments) if arguments is not None else tools.prepared(tool, variables)
        key = json.dumps([name, given], sort_keys=True, default=str)
        if key in self._done:
            yield replace(self._done[key], again=True)
            return
        yield ToolCall(name, given)
        asking = asyncio.ensure_future(
            tools.call(tool, name, given, variables, env=MappingProxyType(dict(os.environ)), pace=self._pace)
        )
        try:
            done, _ = await asyncio.wait({asking}, timeout=FILLER_AFTER)
            if not done and tool.filler:
                yield Filler(template.render(tool.filler[self._fillers % len(tool.filler)], variables).text + " ")
                self._fillers += 1
            answer = await asking
        finally:
            asking.cancel()
        if answer.ok:
            self._done[key] = answer
            self._saved |= tools.saved(tool, answer.data)
        yield answer

    # -- free ----------------------------------------------------------------------------------------------------------

    async def _free(self, history: list[Past], decided: asyncio.Event | None) -> AsyncGenerator[Piece, None]:
        responder = await asyncio.shield(self.responder)
        system = self.brief.system
        offered = tools.definitions(self.brief.tools) if self.brief.tools else []
        yield Plan("free")
        if offered and not responder.facts.calls_tools:
            async with aclosing(self._chosen_tool(responder, history, decided)) as pieces:
                async for piece in pieces:
                    yield piece
        for _ in range(MOST_ROUNDS):
            called: ToolCall | None = None
            past = list(history)
            words = stream(
                lambda stop, past=past: responder.respond(system, past, stop, tools=offered),  # type: ignore[misc]
                self._pace,
                "llm_first",
                "llm",
            )
            async with aclosing(words) as pieces:
                async for word in pieces:
                    if isinstance(word, ToolCall) and word.name in self.brief.tools:
                        called = word
                    else:
                        yield word
            if called is None:
                return
            async with aclosing(self._use(called.name, self._values({}), called.arguments, decided)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, tools.ToolAnswer):
                        history.append(ToolResult(called, piece.data if piece.ok else {"error": piece.error}))
                    yield piece
        yield HELPLESS

    async def _chosen_tool(
        self, responder: Responder, history: list[Past], decided: asyncio.Event | None
    ) -> AsyncGenerator[Piece, None]:
        """For a model that calls none itself: which tool, by a letter; its arguments, by its schema."""
        names = list(self.brief.tools)
        letters = [chr(ord("A") + i) for i in range(len(names) + 1)]
        listed = "\n".join(f"{a}) {self._tool(n).description}" for a, n in zip(letters, names, strict=False))
        system = (
            f"What must be done before the bot can answer the customer? One letter.\n{listed}\n{letters[-1]}) nothing"
        )
        recent = "\n".join(f"{t.who.capitalize()}: {t.text}" for t in history[-RECENT:] if isinstance(t, Turn))
        turns = [Turn("customer", recent)]
        asking = stream(lambda stop: responder.weigh(system, turns, letters, stop), self._pace, "pick")
        async with aclosing(asking) as found:
            scores = [score async for all_of_them in found for score in all_of_them]
        best = max(range(len(scores)), key=lambda i: scores[i], default=len(names))
        if best >= len(names) or math.exp(scores[best]) < 0.5:
            return
        name = names[best]
        arguments: dict[str, Any] = {}
        if self._tool(name).parameters:
            schema = tools.schema(self._tool(name))
            told = f"{self._tool(name).description} Fill in what it needs from the conversation."
            pieces = stream(lambda stop: responder.extract(told, recent, schema, stop, use="fill"), self._pace, "fill")
            async with aclosing(pieces) as written:
                try:
                    arguments = json.loads("".join([piece async for piece in written]) or "{}")
                except (ValueError, ModelError):
                    return
        async with aclosing(self._use(name, self._values({}), arguments, decided)) as used:
            async for piece in used:
                if isinstance(piece, tools.ToolAnswer):
                    data = piece.data if piece.ok else {"error": piece.error}
                    history.append(ToolResult(ToolCall(name, arguments), data))
                yield piece


def _recent(history: Sequence[Past], more: int = 0) -> Sequence[Past]:
    """The newest turns, `RECENT` of them or up to twice as many: what a model has read of them stays the beginning of what it reads
    next, but for every `RECENT`th turn. more: turns that are still to come, and for which it is to be the same."""
    return history[max(0, len(history) + more - RECENT) // RECENT * RECENT :]


_SENSES: dict[str, answers.Sense] = {}
_SENSES_LOCK = threading.Lock()
MOST_SENSES = 64


def _sense(flow: Flow, candidates: Mapping[str, Answer], vectors: answers.Vectors) -> answers.Sense:
    """Made once in a process for the same texts and vectors: it is solved for, which takes some hundredths of a second.

    vectors: of `answers.texts`
    """
    texts, off_topic = answers.taught(flow, candidates)
    place = {text: i for i, text in enumerate(answers.texts(flow, course.yes_no()))}
    rows = vectors[[place[text] for text in texts]]
    key = hashlib.sha256(repr((list(candidates), texts)).encode() + rows.tobytes()).hexdigest()
    with _SENSES_LOCK:
        if key not in _SENSES:
            if len(_SENSES) >= MOST_SENSES:
                _SENSES.clear()
            _SENSES[key] = answers.Sense(candidates, rows, off_topic)
        return _SENSES[key]


def _last_words(history: Sequence[Past]) -> str:
    """What the customer said since the bot last spoke."""
    words: list[str] = []
    for turn in reversed(history):
        if isinstance(turn, Turn) and turn.who == "bot":
            break
        if isinstance(turn, Turn):
            words.insert(0, turn.text)
    return " ".join(words)


def _words_before(history: Sequence[Past], line: str) -> str:
    """What the customer had said before their last words, if the bot was only heard to begin `line` since; else "".

    Begin: at most a third of its words were heard.
    """
    turns = [turn for turn in history if isinstance(turn, Turn)]
    while turns and turns[-1].who != "bot":
        turns.pop()
    words: list[str] = []
    while turns:
        turn = turns.pop()
        if turn.who != "bot":
            words.insert(0, turn.text)
        elif not (line.startswith(turn.text) and len(turn.text.split()) <= len(line.split()) / 3):
            break
    return " ".join(words)


def _grounded(value: str, heard: str) -> bool:
    """Some word or figure of `value` was said: a model that cannot find a value likes to invent one."""
    said = heard.casefold()
    if any(ch.isdigit() for ch in value):
        return bool(set(_figures(value)) & set(_figures(said))) or bool(_NUMBER_WORDS.search(said))
    return any(word.casefold() in said for word in value.split())


_NUMBER_WORDS = re.compile(
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|"
    r"thousand|half|couple|tomorrow|today|monday|tuesday|wednesday|thursday|friday|saturday|sunday|week|month"
)


def _figures(text: str) -> list[str]:
    return ["".join(group) for group in "".join(c if c.isdigit() else " " for c in text).split()]
