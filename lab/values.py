"""What a customer said becomes a field's value, and a value becomes words.

Decides: which value words mean, when they mean none, and how a value is said. Refuses to know: who spoke, and what a
value is for.

How words are read
1.  The words become plain text: small letters, tokens apart, number words as digits (`fifty`: `50`, `fifth`: `5th`).
2.  All values of the field's kind are found in it, with their places. `after Friday` is found too, as unclear.
3.  Those the customer rules out are dropped: `not Friday`, `I can't do Friday`, `Friday is no good`.
4.  A correction (`no`, `sorry`, `I mean`, `actually`, `make that`) starts anew: what stands behind the last one counts.
    Where `no` comes last, everything is taken back.
5.  What is left must be one value. Two different ones, or an unclear one, are no value: the customer is asked again.

Rules for what words leave open
-   A weekday is the next one after today, never today: `Friday`, said on a Friday, is in a week. Weeks begin on Monday,
    and `next Friday` is the Friday of the week after this one. A day of the month is today or the next such day.
    `Next week`, `payday` and the like are no day.
-   An hour without am or pm: 1 to 6 is the afternoon, 7 to 11 the morning, 12 noon. A part of the day that is named
    wins. A correction is meant near the time it corrects: `six pm, no, seven` is 19:00.
-   `Two fifty` is 250, `four ninety nine` 499; `twelve fifty` could be 12.50 and is no amount. `A couple` is two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from lab import numbers
from lab.errors import ConfigError

if TYPE_CHECKING:  # only its shape is needed, and it takes 250 ms to import
    from lab.flow import FlowField

Value = str | bool | int | float

LONGEST = 1000
"""Characters that are read; nobody says more in one turn."""
_LARGEST = 10**9
_MAX_LENGTH = {"day": 40, "time": 40, "phone": 40, "name": 60, "text": 200}


class _Found(NamedTuple):
    """Something in the text that looks like a value."""

    start: int
    end: int
    value: Value | None
    """None when it is unclear which value is meant."""
    grade: int = 0
    """Of several, only those of the lowest grade present count; 0 is a value that can be nothing else."""


def read(field: FlowField, heard: str, today: date, *, context: str = "") -> Value | None:
    """The value in what the customer said; None when there is none or it is not clear which.

    heard: as a speech recogniser wrote it, with digits or number words, with or without punctuation
    context: what the bot had said; it gives `half` a meaning when it names one amount
    Returns bool (yes_no), `YYYY-MM-DD` (day), `HH:MM` (time), float with two decimals (amount), int (number), E.164
    where the digits make a US number and else the digits (phone), a key of `choices` (choice), text (name, text).
    Raises nothing.
    """
    if field.type == "text":
        return heard.strip() or None
    heard = heard[:LONGEST].translate(_TYPOGRAPHY)
    if field.type == "yes_no":
        return _yes_no(heard)
    if field.type == "name":
        return _name(heard)
    if field.type == "phone":
        return _phone(heard)
    text = _plain(heard)
    if field.type == "day":
        return _the_day(_turns(text, _days(text, today)), today)
    if field.type == "time":
        return _the_one(_turns(text, _times(text, today)))
    if field.type == "amount":
        before = _plain(context[:LONGEST].translate(_TYPOGRAPHY))
        return _the_one(_turns(text, _amounts(text, field.unit, today, before)))
    if field.type == "number":
        return _the_one(_turns(text, _whole_numbers(text, today)))
    return _the_one(_turns(text, _chosen(text, field.choices, today)))


def literal(field: FlowField, text: str, today: date) -> Value | None:
    """A value as an author writes it in YAML: the form it is stored in, or anything that `read` understands."""
    text = text.strip()
    match field.type:
        case "name":
            return text or None
        case "yes_no" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "day" if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return _iso(*map(int, text.split("-")))
        case "time" if re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", text):
            return text
        case "amount" if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,2})?", text):
            return float(text)
        case "number" if re.fullmatch(r"-?[0-9]{1,15}", text):
            return int(text)
        case "phone" if re.fullmatch(r"\+[0-9]{7,15}", text):
            return text
        case "choice" if text in field.choices:
            return text
    return read(field, text, today)


def schema(field: FlowField) -> dict[str, Any]:
    """JSON Schema of `{"value": …}` for a model to fill in; null where nothing was said.

    Days, times and phones are text there, as the customer said them: `literal` reads them.
    """
    inner: dict[str, Any]
    match field.type:
        case "yes_no":
            inner = {"type": "boolean"}
        case "amount":
            inner = {"type": "number"}
        case "number":
            inner = {"type": "integer"}
        case "choice":
            inner = {"type": "string", "enum": list(field.choices)}
        case kind:
            inner = {"type": "string", "maxLength": _MAX_LENGTH[kind]}
    value = {"anyOf": [inner, {"type": "null"}]}
    return {"type": "object", "properties": {"value": value}, "required": ["value"], "additionalProperties": False}


# -- plain text --------------------------------------------------------------------------------------------------------

_ONES = str.split(
    "zero one two three four five six seven eight nine "
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_FIRSTS = str.split(
    "zeroth first second third fourth fifth sixth seventh eighth ninth "
    "tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_SMALL = {word: value for value, word in enumerate(_ONES)} | {"nought": 0, "naught": 0}
_TEN = {word: 10 * value for value, word in enumerate(_TENS, start=2)} | {"fourty": 40}
_ORDINAL = {word: value for value, word in enumerate(_FIRSTS)} | {"twentieth": 20, "thirtieth": 30}
_SCALE = {"thousand": 1000, "grand": 1000, "k": 1000, "million": 1_000_000}
_VAGUE = {"few", "several", "many", "some"}
_FILLERS = {"uh", "uhh", "um", "umm", "uhm", "er", "erm", "ah", "hm", "hmm", "mm"}

_TYPOGRAPHY = str.maketrans({"\u2019": "'", "\u2018": "'", "\u2013": ", ", "\u2014": ", ", "_": " "})
_TOKEN = re.compile(
    r"[0-9]+(?:st|nd|rd|th)(?![^\W_])|[0-9]+(?:[.:/-][0-9]+)*|[^\W\d_]+n't|'(?:s|m|re|ll|d|ve)(?![^\W_])|[^\W\d_]+"
    r"|[$£€₹%+,.;:!?]"
)


def _tokens(heard: str) -> list[str]:
    """Small words, numbers and marks; a sentence's end is `.`, a shorter pause `,`."""
    text = heard.lower()
    text = re.sub(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])", lambda m: m.group().replace(",", ""), text)
    text = re.sub(r"(?<![^\s$£€₹])\.(?=[0-9]{1,2}\b)", "0.", text)
    text = re.sub(r"\b([ap])\.\s?m\b\.?|\b(p) m\b|(?<=[0-9] )(a) m\b", r" \1\2\3m", text)
    text = re.sub(r"\b(jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.(?= )", r"\1", text)
    text = re.sub(r"\bo'? ?clock\b", "oclock", text)
    return [{";": ".", ":": ".", "!": ".", "?": "."}.get(token, token) for token in _TOKEN.findall(text)]


def _plain(heard: str) -> str:
    """Tokens with one space between them, without hesitation and greetings, number words as digits."""
    tokens = _tokens(heard)
    kept: list[str] = []
    for place, token in enumerate(tokens):
        if token in _FILLERS:
            if kept[-1:] == [","] and tokens[place + 1 : place + 2] == [","]:
                kept.pop()
        elif not (token == "," and place and tokens[place - 1] in _FILLERS):
            kept.append(token)
    text = " ".join(_digits(kept))
    return re.sub(r"\bgood (?:morning|afternoon|evening|night|day)\b", ",", text)


def _digits(tokens: list[str]) -> Iterator[str]:
    place = 0
    number = False
    while place < len(tokens):
        if number and tokens[place] in ("oh", "o") and _below_hundred(tokens, place + 1):
            yield "0"
            place += 1
        elif ordinal := _ordinal(tokens, place):
            yield f"{ordinal[0]}th"
            place, number = ordinal[1], False
        elif cardinal := _cardinal(tokens, place):
            yield cardinal[0]
            place, number = cardinal[1], True
        else:
            yield tokens[place]
            place, number = place + 1, False


