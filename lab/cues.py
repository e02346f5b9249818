"""What the words so far tell about the floor: is this the end of a sentence, the middle of a number, or a word thrown in?

Decides: how a text ends, which answer a question asks for, and which words ask for nothing. English only. Refuses to know: time,
sound, and what the words mean to the conversation.

How an ending is read
1.  Where a telephone number, a code, an address or a spelled name is asked for, or where the words end in one, the turn goes on
    until it is whole: ten digits (eleven after a 1), an address with its last dot. Nobody can tell when a code is whole.
2.  Words that need another word after them (`to`, `my`, `because`, `I'd like`) break off a sentence, whatever punctuation a
    recogniser has put behind them; so do fillers. A few pairs that end alike are whole: `hold on`, `I think so`.
3.  Recognisers finish what people have not: `in the` becomes `in it`, `my` becomes `mine`. Sentences that end so are in doubt.
4.  A text of some length without a full stop, exclamation or question mark may be either.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Literal

Expects = Literal["phone_number", "email", "number", "spelling"]
"""What a question asks for, where the answer has pauses inside. `number`: digits and letters of any length."""


class Ending(Enum):
    NOTHING = "no words"
    FINISHED = "a whole sentence"
    STATED = "a whole statement of some length, to which people often add something, or a question"
    WORD = "a word alone that often begins a sentence"
    UNSURE = "either"
    DOUBTFUL = "whole by its words, but recognisers make such words out of broken ones"
    OPEN = "broken off"
    COUNTING = "inside a number or a spelled word"


def expected(question: str) -> Expects | None:
    """What the bot's line asks for."""
    asked = question.casefold()
    for kind, pattern in _ASKED:
        if re.search(pattern, asked):
            return kind
    return None


def ending(text: str, expects: Expects | None = None) -> Ending:
    """How a recognised text ends."""
    words = _words(text)
    if not words:
        return Ending.NOTHING
    if _unfinished_value(text, words, expects):
        return Ending.COUNTING
    if _whole_value(text, words, expects):
        return Ending.FINISHED
    if _broken_off(text, words):
        return Ending.OPEN
    if _doubtful(text, words):
        return Ending.DOUBTFUL
    if len(words) == 1 and words[0] in _BEGINNERS:
        return Ending.WORD
    if len(words) <= _FEW or text.rstrip("\"')] ").endswith("?"):
        return Ending.FINISHED
    if not text.rstrip("\"')] ").endswith((".", "!")):
        return Ending.UNSURE
    return Ending.STATED if len(words) > _SOME and not _SURELY_DONE.search(" ".join(words)) else Ending.FINISHED


class Wish(Enum):
    """What words spoken over the bot ask for."""

    NONE = "they only listen"
    PERHAPS = "not enough words to tell"
    GOES_ON = "they only listen, unless more follows"
    LIKELY = "two words, none of which surely asks for the floor by itself"
    FLOOR = "they want to speak"


def wish(text: str) -> Wish:
    """Of the words so far of somebody who speaks over the bot; they may break off in the middle of one."""
    words = _words(re.sub(r"\b(that|it) is\b", r"\1's", text, flags=re.IGNORECASE))
    rest = _words(re.sub(rf"\b(?:{_LISTENING})\b", " ", " ".join(words)))
    if rest and len(rest) < len(words) and set(rest) & _GO_ON and rest != ["i"]:  # `oh, I` may become `oh, I see`
        return Wish.FLOOR if set(rest) & _STOPS else Wish.GOES_ON
    if not words or (rest and set(rest) <= _MUMBLED):
        return Wish.PERHAPS
    if not rest:
        return Wish.NONE
    opening = set(rest) - _MUMBLED
    asking = [word for word in words if word in opening & _STOPS]
    if asking:  # a short last word may be half of another: `oh, no` becomes `oh, nice`
        half = len(asking) == 1 < len(words) and words[-1] == asking[0] and len(asking[0]) <= _SHORT
        return Wish.LIKELY if half else Wish.FLOOR
    if len(opening) > 2:
        return Wish.FLOOR
    return Wish.LIKELY if len(opening) == 2 else Wish.PERHAPS


