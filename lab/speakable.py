"""What a language model writes, made fit to be said.

Decides: what of a written line is never spoken (labels, stage directions, markdown, a second speaker) and where the line ends.
Refuses to know: which model wrote it and whose voice will say it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_OWN_LABEL = re.compile(r"\s*(?:assistant|bot|agent|ai)\s*:\s*", re.IGNORECASE)
_NEXT_SPEAKER = re.compile(r"\s*(?:Customer|User|Caller|Human|Assistant|Bot|Agent)\s*:")
_DIRECTION = re.compile(r"\([^()\d]{0,60}\)|\[[^\[\]\d]{0,60}\]")
_OPENING_DIRECTION = re.compile(r"\*[^*]{1,60}\*(?!\*)\s*")
_UNFINISHED = re.compile(r"\s*(?:[(\[][^()\[\]]{0,60}|[\w'\u2019]*)$")
_UNFINISHED_OPENING = re.compile(r"\*[^*]{0,60}\*?$")
_UNSPOKEN = str.maketrans("", "", '"“”*`#')


def speakable(pieces: Iterable[str], limit: int) -> Iterator[str]:
    """One line to be said, cut at words' ends: no speaker labels, stage directions, quotation marks or markdown.

    It ends with the first paragraph, where the model begins to speak for somebody else, and after `limit` pieces with the
    last word that is whole; one piece more is taken to see whether it is.
    """
    held, begun = "", False
    for number, piece in enumerate(pieces):
        if number == limit:
            if not piece or re.match(r"[\w'\u2019]", piece):
                held = ""
            break
        held += piece
        if not begun:
            held = _OPENING_DIRECTION.sub("", _OWN_LABEL.sub("", held.lstrip(), count=1), count=1)
            if _UNFINISHED_OPENING.match(held):
                continue
        if _NEXT_SPEAKER.match(held):
            return
        held, paragraph_ends, _ = held.partition("\n")
        if paragraph_ends:
            break
        unfinished = _UNFINISHED.search(held)
        cut = unfinished.start() if unfinished else len(held)
        if text := _tidied(held[:cut]):
            begun = True
            yield text
        held = held[cut:]
    if text := _tidied(held):
        yield text


def _tidied(text: str) -> str:
    """`text` without what is not spoken; "" when only white space is left."""
    text = _DIRECTION.sub("", text).translate(_UNSPOKEN)
    return re.sub(r"\s+", " ", text) if text.strip() else ""
