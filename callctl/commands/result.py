"""`callctl result`: the call-result document as a format.

Decides: how what is wrong with a document is listed. Refuses to know: what a call result is (lab.result does).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.errors import ConfigError, ExpectationFailed

app = typer.Typer(help="The call-result document: validate one, print its schema.", no_args_is_help=True)


@app.command()
def validate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A result.json; `-` reads standard input.")],
) -> None:
    """Check a document against the format; what is wrong comes one to a line."""
    from pydantic import ValidationError

    from callctl.plain import printable
    from lab.result import CallResult

    try:
        CallResult.model_validate_json(json.dumps(_read(file)))
    except ValidationError as error:
        found = error.errors(include_url=False)
        for problem in found:
            typer.echo(f"{_path(problem['loc'])}: {printable(_words(problem['type'], problem['msg']))}")
        raise ExpectationFailed(
            f"not a call result: {len(found)} {'problem' if len(found) == 1 else 'problems'}",
            where=file,
            hint="`callctl result schema` prints the format",
        ) from None
    typer.echo(f"{file}: valid")


@app.command()
def schema() -> None:
    """Print the format as JSON Schema."""
    from lab.result import json_schema

    typer.echo(json.dumps(json_schema(), ensure_ascii=False, indent=2))


def _read(file: str) -> Any:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return json.loads(content)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=file) from None
    except UnicodeDecodeError:
        raise ConfigError("not text in UTF-8", where=file, hint="give the result.json of a call") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error.msg}", where=f"{file}:{error.lineno}:{error.colno}") from None


def _path(loc: Sequence[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)


def _words(kind: str, message: str) -> str:
    match kind:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not part of a call result"
    return message.removeprefix("Input ")