def mumbled(text: str) -> bool:
    """Nothing in it that a recogniser does not also make of an `um-hmm`: any word of one syllable, when it stands alone."""
    words = _words(text)
    rest = _words(re.sub(rf"\b(?:{_LISTENING})\b", " ", " ".join(words)))
    alone = len(words) == 1 and words[0] not in _STOPS and len(_VOWELS.findall(words[0].rstrip("e"))) <= 1
    return set(rest) <= _MUMBLED or alone


def _words(text: str) -> list[str]:
    words = re.findall(r"[a-z0-9@]+(?:'[a-z]+)*", text.casefold().replace("\u2019", "'"))
    return [word.replace("o", "0").replace("l", "1") if _DIGITS_AND_O.fullmatch(word) else word for word in words]


_DIGITS_AND_O = re.compile(r"(?=.*\d)[\dol]+")
"""`2o2` and `l1`: digits that a recogniser wrote as the letters that look like them."""


# -- numbers, addresses, spelling --------------------------------------------------------------------------------------

_ASKED: tuple[tuple[Expects, str], ...] = (
    (
        "email",
        r"\be-?mail\b|\bmail address\b|\bwhere\b.*\b(?:send|sent|mail|mailed|receipt|confirmation|invoice)\b|\b(?:what|which) address\b",
    ),
    ("spelling", r"\bspell\b|\bletter by letter\b"),
    (
        "phone_number",
        r"\b(?:phone|telephone|mobile|cell|contact|callback)\b.*\b(?:number|contact)\b|\bnumber\b.*\b(?:call|reach|text|contact|phone)\b"
        r"|\bwhere can \w+(?: \w+)? (?:call|reach) you\b|\b(?:what|which) number\b(?!.*\b(?:order|account|policy|invoice)\b)",
    ),
    (
        "number",
        r"\b(?:order|account|policy|invoice|customer|reference|booking|tracking|card|serial|member|case|ticket)\b[\w ]*\bnumber\b"
        r"|\b(?:zip|post|postal|access|booking|security|confirmation|reference) ?code\b|\bsocial security\b",
    ),
    ("phone_number", r"\b(?:your|a|the|what|which|best|new|another|other) number\b(?! of)"),
)
_DIGIT = {
    **{str(n): 1 for n in range(10)},
    **dict.fromkeys(["zero", "oh", "o", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], 1),
}
_ZEROS = ("oh", "zero", "o")
"""Nobody answers with one of them alone."""
_LETTERS = re.compile(r"(?:[a-z]-)+[a-z]")
_ADDRESS_DONE = re.compile(r"(?:@|\bat\b).*(?:\.|\bdot\b) ?(?:com|org|net|edu|gov|info|biz|io|co|us|uk|de|ca)\W*$")
_DOMAIN_DONE = re.compile(r"(?:\.|\bdot |-)(?:com|org|net|edu|gov|info)\W*$")
_PROVIDERS = {"gmail", "yahoo", "hotmail", "outlook", "icloud", "aol"}
_PHONE_DIGITS = 10


def _tail_digits(words: list[str]) -> int:
    """Digits at the text's end."""
    count = 0
    for word in reversed(words):
        if word.isdigit():
            count += len(word)
        elif word in _DIGIT:
            count += 1
        elif word not in ("and", "double", "triple", "area", "code"):
            break
    return count


def _all_digits(words: list[str]) -> int:
    """A single digit in words (`I do not have one`) is none."""
    count = run = 0
    for word in [*words, ""]:
        if word in _DIGIT and not word.isdigit():
            run += 1
            continue
        count, run = count + (run if run > 1 else 0) + (len(word) if word.isdigit() else 0), 0
    return count


def _letters(words: list[str]) -> int:
    """Letters said one by one at the text's end."""
    count = 0
    for word in reversed(words):
        if (len(word) == 1 and word.isalpha()) or word in ("dot", "at", "dash", "underscore", "hyphen", "double"):
            count += 1
        else:
            break
    return count


