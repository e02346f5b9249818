"""Acceptance runs: steps whose figures are kept as JSON, so that a run that was cut off goes on where it stopped.

python -m tests.accept.a            run what is missing
python -m tests.accept.a --fresh    run everything again
python -m tests.accept.a STEP…      run these steps again
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Step = Callable[[], dict[str, Any]]
ROOT = Path(__file__).parents[2]


def main(name: str, steps: Mapping[str, Step]) -> int:
    """Run the steps; each answers with figures and `held`: whether its sentence held. Exit 1 unless all did."""
    path = ROOT / "recordings" / "accept" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    asked = [a for a in sys.argv[1:] if not a.startswith("-")]
    unknown = set(asked) - set(steps)
    if unknown:
        print(f"no such step: {', '.join(sorted(unknown))}; there are {', '.join(steps)}", file=sys.stderr)
        return 2
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() and "--fresh" not in sys.argv else {}
    for step in asked:
        kept.pop(step, None)
    for step, run in steps.items():
        if step in kept or (asked and step not in asked):
            continue
        print(f"== {step}", file=sys.stderr, flush=True)
        began = time.monotonic()
        figures = run()
        kept[step] = {**figures, "seconds": round(time.monotonic() - began, 1)}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
        print(json.dumps({step: kept[step]}, ensure_ascii=False), flush=True)
    failed = [step for step, figures in kept.items() if not figures["held"]]
    print(f"{len(kept) - len(failed)} of {len(steps)} held" + (f"; not: {', '.join(failed)}" if failed else ""))
    return 1 if failed or len(kept) < len(steps) else 0
