"""Analyses one-minute calls with the dental profile's default model, as after a call; prints the seconds each took."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from lab import analysis, events, models, profile, template
from lab.engines.llama import Llama
from lab.ports import Who

CALLS: list[list[str]] = [
    [
        "Hi, this is Robin from Oak Dental. Am I speaking with Jordan?",
        "Yes, this is Jordan speaking. What is it about, please?",
        "Your appointment is on Tuesday at ten thirty with Doctor Patel. Can you come?",
        "Tuesday at ten thirty. Let me have a look. Yes, that works for me, I will be there.",
        "Great. Do you have any questions about your visit?",
        "Yes, one thing. Is there parking near the clinic? Last time I had to walk quite a bit.",
        "Yes, there is free parking behind the building. Anything else?",
        "Do I need to bring anything with me this time?",
        "Please bring your insurance card. Is there anything else I can help with?",
        "No, that is everything, thank you very much.",
        "Thank you. Goodbye.",
        "Goodbye.",
    ],
    [
        "Hi, this is Robin from Oak Dental. Am I speaking with Jordan?",
        "Yes, hello, that is me. Is it about my appointment next week?",
        "Yes. It is on Tuesday at ten thirty with Doctor Patel. Can you come?",
        "Oh, I am afraid Tuesday is no good any more. Something came up at work and I cannot leave.",
        "I am sorry to hear that. You can call 202 555 0190 to find another time.",
        "All right. Do you think there is something free on Thursday afternoon?",
        "Please call 202 555 0190 and they will find a time for you.",
        "Fine, I will call them this afternoon and ask for Thursday.",
        "Thank you. Do you have any other questions?",
        "No, that was all. Thanks for the call.",
        "Thank you. Goodbye.",
        "Bye.",
    ],
    [
        "Hi, this is Robin from Oak Dental. Am I speaking with Jordan?",
        "Jordan? No, there is no Jordan here. I think you have got the wrong number.",
        "I am sorry. Is this the number of Jordan Lee?",
        "No, it is not. I have had this number for two years now and people keep calling for him.",
        "I am sorry for the trouble. I will take a note of that.",
        "Yes, please do. This is the third call this month, and it is rather annoying.",
        "I understand. We will not call this number again.",
        "Thank you, I would appreciate that.",
        "Thank you. Goodbye.",
        "Goodbye.",
    ],
]


def log_of(lines: list[str]) -> list[events.Event]:
    speakers: list[Who] = ["bot", "customer"]
    return [
        events.Said(
            at=5.0 * n, who=speakers[n % 2], turn=n + 1, text=line, heard=line, began=5.0 * n, ended=5.0 * n + 4
        )
        for n, line in enumerate(lines)
    ]


def main() -> list[float]:
    bot = profile.load(Path("profiles/dental-reminder.yaml"))
    bot = bot.resolve({}, template.system(datetime.now(UTC), bot.timezone)).profile
    assert bot.analysis
    schema, meanings = bot.analysis.json_schema(), bot.analysis.meanings()
    system = analysis.system(bot.analysis.instructions, schema, meanings)
    found = models.locate(bot.llm.model, "llm")
    llama = Llama(found.path, name=bot.llm.model, sha256=found.sha256, max_tokens=bot.llm.max_tokens)
    stop = threading.Event()
    llama.warm(bot.prompt, stop)
    took = []
    for lines in CALLS * 2:
        list(llama.respond(bot.prompt, [], stop))  # the talk's prompt was there before, as after a call
        began = time.monotonic()
        answer = "".join(llama.extract(system, analysis.text(log_of(lines)), schema, stop))
        took.append(time.monotonic() - began)
        print(analysis.read(answer, schema), round(took[-1], 2), file=sys.stderr, flush=True)
    return took


if __name__ == "__main__":
    print(json.dumps(main()))
