"""Whether a sentence that a model made up may be said.

Decides: what a bot must not say that nobody prepared: promises, claims of things done, figures and names out of nothing, its own
instructions, what it has said before, and that it does not know, for which words are prepared. Refuses to know: which model wrote
it and what is said instead.

A sentence is judged by its words alone, so a true one is dropped now and then. That costs a polite "I do not know"; a false one
costs a customer.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONGEST = 26
"""Words of a sentence that may be said."""
ALIKE = 0.75
"""A sentence this like one said before is a repetition."""

_ABOUT_ITSELF = re.compile(
    r"\b(language model|openai|alibaba|qwen|chatgpt|instructions?|system prompt|my (?:rules|facts|prompt)|the facts|according to|"
    r"trained|the customer|as an ai|information provided|pretend|role.?play)\b",
    re.IGNORECASE,
)
_PROMISES = re.compile(
    r"\b(?:i|we)(?:'ll| will| shall| can(?!not|'t)| could| would be| promise| guarantee|'ve| have| just| am going|'re going| are going)\b|"
    r"\b(?:let me|let's|promise\w*|guarantee\w*|assure\w*|waiv\w*|refund\w*|discount\w*|compensat\w*|reschedul\w*|cancel\w*|confirm\w*|"
    r"booked|arranged|updated|processed|transferr\w*|extend\w*|approved|for free|no charge|get back to you|call you back)\b",
    re.IGNORECASE,
)
_IGNORANT = re.compile(
    r"\b(?:(?:do not|don't|didn't|did not|am not|'m not|cannot|can't|could not|couldn't) (?:really |quite |even )?(?:know|sure|say|tell|"
    r"understand|see|find|have (?:that|this|any|the|access))|no idea|unable to|unsure)\b",
    re.IGNORECASE,
)
_UNKIND = re.compile(
    r"\b(?:stupid|idiot|shut up|your fault|lawsuit|sue|police|arrest\w*|jail|credit score|hate)\b", re.IGNORECASE
)
_ADDRESS = re.compile(r"https?:|www\.|\w@\w|\w\.(?:com|org|net)\b", re.IGNORECASE)
_FIGURES = re.compile(
    r"\d+|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    r"hundred|thousand|half|quarter|noon|midnight|first|second|third|\w+th|percent|dollars?|euros?|pounds?|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?|today|tonight|tomorrow|yesterday|weekends?|"
    r"january|february|march|april|june|july|august|september|october|november|december|a\.m|p\.m|(?<=\d )[ap]m)\b",
    re.IGNORECASE,
)
_HARMLESS = {
    "month",
    "with",
    "both",
    "health",
    "truth",
    "worth",
    "south",
    "north",
    "teeth",
    "mouth",
    "death",
    "breath",
    "cloth",
}
_NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][a-z]{2,}")
_ORDER = re.compile(
    r"\b(?:ignore|forget|disregard|override|bypass|skip)\b.{0,40}\b(?:instruct|rule|prompt|told|training|script|guideline|everything|previous)|"
    r"\b(?:pretend|act as|act like|role.?play|you are now|from now on|developer mode|admin|jailbreak|system prompt|simulate|imagine you)\b|"
    r"\b(?:say|repeat|tell me|read|reveal|print|spell|sing|write)\b.{0,30}\b(?:after me|the word|instruct|prompt|banana|poem|song|joke|password|secret)",
    re.IGNORECASE,
)


_QUESTION = re.compile(
    r"^\W*(?:(?:and|but|so|well|oh|um|uh|okay|hey|sorry|now|then)\W+)*"
    r"(?:what|when|where|who|whose|why|how|which|is|are|was|were|do|does|did|can|could|will|would|should|may|have|has|am)\b",
    re.IGNORECASE,
)


def is_order(heard: str) -> bool:
    """The customer tells the bot to be something else: nothing is made up in answer to that."""
    return bool(_ORDER.search(heard))


def asks(heard: str) -> bool:
    """The customer asks something, as far as words tell."""
    return "?" in heard or bool(_QUESTION.search(heard))


def objection(sentence: str, facts: str, said: Iterable[str], customer: str = "") -> str | None:
    """Why `sentence` must not be said; None when it may.

    facts: everything a figure or a name may come from: the prompt, the customer's own words, what is known. said: the bot's lines.
    customer: the name of who is spoken to
    """
    if not re.search(r"[a-z]", sentence, re.IGNORECASE):
        return "no words"
    if len(sentence.split()) > LONGEST:
        return "too long"
    if sentence.rstrip().endswith("?"):
        return "a question of its own"
    if why := flaw(sentence, facts, customer):
        return why
    plain = _plain(sentence)
    before = (part for line in said for part in re.split(r"(?<=[.!?])\s+", line))
    if any(difflib.SequenceMatcher(None, plain, _plain(part)).ratio() >= ALIKE for part in before):
        return "said before"
    return None


def flaw(words: str, facts: str, customer: str = "") -> str | None:
    """Why no sentence may be said that begins with `words` or is them: what the model writes next cannot mend it."""
    for pattern, why in (
        (_ABOUT_ITSELF, "speaks of its instructions"),
        (_PROMISES, "promises or claims something"),
        (_IGNORANT, "knows nothing"),
        (_UNKIND, "unkind"),
        (_ADDRESS, "an address"),
    ):
        if found := pattern.search(words):
            return f"{why}: {found.group()}"
    if customer and re.search(rf"\b{re.escape(customer)}\b(?!\s*[,.!]|$)", words):
        return f"speaks of {customer} to {customer}"
    known = facts.casefold()
    for found in _FIGURES.finditer(words):
        figure = found.group().casefold()
        if figure not in _HARMLESS and not re.search(rf"\b{re.escape(figure)}\b", known):
            return f"a figure out of nothing: {found.group()}"
    for found in _NAME.finditer(words):
        if found.group().casefold() not in known:
            return f"a name out of nothing: {found.group()}"
    return None


def first_sentence(text: str) -> str:
    """The first sentence of `text`, without what follows it; "" when none ends."""
    found = re.match(r"\s*(.+?[.!?])(?=\s|$)", text, re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.casefold()))