def _spelled(text: str, words: list[str]) -> bool:
    """Somewhere letters are said one by one."""
    singles = sum(1 for word in words if len(word) == 1 and word.isalpha() and word not in ("i", "a"))
    return singles >= 2 or bool(_LETTERS.search(text.casefold()))


def _address_done(low: str, expects: Expects | None) -> bool:
    """An address with its last dot; where one was asked for, whatever became of its `at`."""
    return bool(_ADDRESS_DONE.search(low) or (expects == "email" and _DOMAIN_DONE.search(low)))


def _whole_value(text: str, words: list[str], expects: Expects | None) -> bool:
    low = text.casefold().strip()
    if _address_done(low, expects):
        return True
    digits = _all_digits(words)
    return expects in (None, "phone_number") and digits >= _PHONE_DIGITS + (words[0] == "1")


def _unfinished_value(text: str, words: list[str], expects: Expects | None) -> bool:
    low = text.casefold().strip()
    if _address_done(low, expects):
        return False
    tail, total = _tail_digits(words), _all_digits(words)
    spelled = _spelled(low, words)
    begun = total or (tail and (len(words) <= 2 or words[-2] == "is"))
    if expects == "phone_number" and begun and total < _PHONE_DIGITS:
        return True
    if tail and all(word in _DIGIT or word.isdigit() for word in words) and (len(words) > 1 or words[0] in _ZEROS):
        return total < _PHONE_DIGITS
    letter = any(len(word) == 1 and word.isalpha() and word not in ("i", "a") for word in words)
    if expects == "email" and (spelled or letter or "@" in low or len(words) <= 3 or words[-1] in ("at", "dot")):
        return True
    if letter and (len(words) == 1 or words[-1] in _PROVIDERS):
        return True
    if expects == "spelling" and (spelled or len(words[-1]) == 1 or len(words) <= 2):
        return True
    if expects == "number" and (tail or spelled or len(words[-1]) == 1):
        return True
    if spelled and (_letters(words) >= 1 or "@" in low or "at" in words):
        return True
    if _letters(words) >= 2 and words[-1] not in ("i", "a"):
        return True
    return 3 <= tail < _PHONE_DIGITS and not _is_quantity(low)


def _is_quantity(low: str) -> bool:
    """A time, an amount or a year rather than the beginning of a longer number."""
    return bool(re.search(r"[$€£]\s?[\d,.]+\W*$|\b\d{1,2}[:.]\d\d\W*$|\b(?:19|20)\d\d\W*$", low))


# -- sentences ---------------------------------------------------------------------------------------------------------

