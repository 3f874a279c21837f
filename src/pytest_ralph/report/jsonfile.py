"""The report as a JSON file: written whole or not at all."""

from __future__ import annotations

import hashlib
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
    replace(path, dumps(report))


def replace(path: Path, text: str) -> None:
    """Put a file in the place of another: whole or not at all.

    Args:
        path: Where to; folders are made as needed.
        text: What it is to hold.

    Raises:
        OSError: It cannot be written there. What stood there before is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
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


def digest(report: Mapping[str, Any]) -> str:
    """The digest of a report without its block of values that differ from run to run."""
    content = {key: value for key, value in report.items() if key != "run"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_intact(report: Mapping[str, Any]) -> bool:
    """Whether a report is as it was written: edited by hand it is not, by a program it may well be."""
    return bool(report["run"].get("digest") == digest(report))


def schema() -> dict[str, Any]:
    """The JSON Schema of the report."""
    text = (Path(__file__).parent / "report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