def _ordinal(tokens: list[str], at: int) -> tuple[int, int] | None:
    """The ordinal that begins `at`, and where it ends."""
    word, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
    if word in _TEN and 0 < _ORDINAL.get(following, 0) < 10:
        return _TEN[word] + _ORDINAL[following], at + 2
    if written := re.fullmatch(r"([0-9]{1,2})(?:st|nd|rd|th)", word):
        return int(written.group(1)), at + 1
    if word == "second" and at and tokens[at - 1] in ("a", "one", "1", "per", "split"):
        return None
    return (_ORDINAL[word], at + 1) if word in _ORDINAL and word != "zeroth" else None


def _below_hundred(tokens: list[str], at: int) -> tuple[int, int] | None:
    word = tokens[at] if at < len(tokens) else ""
    if _ordinal(tokens[: at + 2], at) if word else True:
        return None
    if word in _TEN:
        one = _SMALL.get(tokens[at + 1], 0) if at + 1 < len(tokens) else 0
        return (_TEN[word] + one, at + 2) if 0 < one < 10 else (_TEN[word], at + 1)
    if re.fullmatch(r"[0-9]{1,2}", word):
        return int(word), at + 1
    return (_SMALL[word], at + 1) if word in _SMALL else None


def _cardinal(tokens: list[str], at: int) -> tuple[str, int] | None:
    """The number that begins `at`, as digits, and where it ends. Numbers written as digits keep their form."""

    def word(place: int) -> str:
        return tokens[place] if 0 <= place < len(tokens) else ""

    def scaled(place: int) -> bool:
        return word(place) == "hundred" or word(place) in _SCALE

    value: float
    following = at
    if word(at) in ("a", "an"):
        following = at + 1
    if word(following) == "couple" and scaled(of := following + 1 + (word(following + 1) == "of")):
        value, end = 2, of
    elif word(at) in ("a", "an") and (scaled(at + 1) or word(at + 1) == "dozen"):
        value, end = 1, at + 1
    elif word(at) in ("hundred", "thousand", "million") and word(at - 1) not in _VAGUE:
        value, end = 1, at
    elif part := _below_hundred(tokens, at):
        value, end = part
    elif re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", word(at)):
        value, end = float(word(at)), at + 1
    else:
        return (tokens[at], at + 1) if re.match(r"[0-9]", tokens[at]) else None
    if word(end) == "dozen":
        return _written(12 * value), end + 1
    if [word(end), word(end + 1), word(end + 2)] == ["and", "a", "half"] and value < 100 and word(end + 3) != "past":
        value, end = value + 0.5, end + 3
    value, end = _with_decimals(tokens, value, end)
    if word(end) == "hundred":
        value, end = value * 100, end + 1
        tail = _below_hundred(tokens, end + (word(end) == "and"))
        if tail and not scaled(tail[1]):
            value, end = value + tail[0], tail[1]
    if word(end) in _SCALE:
        scale = _SCALE[word(end)]
        value, end = value * scale, end + 1
        rest = _cardinal(tokens, begin) if word(begin := end + (word(end) == "and")) not in ("", "a", "an") else None
        if rest and re.fullmatch(r"[0-9]+", rest[0]) and int(rest[0]) < scale:
            value, end = value + int(rest[0]), rest[1]
    if end == at + 1 and re.match(r"[0-9]", tokens[at]):
        return tokens[at], end
    value, end = _with_decimals(tokens, value, end)
    return _written(value), end


def _with_decimals(tokens: list[str], value: float, end: int) -> tuple[float, int]:
    """`value` with the digits after a `point` that follows at `end`."""
    digits, place = "", end + 1
    while tokens[end : end + 1] == ["point"] and len(digits) < 2 and place < len(tokens):
        if tokens[place] in ("oh", "o"):
            digits, place = digits + "0", place + 1
        elif part := _below_hundred(tokens, place):
            digits, place = digits + str(part[0]), part[1]
        else:
            break
    return (float(f"{_written(value)}.{digits}"), place) if digits and value == int(value) else (value, end)


def _written(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 4))


def _without(text: str, founds: Iterable[_Found]) -> str:
    """`text` with blanks in the places of `founds`, so that nothing is read twice."""
    for found in founds:
        text = text[: found.start] + "#" * (found.end - found.start) + text[found.end :]
    return text


