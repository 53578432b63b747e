"""Small files, written whole or not at all."""

import json
from pathlib import Path
from typing import Any

from baldro.errors import BaldroError


def write_json(path: Path, value: Any) -> None:
    """Store a value as JSON: written beside, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(value, indent=2) + "\n")
    beside.replace(path)


def read_json(path: Path) -> Any:
    """The value of a JSON file; one that is not there or cut short is an error."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise BaldroError(f"{path} is not there; allowed: a file that an earlier verb wrote") from None
    except json.JSONDecodeError as error:
        raise BaldroError(f"{path}:{error.lineno}: not JSON ({error.msg}); is the file cut short?") from None
