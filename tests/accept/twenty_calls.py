"""Twenty ten-second calls over SIP with the default models, one after another in this process; prints a row of figures for each."""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from lab import persona, profile, template
from lab.carrier import Carrier
from lab.pace import Pace
from lab.runner import Lab, Order

CALLS = 20
PROFILE = Path("profiles/dental-reminder.yaml")


def figures() -> dict[str, Any]:
    gc.collect()
    me = psutil.Process()
    return {
        "rss_mb": round(me.memory_info().rss / 1e6, 1),
        "descriptors": me.num_fds(),
        "processes": len(me.children(recursive=True)),
        "workers_rss_mb": [round(c.memory_info().rss / 1e6, 1) for c in me.children(recursive=True)],
    }


async def hold(root: Path) -> list[dict[str, Any]]:
    bot = profile.load(PROFILE, overrides=["limits.max_duration=10s"])
    assert bot.lab_number
    assert bot.from_number
    resolved = bot.resolve({}, template.system(datetime.now(UTC), bot.timezone))
    order = Order(resolved, bot.lab_number, bot.from_number)
    carrier = Carrier((name, persona.load(path)) for name, path in persona.shipped().items())
    rows = []
    async with Lab(carrier, root) as lab:
        for number in range(CALLS):
            result = await lab.dial(order)
            rows.append({"call": number + 1, "seconds": result.call_duration_seconds, **figures()})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(Pace().run(lambda: hold(Path(folder)))))