def _matches(patterns: Iterable[str], text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Where the patterns occur, the first one first; no place is matched twice. With each the number of its pattern."""
    for number, pattern in enumerate(patterns):
        yield from ((number, match) for match in re.finditer(pattern, text))
        text = re.sub(pattern, _blank, text)


def _blank(match: re.Match[str]) -> str:
    return "#" * len(match.group())


# -- what was taken back -----------------------------------------------------------------------------------------------

_AGAIN = (
    r"\b(?:(?P<no>no(?! (?:problems?|worries|worry|later|more|less|earlier|sooner|need|doubt|matter|idea|one|1|way"
    r"|rush|hurry|longer|money|cash|questions?|good|chance|trouble|use|big deal)\b)|nope|nah|scratch that|strike that)"
    r"|i mean|i meant|actually|sorry|make (?:that|it)|correction|rather(?! than)|wait(?! (?:until|till|til)\b)|hang on"
    r"|hold on|on second thoughts?|excuse me|never mind|my bad|oops|(?:change|switch) (?:that|it) to|let 's say"
    r"|better (?:make|say))\b"
)
_NOT = r"(?:[^\W\d_]+n't|cannot|cant|dont|wont|doesnt|isnt|couldnt|didnt|not|never|no(?= good| use))"
_HARMLESS = (
    r"\bi (?:do not|don't|dont|'m not|am not) work(?:ing)?\b(?! for)"
    rf"|\b{_NOT} (?:mind|care|worry|forget|only|just|wait|we|you|i|it)\b"
    rf"|\b{_NOT} (?:be )?(?:an? )?(?:problem|issue|trouble|bad)\b|\bwhy {_NOT}\b"
)
_RULES_OUT = (
    rf"\b(?:{_NOT}|except|besides|neither|instead of|(?:rather|better|sooner) than"
    r"|(?:anything|other|any day|any time) (?:but|than)"
    r"|(?:mov|chang|switch|push|reschedul)(?:e|es|ed|ing)?(?: \S+){0,3} from"
    r"|busy|away|gone|unavailable|out of town|booked|(?<=\bi )work|(?<='m )working|at work|impossible|bad"
    r"|(?<=(?:is|'s|be) )out|too (?:early|late|soon|much|far))\b"
)
_SCOPE_ENDS = r"[,.]|\b(?:but|so|then|only|unless|until|till|til|before|than|over|because|maybe|perhaps|how about)\b"
_SCOPE = 6
"""Words between `can't` and what it rules out, at most."""
_COPULA = (
    r"(?:\s(?:is|are|was|be|would|will|am|'s|'d|'ll|'m|just|really|i|that|it|this|day|morning|afternoon|evening))*\s"
)


def _turns(text: str, founds: list[_Found]) -> list[list[_Found]]:
    """`founds` that were not ruled out, those between two corrections together; none when the last was taken back."""
    founds = _not_ruled_out(text, sorted(founds, key=lambda found: found.start))
    turns: list[list[_Found]] = []
    begins, taken_back = 0, False
    for mark in [*re.finditer(_AGAIN, text), None]:
        if mark and any(found.start <= mark.start() < found.end for found in founds):
            continue
        ends = mark.start() if mark else len(text)
        if turn := [found for found in founds if begins <= found.start < ends]:
            turns.append(turn)
            taken_back = False
        if mark:
            begins = mark.end()
            taken_back = taken_back or bool(turns and mark["no"])
    return [] if taken_back else turns


def _not_ruled_out(text: str, founds: list[_Found]) -> list[_Found]:
    """`Not` rules out what follows it soon and what is linked to that; if nothing follows, what stands just before."""
    searched = re.sub(_HARMLESS, _blank, text)
    out: list[_Found] = []
    for mark in re.finditer(_RULES_OUT, searched):
        if any(found.start <= mark.start() < found.end for found in founds):
            continue
        reach, hit = mark.end(), False
        for found in [found for found in founds if found.start >= mark.end()]:
            between = text[reach : found.start]
            linked = re.fullmatch(r"\s*(?:or|nor|and)(?: the| on| in| at)*\s*", between)
            if re.search(_SCOPE_ENDS, between) or len(between.split()) > _SCOPE or (hit and not linked):
                break
            out.append(found)
            reach, hit = found.end, True
        behind = [found for found in founds if found.end <= mark.start()]
        if behind and not hit and re.fullmatch(_COPULA, text[behind[-1].end : mark.start()]):
            out.append(behind[-1])
    return [found for found in founds if found not in out]


def _the_one(turns: list[list[_Found]]) -> Value | None:
    """The one value of the last turn."""
    if not turns:
        return None
    best = min(found.grade for found in turns[-1])
    values = {found.value for found in turns[-1] if found.grade == best}
    return values.pop() if len(values) == 1 else None


# -- days --------------------------------------------------------------------------------------------------------------

_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_MONTHS = str.split("january february march april may june july august september october november december")
_WEEKDAY = r"(?P<weekday>monday|tuesday|wednesday|thursday|friday|saturday|sunday|mon|tues?|weds?|thu(?:rs?)?|fri)\b"
_MONTH = (
    r"(?P<month>january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b"
)
_DAY = r"(?P<day>[0-9]{1,2})"
_YEAR = r"(?:,? (?:of )?(?P<year>20 ?[0-9]{2})\b(?! ?(?:dollars?|bucks?|cents?|%)))?"
_ALONE = r"(?![0-9:./-])"
_WHICH_MONTH = r"(?P<which>the|this|next|each|every|the following|the next) month"
_COUNT = r"(?P<count>[0-9]{1,3}|an?|(?:a )?couple(?: of)?)"
_UNIT = "(?P<unit>days?|weeks?|months?|fortnights?)"
_THING = (
    "1|one|ones|times?|things?|options?|payments?|half|floor|calls?|bills?|notices?|letters?|party|opinion|choice"
    "|steps?|names?|number|street|avenue|person|grade|try|attempt|of all|place|year|week|month|quarter|birthday"
)
_GOES_ON = (
    r"(?= ?$| ?[,.]| (?:of|at|in|if|would|is|was|will|works?|should|then|please|or|and|maybe|for|sounds|'s|'d|'ll"
    r"|i|not|to|because|that|it|when|after|before|around|about|no|sorry|actually|make|morning|afternoon|evening"
    r"|but|so|by|does|isn't|doesn't|won't|can|with|can't|could)\b)"
)
_DAYS: dict[str, str] = {
    "iso": rf"\b(?P<year>[0-9]{{4}})-(?P<month>[0-9]{{1,2}})-{_DAY}\b",
    "slashes": (
        rf"\b(?!24/7)(?P<month>[0-9]{{1,2}})(?:/{_DAY}(?:/(?P<year>[0-9]{{4}}|[0-9]{{2}}))?"
        rf"|-(?P<day2>[0-9]{{1,2}})-(?P<year2>[0-9]{{4}}))\b{_ALONE}"
    ),
    "weekday of month": rf"\b(?:the )?(?P<nth>[1-4]th|last) {_WEEKDAY} (?:of|in) (?:{_WHICH_MONTH}|{_MONTH})",
    "ordinal month": rf"\b(?:the )?{_DAY}th,? (?:of ,? ?)?{_MONTH}{_YEAR}",
    "month day": rf"\b{_MONTH} (?:the )?{_DAY}(?:th)?\b{_ALONE}(?! (?:am|pm|oclock|dollars?|bucks?)\b){_YEAR}",
    "day month": rf"\b(?:the )?{_DAY}(?: of | (?!may|march)){_MONTH}{_YEAR}",
    "day of month": rf"\b(?:the )?{_DAY}th (?:of )?{_WHICH_MONTH}",
    "month's day": rf"\b{_WHICH_MONTH},? (?:on )?(?:the )?{_DAY}th\b",
    "end": (
        r"\b(?:the )?(?:very )?(?:end|last day) of (?:(?P<which>the|this|next) (?P<span>month|year)"
        rf"|(?P<span2>month)|{_MONTH})|\bmonth (?:'s )?end\b"
    ),
    "after tomorrow": r"\b(?:the )?day after tomorrow\b",
    "in": (rf"\b(?:in|give me) (?:about |around |like |maybe |another )?{_COUNT} {_UNIT}\b(?! (?:on|or (?!so))\b)"),
    "from": (
        rf"\b{_COUNT} {_UNIT} (?:from|after|on)? ?"
        rf"(?:(?P<base>now|today|tomorrow)\b|(?:the )?(?:this |next )?{_WEEKDAY})"
    ),
    "weekday": (
        r"\b(?:(?:the |on )*(?P<before>this coming|the coming|coming|this week|this"
        r"|next week(?:,? (?:maybe|say|probably|perhaps|possibly|like|the))*"
        r"|next|following|last|past|previous|every|each|any|most|some|either),? (?:on )?)?"
        rf"{_WEEKDAY}"
        r"(?P<behind> after next| week\b| (?:of )?the week after next| (?:of )?(?:next|this) week"
        r"| after (?:the holidays?|thanksgiving|christmas|easter|new)"
        rf"| (?:in|of) (?:{_MONTH}|(?:the|this|next) month))?"
    ),
    "today": r"\b(?:today|tonight|this (?:morning|afternoon|evening))\b",
    "tomorrow": r"(?<!after )\btomm?orr?ow\b",
    "after": r"\b(?:the )?(?:day|week) (?:after|before)\b",
    "ordinal": rf"(?P<lead>\b(?:(?:on|by) (?:the )?|the ))?\b{_DAY}th\b{_ALONE}(?! (?:{_THING})\b)",
    "cardinal": rf"\b(?:on |by )?the {_DAY}\b{_ALONE}{_GOES_ON}",
}
_DAY_PATTERNS = list(_DAYS.values())
_DAY_KINDS = list(_DAYS)
_IGNORED_BEFORE = {"last", "past", "previous", "every", "each", "any", "most", "some"}


def _days(text: str, today: date, *, figures: bool = True) -> list[_Found]:
    """Days in `text`; the grade is 0 for a full date, 1 for a day of some month, 2 for a weekday of a week that is
    named, 3 for any other weekday, 9 for what is no day.

    figures: is `the 25` a day?
    """
    founds = []
    for number, match in _matches(_DAY_PATTERNS, text):
        kind, part = _DAY_KINDS[number], match.groupdict()
        if kind == "cardinal" and not figures:
            continue
        plain = kind != "ordinal" or int(part["day"]) > 3
        if not plain and not (part["lead"] and re.match(_GOES_ON, text[match.end() :])):
            continue  # `the second call` is no day
        when, grade = _meant(kind, part, today)
        if when is not None or grade < _NO_DAY:
            when, grade = _qualified(text[: match.start()], when, grade)
        founds.append(_Found(match.start(), match.end(), when.isoformat() if when else None, grade))
    return founds


_NO_DAY = 9


_IN_THE_PAST = (
    r"(?:\b(?:was|were|sent|mailed)|(?<!if )\b(?:i|he|she|we|already) paid)"
    r"(?: (?:it|that|this|you|in|on|the|off|back|money|check|payment))*\s*$"
)


def _qualified(before: str, when: date | None, grade: int) -> tuple[date | None, int]:
    """What the last words of the text `before` a day make of it: `until`, `after`, `I sent it on`."""
    words = re.search(
        r"\b(before|after|since|prior to|(?:later|earlier|sooner) than|until|till|til)(?: the| on| this| next)*\s*$",
        before,
    )
    if words is None:
        return (None, _NO_DAY) if re.search(_IN_THE_PAST, before) else (when, grade)
    word = words[1]
    negated = re.search(rf"\b(?:{_NOT}|no)\b[^.]*$", before[: words.start()])
    if word in ("until", "till", "til"):
        asked = re.search(r"\b(?:have|need|give me|got)(?: it)? $", before[: words.start()])
        return (when, grade) if negated or asked else (None, _NO_DAY)
    if negated and word not in ("after", "since"):
        return when, grade
    return (None, _NO_DAY) if word == "since" else (None, 0)


def _meant(kind: str, part: dict[str, str | None], today: date) -> tuple[date | None, int]:
    """The day a match means, and its grade."""
    day = int(part.get("day") or part.get("day2") or 0)
    month = _month(part["month"]) if part.get("month") else 0
    weekday = _weekday(part["weekday"]) if part.get("weekday") else 0
    year = (part.get("year") or part.get("year2") or "").replace(" ", "")
    match kind:
        case "iso" | "slashes" | "ordinal month" | "month day" | "day month":
            if month > 12 >= day:
                month, day = day, month
            if year:
                when = _iso_date(int(year) + (2000 if len(year) == 2 else 0), month, day)
                return (when if when and when >= today else None), 0
            return _next_date(month, day, today), 0
        case "day of month" | "month's day":
            if part["which"] in ("each", "every"):
                return None, _NO_DAY
            return _day_of(part["which"] or "the", day, today)
        case "end":
            return _end_of(part, month, today), 0
        case "weekday of month":
            return _weekday_of(part, month, weekday, today), 0
        case "after":
            return None, 0
        case "after tomorrow":
            return today + timedelta(2), 0
        case "today" | "tomorrow":
            return today + timedelta(kind == "tomorrow"), 0
        case "in" | "from":
            base = (
                _weekday_after(today, weekday)
                if part.get("weekday")
                else today + timedelta(part.get("base") == "tomorrow")
            )
            return _later(base, part["count"] or "", part["unit"] or ""), 0
        case "weekday":
            return _named_weekday(part, weekday, today)
        case _:
            return _day_of("", day, today)


def _month(name: str | None) -> int:
    if not name or name.isdigit():
        return int(name or 0)
    return next(n for n, month in enumerate(_MONTHS, start=1) if month.startswith(name[:3]))


def _weekday(name: str | None) -> int:
    return next(n for n, weekday in enumerate(_WEEKDAYS) if weekday.startswith((name or "")[:3]))


def _iso_date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _iso(year: int, month: int, day: int) -> str | None:
    when = _iso_date(year, month, day)
    return when.isoformat() if when else None


def _next_date(month: int, day: int, today: date) -> date | None:
    """The day in this year or the next, whichever is not over."""
    dates = [_iso_date(today.year + more, month, day) for more in (0, 1)]
    return next((when for when in dates if when and when >= today), None)


def _month_after(today: date, months: int) -> tuple[int, int]:
    years, month = divmod(today.month - 1 + months, 12)
    return today.year + years, month + 1


def _last_day(year: int, month: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return following - timedelta(1)


def _day_of(which: str, day: int, today: date) -> tuple[date | None, int]:
    """The `day` of this month, of the next, or of the one that comes next and has it."""
    if "next" in which or "following" in which:
        return _iso_date(*_month_after(today, 1), day), 0
    if which == "this":
        when = _iso_date(today.year, today.month, day)
        return (when if when and when >= today else None), 0
    dates = [_iso_date(*_month_after(today, more), day) for more in range(4)]
    return next((when for when in dates if when and when >= today), None), 1


def _end_of(part: dict[str, str | None], month: int, today: date) -> date:
    following = part["which"] == "next"
    if part["span"] == "year":
        return date(today.year + following, 12, 31)
    if month:
        return _last_day(today.year + (month < today.month), month)
    return _last_day(*_month_after(today, int(following)))


def _weekday_after(day: date, weekday: int) -> date:
    return day + timedelta((weekday - day.weekday() - 1) % 7 + 1)


def _weekday_of(part: dict[str, str | None], month: int, weekday: int, today: date) -> date | None:
    """`The second Monday of December`, this year's or the next one's; None when it is over or that month has none."""
    nth = part["nth"] or ""
    which = part["which"] or ""
    first = today.replace(day=1)
    months = (
        [(today.year, month), (today.year + 1, month)]
        if month
        else [_month_after(first, "next" in which or "following" in which)]
    )
    if which == "the":
        months.append(_month_after(first, 1))
    for year, number in months:
        if nth == "last":
            last = _last_day(year, number)
            when = last - timedelta((last.weekday() - weekday) % 7)
        else:
            when = _weekday_after(date(year, number, 1) - timedelta(1), weekday) + timedelta(7 * (int(nth[0]) - 1))
        if when >= today:
            return when
    return None


def _later(base: date, count: str, unit: str) -> date | None:
    many = int(count) if count.isdigit() else 2 if "couple" in count else 1
    if unit.startswith("month"):
        year, month = _month_after(base, many)
        return date(year, month, min(base.day, _last_day(year, month).day)) if many <= 24 else None
    return base + timedelta(many * {"d": 1, "w": 7, "f": 14}[unit[0]])


def _named_weekday(part: dict[str, str | None], weekday: int, today: date) -> tuple[date | None, int]:
    before, behind = part["before"] or "", (part["behind"] or "").strip()
    if before in _IGNORED_BEFORE:
        return None, _NO_DAY
    if (
        before == "either"
        or behind == "week"
        or re.match(r"after (?!next)|(?:in|of) (?!(?:the|next|this) week)", behind)
    ):
        return None, 0
    monday = today - timedelta(today.weekday())
    if "week after next" in behind or behind == "after next":
        return monday + timedelta(14 + weekday), 2
    if before.startswith(("next", "following")) or "next week" in behind:
        return monday + timedelta(7 + weekday), 2
    return _weekday_after(today, weekday), 3


def _the_day(turns: list[list[_Found]], today: date) -> str | None:
    """The one day of the last turn: `Friday the fourth` names one day if the fourth is a Friday."""
    turns = [kept for turn in turns if (kept := [found for found in turn if found.grade != _NO_DAY])]
    if not turns:
        return None
    if any(found.value is None for found in turns[-1]):
        return None
    days = [(found.grade, date.fromisoformat(str(found.value))) for found in turns[-1]]
    best = min(grade for grade, _ in days)
    if len(meant := {day for grade, day in days if grade == best}) != 1:
        return None
    day = meant.pop()
    for grade, other in days:
        agrees = other.day == day.day if grade == 1 else other.weekday() == day.weekday()
        if grade > best and not agrees:
            return None
    if best == 3 and len(turns) > 1 and {found.grade for found in turns[-2]} == {2}:
        week = date.fromisoformat(str(turns[-2][0].value))
        day = week - timedelta(week.weekday()) + timedelta(day.weekday())
    if best == 1 and len(turns) > 1 and (corrected := _full_date(turns[-2])):
        same_month = _iso_date(corrected.year, corrected.month, day.day)
        return (same_month if same_month and same_month >= today else day).isoformat()
    return day.isoformat()


def _full_date(turn: list[_Found]) -> date | None:
    """`December third, no, the fourth`: the date whose day is corrected."""
    dates = [date.fromisoformat(str(found.value)) for found in turn if found.grade == 0 and found.value]
    return dates[0] if len(dates) == 1 else None


# -- times -------------------------------------------------------------------------------------------------------------

_HOUR = r"(?P<hour>[0-9]{1,2})"
_MINUTE = r"(?P<minute>[0-5][0-9])"
_HALF = r"(?: (?P<half>am|pm)\b)?"
_FREE = r"(?<![0-9.:/-])(?<![0-9] )"
_FREE_NUMBER = r"(?<![0-9.:/-])"
_ENDS = r"(?![0-9.:/-]*[0-9]|th)"
_NOUNS = (
    r"(?:percent|people|persons?|kids?|children|dogs?|cats?|guys|of us|of them|times?|years?|months?|weeks?|days?"
    r"|hours?|minutes?|mins?|seconds?|secs?|payments?|installments?|moments?|things?|bags?|boxes|rooms?|jobs?"
    r"|floors?|miles?|tens|twenties|fifties|hundreds|figures)\b|%"
)
_NOT_COUNTED = "".join(
    rf"(?<!\b{word} )"
    for word in str.split("this that which no any the another each every some last next other only good wrong right")
)
_ONE_IS_COUNTED = (
    rf"(?!1 (?:moment|second|sec|minute|of|more|thing|day|time|or the other)\b)(?:(?!1\b)|{_NOT_COUNTED}(?<!th ))"
)
"""`One moment`, `this one`, `one of these`: a word, not a number."""
_MONEY = r"[$£€₹] ?[0-9]+(?:\.[0-9]+)?|\b[0-9]+(?:\.[0-9]+)? (?:dollars?|bucks?|usd|cents?|[$£€₹])"
_DURATION = (
    r"\b(?:(?:[0-9]+ (?:or|to) )?[0-9]{1,3}|an?) (?:seconds?|secs?|minutes?|mins?|hours?|days?|weeks?|months?|years?)\b"
    r"(?! (?:past|after|to|of|till|til|before) (?:[0-9]|noon|midnight))"
)
_PHONE_NUMBER = (
    r"\b(?:[0-9]{3}[ .-])?[0-9]{3}[.-][0-9]{4}\b|\b[0-9]{3} [0-9]{3} [0-9]{4}\b|\b(?:[0-9]{1,2} ){6,}[0-9]{1,4}\b"
    r"|\b[0-9]{10,}\b"
)
_TIMES: dict[str, str] = {
    "noon": r"\b(?:12 )?(?P<word>noon|midday|midnight)\b",
    "half past": rf"\b(?:a )?half (?:(?:past|after) )?{_HOUR}\b{_ENDS}(?! dozen)",
    "quarter": (
        r"\b(?:a )?quarter (?P<way>past|after|to|of|till|til|before) "
        rf"(?:{_HOUR}|(?P<word>noon|midnight))\b{_HALF}"
    ),
    "minutes": (
        r"(?<!from )(?<!between )\b(?:(?P<minute>[0-9]{1,2}) minutes? (?P<way>past|after|to|of|till|til|before)"
        r"|(?P<minute2>10(?! to 1[12])|20|25) (?P<way2>past|after|to|of|till|til|before)"
        r"|(?P<minute3>5) (?P<way3>past|after|of|till|til))"
        rf" (?:{_HOUR}|(?P<word>noon|midnight))\b{_ENDS}(?: oclock)?{_HALF}"
    ),
    "colon": rf"{_FREE}\b{_HOUR}:{_MINUTE}\b{_ENDS}(?! ?[ap]m){_HALF}",
    "colon with half": rf"{_FREE}\b{_HOUR}[:.]{_MINUTE} ?(?P<half>am|pm)\b",
    "hours": r"\b(?:at )?(?P<hour>[0-9]{1,2})(?P<minute>[0-5][0-9])(?: hours\b| (?P<half>am|pm)\b)",
    "words with half": rf"{_FREE}\b{_HOUR} (?:0 (?P<minute2>[1-9])|(?P<minute>[1-5][0-9])) (?P<half>am|pm)\b",
    "at words": rf"\bat {_HOUR} (?:0 (?P<minute2>[1-9])|(?P<minute>[1-5][0-9])){_ENDS}(?! ?[0-9])(?! {_NOUNS})",
    "o'clock": rf"(?:\bat )?{_FREE}\b{_HOUR} oclock{_HALF}",
    "half": rf"(?:\bat )?{_FREE}\b{_HOUR} (?P<half>am|pm)\b",
    "at": (
        r"\b(?:at|after|before|till|until)(?: like| about| around| exactly| maybe)* (?P<hour>[1-9]"
        rf"|1[0-2])\b{_ENDS}(?! ?[0-9%])(?! (?:{_NOUNS}))"
    ),
}
_MAYBE_TIMES: dict[str, str] = {
    "dot": rf"{_FREE}\b{_HOUR}\.{_MINUTE}\b{_ENDS}",
    "words": rf"{_FREE}\b{_HOUR} (?:0 (?P<minute2>[1-9])|(?P<minute>[1-5][0-9]))\b{_ENDS}(?! ?[0-9])(?! (?:{_NOUNS}))",
    "around": (
        r"\b(?:around|about|by|from|past|like|so|say) (?P<hour>[1-9]|1[0-2])\b"
        rf"{_ENDS}(?! ?[0-9%])(?! (?:{_NOUNS}))"
    ),
    "joined": rf"{_FREE}\b(?P<hour>[1-9]|1[0-9]|2[0-3])(?P<minute>[0-5][0-9])\b{_ENDS}(?! (?:{_NOUNS}))",
    "bare": rf"{_FREE}\b{_ONE_IS_COUNTED}(?P<hour>[1-9]|1[0-2])\b{_ENDS}(?! (?:{_NOUNS}))",
}
_WEAK_TIMES = {"joined", "bare"}
_WAY = {"to", "of", "till", "til", "before"}
_PART = r"\b(?P<part>morning|afternoon|evening|night|tonight)s?\b"


def _times(text: str, today: date, *, sure: bool = False) -> list[_Found]:
    """Times in `text`; the grade is 1 for a number that could be anything. sure: only what can be nothing else."""
    parts = _not_ruled_out(text, [_Found(m.start(), m.end(), m["part"]) for m in re.finditer(_PART, text)])
    rest = _without(text, _days(text, today, figures=False))
    for pattern in (_PHONE_NUMBER, _MONEY, _DURATION):
        rest = re.sub(pattern, _blank, rest)
    patterns = _TIMES if sure else _TIMES | _MAYBE_TIMES
    kinds = list(patterns)
    times: list[_Found] = []
    stated = -1
    for number, match in sorted(_matches(patterns.values(), rest), key=lambda item: item[1].start()):
        clock = _clock(kinds[number], match.groupdict())
        if clock is None:
            continue
        minutes, certain = clock
        if not certain:
            part = _part_near(parts, match, text)
            placed = _in_part(minutes, part)
            if placed is None:
                continue
            if not part and stated >= 0 and abs(placed - stated) > abs((placed + 720) % 1440 - stated):
                placed = (placed + 720) % 1440  # `six pm, no, seven`: the correction is meant near what it corrects
            minutes, certain = placed, bool(part)
        stated = minutes if certain else stated
        value = f"{minutes // 60:02}:{minutes % 60:02}"
        times.append(_Found(match.start(), match.end(), value, int(kinds[number] in _WEAK_TIMES)))
    return _linked(text, times)


def _clock(kind: str, part: dict[str, str | None]) -> tuple[int, bool] | None:
    """Minutes after midnight and True, or on a clock of twelve hours and False; None when no clock shows it."""
    word, hour = part.get("word"), part.get("hour") or "0"
    hours = {"midnight": 0, None: int(hour)}.get(word, 12)
    minutes = int(part.get("minute") or part.get("minute2") or part.get("minute3") or 0)
    minutes = {"half past": 30, "quarter": 15}.get(kind, minutes)
    if hours > 23 or minutes > 59:
        return None
    certain = word is not None or hours > 12 or hour[0] == "0"
    if (half := part.get("half")) and not certain:
        hours, certain = hours % 12 + 12 * (half == "pm"), True
    before = (part.get("way") or part.get("way2") or part.get("way3")) in _WAY
    return (hours * 60 + (-minutes if before else minutes)) % (1440 if certain else 720), certain


def _in_part(minutes: int, part: str) -> int | None:
    """Minutes after midnight, from those on a clock of twelve hours and a part of the day; None if they do not fit."""
    hour = minutes // 60
    match part:
        case "am" | "morning":
            later = False
        case "pm":
            later = True
        case "afternoon":
            if hour > 7:
                return None
            later = True
        case "evening":
            later = hour > 0
        case "night" | "tonight":
            later = hour > 4
        case _:
            later = hour < 7
    return minutes + 720 * later


def _part_near(parts: list[_Found], match: re.Match[str], text: str) -> str:
    """The part of the day that goes with a time: right behind it, else the nearest before it, else the next one."""
    behind = next((part for part in parts if part.start >= match.end()), None)
    before = [part for part in parts if part.end <= match.start()]
    if behind and re.fullmatch(
        r"[\s,]*(?:(?:in|at|the|this|on|o'clock|oclock|tomorrow|\w+day)\s+)*", text[match.end() : behind.start]
    ):
        return str(behind.value)
    return str(before[-1].value) if before else str(behind.value) if behind else ""


def _linked(text: str, founds: list[_Found]) -> list[_Found]:
    """`Two or three pm`: a number beside a certain value is meant as one too."""
    founds = list(founds)
    for order in (range(1, len(founds)), range(len(founds) - 1, 0, -1)):
        for right in order:
            one, other = founds[right - 1], founds[right]
            gap = text[one.end : other.start]
            if one.grade != other.grade and re.fullmatch(
                r"\s*(?:,|-|or|to|and)?(?:\s(?:maybe|even|at|around|about))*\s*", gap
            ):
                founds[right - 1], founds[right] = one._replace(grade=0), other._replace(grade=0)
    return founds


# -- amounts and numbers -----------------------------------------------------------------------------------------------

_NUMBER = rf"{_FREE_NUMBER}(?P<number>[0-9]{{1,9}}(?:\.[0-9]{{1,2}})?){_ENDS}"
_IN_HUNDREDS = rf"{_FREE_NUMBER}\b(?P<hundreds>[1-9]) (?P<rest>0 [1-9]|[1-9][0-9])\b{_ENDS}(?! [0-9])"
_SPELLED = rf"{_FREE_NUMBER}\b(?P<spelled>[0-9](?: [0-9]){{2,9}})\b{_ENDS}(?! [0-9])"
_NO_AMOUNT_BEFORE = "".join(
    rf"(?<!{words} )"
    for words in [*str.split("number option press extension apartment room unit line code"), "ending in", "ends in"]
)


def _amounts(text: str, unit: str, today: date, context: str = "") -> list[_Found]:
    """Sums in `text`; the grade is 1 for a small number without a unit: `I have two kids, fifty dollars is a lot`."""
    rest = _without(text, [*_days(text, today, figures=False), *_times(text, today, sure=True)])
    for pattern in (_PHONE_NUMBER, _DURATION, r"\b50 50\b|\bhalf 1000(?:000)?\b"):
        rest = re.sub(pattern, _blank, rest)
    names = {"dollars", "dollar", "bucks", "buck", "usd", _plain(unit), _plain(_singular(unit))} - {""}
    longest_first = sorted(names, key=len, reverse=True)
    units = rf"(?:{'|'.join(map(re.escape, longest_first))})(?![^\W_])|[$£€₹]"
    cents = (
        rf"(?:(?:,? and)? (?P<cents>[0-9]{{1,2}}) cents?\b| (?P<cents2>[1-9][0-9])\b{_ENDS}(?! (?:{_NOUNS}|{units})))?"
    )
    patterns = [
        rf"[$£€₹] ?{_NUMBER}(?: (?:{units}))?(?:,? and (?P<cents>[0-9]{{1,2}}) cents?\b)?",
        rf"{_IN_HUNDREDS} (?:{units}){cents}",
        rf"{_SPELLED} (?:{units})",
        rf"{_NUMBER} (?:{units}){cents}",
        rf"\ban? (?P<one>dollar|buck)\b{cents}",
        rf"{_FREE_NUMBER}(?P<cents>[0-9]{{1,5}}) cents?\b",
        _IN_HUNDREDS,
        _SPELLED,
        rf"{_NO_AMOUNT_BEFORE}{_ONE_IS_COUNTED}{_NUMBER}(?! ?(?:{_NOUNS}))",
    ]
    founds = []
    for number, match in _matches(patterns, rest):
        value = None if _only_a_bound(rest[: match.start()]) else _sum(match.groupdict())
        grade = int(number >= patterns.index(_IN_HUNDREDS) and (value or 0) < 10)
        founds.append(_Found(match.start(), match.end(), value, grade))
    founds.sort(key=lambda found: found.start)
    if not founds and (half := re.search(r"(?<!and a )\bhalf\b(?! (?:an?|hour|dozen|past|the (?:time|day))\b)", rest)):
        named = _amounts(context, unit, today) if context else []
        whole = _the_one([named] if named else [])
        if isinstance(whole, float):
            founds = [_Found(half.start(), half.end(), round(whole / 2, 2))]
    return _linked(text, founds)


def _only_a_bound(before: str) -> bool:
    """Do the last words `before` a number make it none, as in `less than fifty`? `No more than fifty` is fifty."""
    bound = re.search(r"\b(?:under|over|above|below|minus|(?:less|more|fewer|better) than) ?$", before)
    return bound is not None and not re.search(rf"\b(?:{_NOT}|no)\b[^,.]*$", before[: bound.start()])


def _sum(part: dict[str, str | None]) -> float | None:
    hundreds, cents = part.get("hundreds"), part.get("cents") or part.get("cents2")
    if hundreds:
        whole = float(int(hundreds) * 100 + int((part["rest"] or "").replace(" ", "")))
    else:
        whole = float((part.get("spelled") or part.get("number") or ("1" if part.get("one") else "0")).replace(" ", ""))
    total = round(whole + int(cents or 0) / 100, 2)
    return total if total < _LARGEST else None


def _whole_numbers(text: str, today: date) -> list[_Found]:
    dates = _days(text, today, figures=False)
    rest = _without(text, [found for found in dates if not re.match(_DURATION, text[found.start : found.end])])
    rest = _without(rest, _times(text, today, sure=True))
    rest = re.sub(_PHONE_NUMBER, _blank, rest)
    patterns = [
        _SPELLED,
        rf"{_ONE_IS_COUNTED}{_FREE_NUMBER}(?:(?P<minus>minus|negative) )?(?P<number>[0-9]{{1,15}}){_ENDS}"
        r"(?!%| percent)",
        r"\b(?P<two>a couple)\b",
        r"\b(?P<none>none|nobody|no one|no 1)\b(?! of)",
    ]
    founds = []
    for _, match in _matches(patterns, rest):
        part = match.groupdict()
        value = int((part.get("spelled") or part.get("number") or ("2" if part.get("two") else "0")).replace(" ", ""))
        value = -value if part.get("minus") else value
        founds.append(_Found(match.start(), match.end(), None if _only_a_bound(rest[: match.start()]) else value))
    return founds


# -- choices -----------------------------------------------------------------------------------------------------------


def _chosen(text: str, choices: Mapping[str, Iterable[str]], today: date) -> list[_Found]:
    """The keys of `choices` that are named; else, where the keys are parts of a day, the one in which a time lies."""
    founds: list[_Found] = []
    for key, words in choices.items():
        for phrase in {_plain(phrase) for phrase in (key, *words)} - {""}:
            pattern = rf"(?<!\S){re.escape(phrase)}s?(?!\S)"
            founds += [_Found(m.start(), m.end(), key) for m in re.finditer(pattern, text)]
    kept: list[_Found] = []
    for found in sorted(founds, key=lambda found: found.start - found.end):
        if all(found.end <= k.start or found.start >= k.end or found[:2] == k[:2] for k in kept):
            kept.append(found)
    if kept or len({"morning", "afternoon", "evening"} & choices.keys()) < 2:
        return kept
    vague = r"\b(?:before|after|until|till|til|past|from|since|between)\b"
    for time in _times(text, today):
        part = _part_of_day(int(str(time.value)[:2]))
        if time.grade == 0 and not re.search(vague, text[: time.end]):
            kept.append(time._replace(value=part if part in choices else None))
    return kept


def _part_of_day(hour: int) -> str | None:
    """None at night, and from five to six, which some call afternoon and some evening."""
    if 6 <= hour < 12:
        return "morning"
    if 12 <= hour < 17:
        return "afternoon"
    return "evening" if 18 <= hour < 22 else None


# -- yes and no --------------------------------------------------------------------------------------------------------

_WEAK_YES = (
    r"right|correct|ok|okay|alright|all right|sure|fine|good|great|perfect|wonderful|exactly|true|works|happy to"
    r"|go ahead|(?<![^,.] )speaking|i have(?= ?[.,]| ?$)|(?:that|it) 'll work|i 'll be there"
    r"|i (?:do|am|can|will|would|did|guess|guess so|think so|believe so|suppose|suppose so)"
    r"|(?:it|he|she|that|this) (?:is|does|was|will)|(?:we|they) (?:do|are|can|will|have)|i 'd (?:love|like) (?:to|that)"
    r"|(?:'s|'d be|is) me|that 's it|this is (?:he|she|him|her)|you 're speaking (?:to|with) (?:me|him|her)"
    r"|let 's do (?:it|that)|please do|do it|sounds good|you got it|you can"
)
_ANSWERS: dict[str, str] = {
    "neither": (
        rf"\b(?:{_NOT}(?: really| quite| so| too)? (?:know|sure|certain|remember|hear|understand|say|tell|catch|follow"
        r"|mind|get (?:that|it))"
        r"|(?:isn't|aren't|don't|doesn't|won't|can't) (?:it|you|he|she|they|that|we)|no idea|maybe|perhaps|depends"
        r"|might|yes or no|right (?:now|away|after|before|on)|good (?:morning|afternoon|evening|day|question)"
        r"|i 'm good|sorry|no one|hold on|one moment|what (?:do|is|are|was)|who is (?:it|this|that)|are you sure"
        r"|is (?:it|that|this) (?:ok|okay|right|true))\b"
    ),
    "strong yes": (
        r"\b(?:yes|yessir|yeah|yep|yup|yea|ya|yah|aye|affirmative|absolutely(?! not)|definitely(?! not)"
        r"|certainly(?! not)|of course(?! not)|you bet|sure thing|for sure|totally|indeed|no doubt|no problem"
        r"|no worries|(?:not|n't) (?:be )?a problem|why not)\b"
    ),
    "strong no": (
        r"\b(?:no(?! (?:questions?|later|more than|less|rush|hurry))|nope|nah|never(?! mind)|negative"
        r"|(?:absolutely|definitely|certainly|of course) not)\b"
    ),
    "weak no": (rf"\b(?:{_NOT}(?: that 's| \S+)? (?:{_WEAK_YES})|{_NOT}|wrong|incorrect|false|rather not)\b"),
    "weak yes": rf"\b(?:{_WEAK_YES})\b",
}
_QUESTION = (
    r"(?:and |so |but )?(?:who|what|when|where|how|which|(?:can|could|do|did|are|will|would) (?:you|i|we)"
    r"|(?:is|was) (?:it|that|this|there))\b"
)
_SOFT_AGAIN = (
    r"\b(?:sorry|i mean|i meant|actually|make that|scratch that|strike that|correction|on second thoughts?|wait)\b"
)


def _yes_no(heard: str) -> bool | None:
    """A plain yes or no counts more than `I can` and `I don't`; `yeah, no` is no."""
    heard = re.sub(r"(?i)\b(?:uh|um)[- ]?huh\b|\bm+[- ]?h+m+\b", " yes ", heard)
    heard = re.sub(r"(?i)\bn+uh[- ]uh\b|\buh-uh\b|^\W*uh uh\W*$", " nope ", heard)
    text = " ".join(token for token in _tokens(heard) if token not in _FILLERS)
    kinds = list(_ANSWERS)
    founds = []
    for number, match in _matches(_ANSWERS.values(), text):
        if kinds[number] != "neither":
            kind = kinds[number]
            founds.append(_Found(match.start(), match.end(), kind.endswith("yes"), int(kind.startswith("weak"))))
    founds.sort(key=lambda found: found.start)
    if re.match(_QUESTION, text) and all(found.grade for found in founds):
        return None
    for mark in reversed(list(re.finditer(_SOFT_AGAIN, text))):
        if behind := [found for found in founds if found.start >= mark.end()]:
            founds = behind
            break
    first, _, second = text.rpartition(" but ")
    before = _verdict(text, [found for found in founds if found.end <= len(first)])
    behind_but = _verdict(text, [found for found in founds if found.start >= len(text) - len(second)])
    if before is None or behind_but is None or before == behind_but:
        return _verdict(text, founds)
    return None if any(found.grade == 0 for found in founds) else behind_but


def _verdict(text: str, founds: list[_Found]) -> bool | None:
    """What they say together; of two words side by side the second counts."""
    answers = [found for found in founds if found.grade == 0] or list(founds)
    while len(answers) > 1 and re.fullmatch(r"[\s,.]*(?:well|oh)?[\s,.]*", text[answers[-2].end : answers[-1].start]):
        del answers[-2]
    values = {bool(found.value) for found in answers}
    return values.pop() if len(values) == 1 else None


# -- telephone numbers -------------------------------------------------------------------------------------------------

_PAUSES = {"and", "then", "dash", "hyphen", "dot", "space", ",", "."}
_AFTER_AREA_CODE = {"the", "number", "is", "area", "code", "that", "'s", "it", "my", "phone"}
_AGAIN_DIGITS = {"no", "nope", "sorry", "actually", "wait", "mean", "correction", "rather", "scratch"}
_SHORTEST_PHONE = 7
_ONE_MISSING = (8, 9)
"""Digits, without a plus, of a number that most likely lost one or two of ten on the way."""


def _phone(heard: str) -> str | None:
    """The number that was said last; less than seven digits after a correction replace the end of the one before it."""
    whole: list[list[str]] = []
    tail = ""
    for said in _said_digits(heard):
        long = [digits for digits in said if len(digits.lstrip("+")) >= _SHORTEST_PHONE]
        short = [digits for digits in said if digits not in long]
        if long:
            whole, tail = [long], ""
        elif whole and len(short) == 1:
            tail = short[0]
        elif whole and short:
            return None
    if not whole or len(set(whole[0])) != 1:
        return None
    digits = whole[0][0]
    number = digits[: len(digits) - len(tail)] + tail
    return None if len(number) in _ONE_MISSING else _e164(number)


def _said_digits(heard: str) -> list[list[str]]:
    """The runs of digits between corrections, those of a run together, with a `+` where one was said."""
    tokens = [token for token in _tokens(re.sub(r"(?<=[0-9])[-./](?=[0-9])", " ", heard)) if token not in _FILLERS]
    turns: list[list[str]] = [[]]
    run, times, ruled_out, skipping = "", 1, False, False
    place = 0
    while place < len(tokens):
        token, before = tokens[place], tokens[place - 1] if place else ""
        digits, place = _digits_of(tokens, place, run)
        if digits and not (token == "one" and before in ("this", "that", "the", "which", "a")):
            run, times = run + ("" if skipping else digits[0] * (times - 1) + digits), 1
        elif token in ("double", "triple"):
            times = 2 if token == "double" else 3
        elif token in ("plus", "+") and not run:
            run = "+"
        elif token in ("hundred", "thousand") and run:
            run += "00" if token == "hundred" else "000"
        elif not _goes_on(token, run):
            turns[-1] += [run] if run.strip("+") and not ruled_out else []
            turns += [[]] if token in _AGAIN_DIGITS and turns[-1] else []
            ruled_out = token in ("not", "isn't") or (ruled_out and not run)
            run, times, skipping = "", 1, token in ("extension", "ext", "x")
    turns[-1] += [run] if run.strip("+") and not ruled_out else []
    return turns


def _goes_on(token: str, run: str) -> bool:
    """Can more digits of the same number follow `token`, when those of `run` went before?"""
    if re.fullmatch(r"1?[0-9]{10}", run):
        return False
    return token in _PAUSES or (token in _AFTER_AREA_CODE and re.fullmatch(r"\+?1?[0-9]{0,3}", run) is not None)


def _digits_of(tokens: list[str], at: int, run: str) -> tuple[str, int]:
    """The digits a token stands for, `` when it is no number, and where the next one begins."""
    token = tokens[at]
    if token in ("oh", "o"):
        return ("0" if run.strip("+") else ""), at + 1
    if re.fullmatch(r"[0-9]+", token):
        return token, at + 1
    part = _below_hundred(tokens, at)
    return (str(part[0]), part[1]) if part else ("", at + 1)


def _e164(digits: str) -> str:
    """In E.164 where the digits are a number with a country code, or one of the United States; else the digits."""
    bare = digits.lstrip("+")
    national = bare[1:] if len(bare) == 11 and bare[0] == "1" else bare
    written = digits if digits.startswith("+") else f"+1{national}"
    if digits.startswith("+") or len(national) == 10:
        try:
            if numbers.e164(written) == written:
                return written
        except ConfigError:
            pass
    return bare


# -- names -------------------------------------------------------------------------------------------------------------

_LEADS = (
    r"(?i:(?:my|the|his|her) (?:full )?name(?: is|'s)|name(?:'s| is)|call me|it's under|it is under"
    r"|under the name(?: of)?|i go by)"
)
_WEAK_LEADS = (
    r"(?i:this is|that would be|that'd be|put (?:it|me|that) under|it's|it is|i'm|i am|that's|that is"
    r"|(?:you're |you are )?speaking (?:to|with))"
)
_NAME_ENDS = set(
    str.split(
        "a about afraid after again all already also an and any anyone are as ask at away bad be because been "
        "before busy but by bye calling can can't cannot capital come correct could day did didn't do does "
        "doesn't doing don't driving either else enough every false fine first for from get go going gonna good "
        "got great had has have haven't he hear hello her here hey hi him his hold home how hung i i'd i'll i'm "
        "i've if in into is isn't it it's just know last later let letter letters like listen little long look "
        "looking lot making married maybe me mean mind mine moment more morning much my name need never next "
        "nice no nobody none nope not nothing now number of off ok okay on once one only or other our out over "
        "pay perfect personal please pretty private really ridiculous right said same say see she should single "
        "so some somebody someone something soon sorry speak speaker speaking spell spelled spelling still stop "
        "stuff sure sure's take talk talking tell than thank thanks that that's the their them then there they "
        "thing think this time tired to today tomorrow too true trying two up us very wait want was we well were "
        "what what's when where which who who's whose why with without won't work working would wrong yeah "
        "yep yes yet you you're your dollars bucks hundred thousand oclock o'clock noon midnight tonight"
    )
) | {*_SMALL, *_TEN, *_WEEKDAYS}
_OPENERS = {"yes", "yeah", "yep", "hi", "hello", "well", "oh", "ok", "okay", "sure", "and", "so"}
_CLOSERS = {"here", "speaking", "please", "thanks", "calling"}
_SPELL_WORDS = r"(?:as in|for|like|as)"
_MOST_NAMES = 5


def _name(heard: str) -> str | None:
    """The name the customer gives, spelled names as they were spelled."""
    if re.search(r"(?i)\bwith(?:out)? (?:an?|two|one)\b", heard):
        return None
    turns = re.split(
        r"(?i)(?:^|[\s,.;])(?:no|nope|sorry|actually|i mean|make that|wait|rather|correction)"
        r"(?=$|[\s,.;!?])(?! (?:problem|thanks?)\b)",
        heard,
    )
    for turn in reversed(turns):
        names = _names(turn)
        if names:
            return names[0] if len(names) == 1 else None
    return None


def _names(said: str) -> list[str]:
    """The different names in `said`; one that is part of another does not count."""
    said, spelled = _spelled(said)
    parts = [re.search(rf"(?i)\b{which} name(?: is|'s)?,? ([^\W\d_][\w'-]*)", said) for which in ("first", "last")]
    if parts[0] and parts[1]:
        return [" ".join(_title(part[1]) for part in parts if part)]
    if parts[0] or parts[1]:
        return [_title(part[1]) for part in parts if part and part[1].lower() not in _NAME_ENDS]
    cased = any(c.isupper() for c in re.sub(r"(?:^|[.?!] )\S|\bI\b|\bI'", "", said))
    found: list[str] = []
    if lead := re.search(rf"\b{_LEADS}\s+(?P<rest>.+)", said):
        first, *others = _name_words(lead["rest"], spelled, strict=False) or [""]
        found = [next((other for other in others if f" {first} " in f" {other} "), first)] if first else []
    elif lead := re.search(rf"\b{_WEAK_LEADS}\s+(?P<rest>.+)", said):
        found = _name_words(lead["rest"], spelled, strict=True)[:1]
        if found and found[0] != spelled and (found[0].endswith("ing") or (cased and not lead["rest"][0].isupper())):
            found = []
    else:
        found = _name_words(said, spelled, strict=True)
    if spelled and not found:
        found = [spelled]
    distinct = list(dict.fromkeys(found))
    return [one for one in distinct if not any(one != other and f" {one} " in f" {other} " for other in distinct)]


def _name_words(said: str, spelled: str, *, strict: bool) -> list[str]:
    """Names between pauses. strict: what stands between two pauses must be a name and nothing else."""
    names = []
    for chunk in re.split(r"[,.;:!?]\s+|[,;:!?.]$|\s[-\u2013]\s", re.sub(r"(?i)\b(mrs?|ms|dr)\.", r"\1", said)):
        words = [word for word in re.findall(r"[^\W\d_][\w'-]*|[0-9]\S*|\S", chunk) if word.lower() not in _FILLERS]
        while strict and words and words[0].lower() in _OPENERS:
            del words[0]
        while strict and words and words[-1].lower() in _CLOSERS:
            del words[-1]
        ends = (place for place, word in enumerate(words) if word.lower() in _NAME_ENDS or not word[0].isalpha())
        end = next(ends, len(words))
        if end and (end == len(words) or not strict) and end <= _MOST_NAMES:
            names.append(_corrected([_title(word) for word in words[:end]], spelled))
    return names


def _corrected(words: list[str], spelled: str) -> str:
    """The name, its last word with the same first letter as `spelled` replaced by it."""
    for place in reversed(range(len(words) if spelled else 0)):
        if words[place][0] == spelled[0]:
            words[place] = spelled
            break
    return " ".join(words)


def _spelled(said: str) -> tuple[str, str]:
    """What was said without the letters, and the name they make: `S M I T H`, `S-M-I-T-H`, `S as in Sam, M for Mary`"""
    letter = rf"(?:(?:double )?[^\W\d_](?![\w'])(?: {_SPELL_WORDS} [^\W\d_]+)?)"
    match = re.search(
        rf"(?i)(?<![\w'])(?:(?:that's |it's )?(?:spelled|spelt|spelling) )?{letter}(?:[\s,.-]+{letter})+", said
    )
    if match is None:
        return said, ""
    letters = re.sub(rf"(?i) {_SPELL_WORDS} [^\W\d_]+", "", match.group())
    letters = re.sub(r"(?i)(?:that's |it's )?spel\w+ ", "", letters)
    letters = re.sub(r"(?i)double ([^\W\d_])", r"\1\1", letters)
    name = "".join(re.findall(r"[^\W\d_]", letters))
    if set(name.lower()) <= {"i", "a"} or len(set(name.lower())) == 1:
        return said, ""  # `I, I don't know`
    return f"{said[: match.start()].rstrip(' ,')}, {said[match.end() :]}", _title(name.lower())


def _title(word: str) -> str:
    if any(c.isupper() for c in word[1:]) and not word.isupper() and word[0].isupper():
        return word
    word = re.sub(r"(?:^|(?<=[-]))[^\W\d_]|(?<=^[od]')[^\W\d_]", lambda m: m.group().upper(), word.lower())
    return re.sub(r"^(Mc)([a-z])(?=[a-z]{2})", lambda m: m[1] + m[2].upper(), word)


# -- saying ------------------------------------------------------------------------------------------------------------


def spoken(field: FlowField, value: Value, today: date) -> str:
    """How a bot says a value, in words and without digits that a voice would have to guess at.

    Days are said as seen from `today`. What is no value of the field is said as it is written.
    """
    match field.type:
        case "yes_no" if isinstance(value, bool):
            return "yes" if value else "no"
        case "day" if (when := _stored_day(value)) is not None:
            return _say_day(when, today)
        case "time" if isinstance(value, str) and re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", value):
            return _say_time(int(value[:2]), int(value[3:]))
        case "amount" if isinstance(value, int | float) and 0 <= value < _LARGEST:
            return _say_amount(round(value * 100), field.unit)
        case "phone" if isinstance(value, str) and re.fullmatch(r"\+?[0-9]+", value):
            return _say_phone(value)
        case "choice":
            return str(value).replace("_", " ")
    return str(value)


def _stored_day(value: Value) -> date | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return _iso_date(*map(int, value.split("-")))
    return None


def _say_day(when: date, today: date) -> str:
    ahead = (when - today).days
    if ahead in (0, 1):
        return ["today", "tomorrow"][ahead]
    weekday = _WEEKDAYS[when.weekday()].capitalize()
    if 1 < ahead < 7:
        return weekday
    said = f"{weekday}, {_MONTHS[when.month - 1].capitalize()} {_say_ordinal(when.day)}"
    if _next_date(when.month, when.day, today) == when:
        return said
    century, year = divmod(when.year, 100)
    if when.year % 1000 < 10:
        return f"{said}, {_in_words(when.year)}"
    rest = "hundred" if year == 0 else f"oh {_in_words(year)}" if year < 10 else _in_words(year)
    return f"{said}, {_in_words(century)} {rest}"


def _say_ordinal(number: int) -> str:
    tens, ones = divmod(number, 10)
    if number < len(_FIRSTS):
        return _FIRSTS[number]
    return f"{_TENS[tens - 2]} {_FIRSTS[ones]}" if ones else f"{_TENS[tens - 2][:-1]}ieth"


def _say_time(hour: int, minute: int) -> str:
    if minute == 0 and hour in (0, 12):
        return "noon" if hour else "midnight"
    part = ""
    if hour < 7:
        part = " in the morning" if hour else " at night"
    elif hour > 12:
        part = " in the afternoon" if hour < 18 else " in the evening" if hour < 21 else " at night"
    said = _in_words(hour % 12 or 12)
    if minute:
        said += f" {'oh ' if minute < 10 else ''}{_in_words(minute)}"
    elif not part:
        said += " o'clock"
    return said + part


def _say_amount(hundredths: int, unit: str) -> str:
    whole, cents = divmod(hundredths, 100)
    said = f"{_in_words(whole)} {unit if whole != 1 else _singular(unit)}"
    if not cents:
        return said
    if unit not in ("dollars", "euros"):
        tenths = _in_words(cents // 10) if cents % 10 == 0 else f"{_in_words(cents // 10)} {_in_words(cents % 10)}"
        return f"{_in_words(whole)} point {tenths} {unit}"
    small = f"{_in_words(cents)} cent{'s' * (cents != 1)}"
    return f"{said} and {small}" if whole else small


def _singular(unit: str) -> str:
    return unit[:-1] if unit.endswith("s") else unit


def _say_phone(value: str) -> str:
    digits = value.lstrip("+")
    plus = ""
    if value.startswith("+1") and len(value) == 12:
        digits = digits[1:]
    elif value.startswith("+"):
        plus = "plus "
    groups = []
    while len(digits) > 4:
        groups.append(digits[:3])
        digits = digits[3:]
    return plus + ", ".join(" ".join(group) for group in [*groups, digits] if group)


def _in_words(number: int) -> str:
    for scale, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= scale:
            rest = number % scale
            return f"{_in_words(number // scale)} {name}" + (f" {_in_words(rest)}" if rest else "")
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")