_NEEDS_MORE = {
    "a",
    "an",
    "the",
    "my",
    "your",
    "his",
    "her",
    "its",
    "our",
    "their",
    "this",
    "these",
    "those",
    "and",
    "or",
    "but",
    "because",
    "if",
    "unless",
    "until",
    "than",
    "to",
    "of",
    "for",
    "from",
    "with",
    "at",
    "on",
    "in",
    "into",
    "by",
    "about",
    "between",
    "around",
    "i'm",
    "i'll",
    "i've",
    "i'd",
    "we're",
    "we'll",
    "it's",
    "that's",
    "there's",
    "is",
    "are",
    "was",
    "were",
    "be",
    "am",
    "as",
    "so",
    "um",
    "uh",
    "er",
    "erm",
    "hmm",
    "well",
    "like",
    "maybe",
    "probably",
    "could",
    "would",
    "should",
    "can",
    "will",
    "might",
    "i",
    "you",
    "he",
    "she",
    "we",
    "they",
    "who",
    "which",
    "whose",
    "every",
    "some",
    "any",
    "no",
    "not",
    "very",
    "really",
    "just",
    "also",
    "then",
    "doctor",
    "mister",
    "missus",
    "miss",
}
"""After these a sentence goes on, unless it is a question or one of `_WHOLE`."""
_NEEDS_MORE_EVEN_ASKED = {
    "a",
    "an",
    "the",
    "my",
    "your",
    "his",
    "our",
    "their",
    "and",
    "or",
    "because",
    "um",
    "uh",
    "er",
    "erm",
}
_BREAKS = re.compile(
    r"\b(?:my name is|i would|i want|i need|i think|i guess|i was thinking|i was going|i have|i was wondering|let me(?: see| think)?"
    r"|(?:am|is|are|was|were|been|be|i'm|we're|keep|kept) (?:having|getting|taking|using|calling about|looking for|trying to|thinking of|talking about)"
    r"|(?:tell|told|remind) (?:him|her|them|you|me|us) that|i (?:think|hope|guess|believe) that"
    r"|can you|could you|would you|do you|is it|are you|what about|how about|the thing is|i don't|i can't|i'm not|we could|you could"
    r"|i sent it|put it|the other|at least|kind of|sort of|i mean|you know)$"
)
_WHOLE = re.compile(
    r"\b(?:(?:turn|switch|hold|hang|come|go|carry|log|get|move|drop|put|take|check|sign|pick) (?:on|in|off|by|over|up|out)|i think so|i hope so|i guess so|that's it|is it|like that|like this|as well"
    r"|i do|i did|i am|i can|i will|i would|i could|i have|i was|it is|it was|he is|she is|they are|we are|you are|that is|yes it's|who is it"
    r"|thank you|to you|for you|with you|about you|call you|hear you|reach you|see you|help you|tell you|know you|and you|how are you|who are you|are you|can you"
    r"|not really|i guess|of course not|why not|maybe not|of course|for me|about it|no|maybe|probably|well|very well|as well|all of them"
    r"|i don't|i can't|i'm not|i know|you know|me too|go to|want to|have to|like to|love to|need to|used to|told you to|next to"
    r"|not sure|sure|right|i think|so|not|not yet|then|until then|by then|this|like these|these|those|any|some|you could|you can|you will|you are)$"
)
_ALONE_OPEN = {"well", "um", "uh", "so", "hmm", "maybe", "probably", "like", "and", "but", "or", "er", "erm", "i"}
"""Alone they are no answer yet, but `maybe` and `no` may be; those wait a little all the same."""
_TO_ENDS = re.compile(
    r"\b(?:want|have|like|love|need|used|going|got|able|try|trying|supposed|ought|plan|planning|hoping) to$"
)


def _broken_off(text: str, words: list[str]) -> bool:
    low = " ".join(words)
    stripped = text.rstrip("\"')] ")
    if stripped.endswith(("...", "…", ",", "-", "\u2013", ":")):
        return True
    asked = stripped.endswith("?")
    last = words[-1]
    if len(words) == 2 and words[0] in _BEGINS_ONLY and not _WHOLE.search(low):
        return True
    if len(words) == 1:
        return last in _ALONE_OPEN or (
            last in _NEEDS_MORE and last not in ("no", "really", "well", "very", "then", "not")
        )
    if asked:
        return last in _NEEDS_MORE_EVEN_ASKED
    if _TO_ENDS.search(low) and not re.search(
        r"\b(?:don't|do not|didn't|not|never|really) (?:want|have|need|like) to$", low
    ):
        return True
    if _BREAKS.search(low) and len(words) <= 6:
        return True
    if _WHOLE.search(low):
        return False
    return last in _NEEDS_MORE


_BEGINNERS = {
    "yes",
    "yeah",
    "yep",
    "no",
    "nope",
    "sure",
    "okay",
    "ok",
    "hello",
    "hi",
    "right",
    "great",
    "good",
    "fine",
    "sorry",
    "oh",
    "ah",
}
"""An answer by themselves, and as often the first word of one."""
_SOME = 5
"""Words up to which a statement is an answer to what was asked."""
_SURELY_DONE = re.compile(
    r"\b(?:thank you|thanks|bye|goodbye|please|thank you very much|day|night|welcome|worries|problem)$"
)
_FEW = 3
"""Words that are often an answer and seldom get a full stop from a recogniser."""
_MADE_UP = re.compile(
    r"\b(?:in|on|at|of|behind|to|for|with|by|near|be|is|it's|have|change|from) (?:this|that|it|mine|these|those)$|\b(?:some|any|before|after|also)$"
    r"|\b(?:it's|it is) an? (?:\d+|\w+teen|\w+ty)(?: \w+ing)?$"
)
_SURELY = re.compile(
    r"\b(?:that's it|is that|is it|is this|was it|was that|for it|for that|for this|do it|about it|about that|to that|to it"
    r"|like that|like this|with that|with it|with this|have it|have that|not before|ever before|as before|the day before|the day after|me also)$"
)
_ASKED_FOR_MORE = re.compile(r"\b(?:also|in|with|it|to|on|at|for|from|have|get|make)$")
_BEGINS_ONLY = {"i'd", "i'll", "i've", "could", "would", "can", "do", "did", "let's"}


