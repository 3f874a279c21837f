"""The report as a JSON file: written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def dumps(report: Mapping[str, Any]) -> str:
    """The report as text: the same report gives the same bytes."""
    return json.dumps(report, indent=1, ensure_ascii=False, sort_keys=False) + "\n"


def write(report: Mapping[str, Any], path: Path) -> None:
    """Write a report.

    Args:
        report: From `model.build`.
        path: Where to; folders are made as needed.

    Raises:
        OSError: It cannot be written there. What stood there before is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(dumps(report))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def check_writable(path: Path) -> None:
    """Make sure a report can be written, before anything is run.

    Raises:
        OSError: It cannot.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def schema() -> dict[str, Any]:
    """The JSON Schema of the report."""
    text = (Path(__file__).parent / "report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