def _doubtful(text: str, words: list[str]) -> bool:
    low = " ".join(words)
    if text.rstrip("\"')] ").endswith("?"):
        return (
            words[0] in ("could", "can", "would", "do", "may") and bool(_ASKED_FOR_MORE.search(low)) and len(words) <= 8
        )
    if words[0] == "maybe" and 2 < len(words) <= _FEW:
        return True
    return bool(_MADE_UP.search(low)) and not _SURELY.search(low)


_LISTENING = (
    r"m+|mm+|hm+|h+m+|mhm|mm hmm|um hmm|um|uh|uh huh|huh|ah|aha|oh|ooh|yeah|yah|ya|yea|yep|yup|yes|okay|ok|okey|kay|right|sure|alright"
    r"|all right|i see|got it|gotcha|of course|great|good|fine|nice|cool|perfect|wonderful|excellent|exactly|absolutely|definitely"
    r"|sounds good|that's right|that's good|that's fine|that's great|i know|i understand|understood|no problem|true|really|interesting"
    r"|very good|makes? sense|fair enough|thank you|thanks"
)
_MUMBLED = {
    "a",
    "i",
    "i'm",
    "im",
    "m",
    "o",
    "amen",
    "amin",
    "amim",
    "ama",
    "amam",
    "amma",
    "am",
    "hum",
    "home",
    "mom",
    "mum",
    "umm",
    "chair",
    "here",
    "cure",
    "share",
    "go",
    "coo",
    "catcha",
    "thatcher",
    "attcha",
    "catcher",
    "that's",
    "it",
    "its",
    "now",
    "know",
    "up",
    "make",
    "but",
    "and",
    "so",
    "the",
    "you",
}
"""What recognisers make of `um-hmm`, `sure`, `gotcha`, `cool` and their like, and of the silence after a word; never enough alone."""
_SHORT = 3
"""Letters."""
_VOWELS = re.compile(r"[aeiouy]+")
_GO_ON = {"but", "so", "and", "i", "for"}
"""After a word that only says `I am listening` these lead on to more, if there is time for more."""
_STOPS = {
    "no",
    "nope",
    "wait",
    "stop",
    "start",
    "hold",
    "hang",
    "sorry",
    "excuse",
    "pardon",
    "hello",
    "hey",
    "hi",
    "listen",
    "look",
    "actually",
    "what",
    "what's",
    "who",
    "who's",
    "why",
    "when",
    "where",
    "how",
    "which",
    "can",
    "can't",
    "could",
    "couldn't",
    "do",
    "don't",
    "does",
    "did",
    "didn't",
    "is",
    "isn't",
    "are",
    "aren't",
    "was",
    "will",
    "would",
    "should",
    "let",
    "please",
    "question",
    "before",
    "one",
    "you've",
    "you're",
    "i've",
    "i'd",
    "i'll",
    "my",
    "we",
    "he",
    "she",
    "they",
    "not",
    "never",
    "need",
    "want",
    "wrong",
    "already",
    "just",
    "because",
    "if",
    "hear",
    "repeat",
    "again",
    "slow",
    "quick",
    "speak",
    "talk",
    "talking",
    "enough",
    "shut",
    "goodbye",
    "bye",
}
"""Words with which people take the floor: one of them is enough."""
