"""The ``pytest-ralph`` command. Judging is done by ``pytest --ralph``; this is for what stands around it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What stands after the command's name; from the command line by default.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="pytest-ralph",
        description="Tools around `pytest --ralph`, which judges the gates.",
        epilog="example: pytest-ralph schema > report.schema.json",
    )
    parser.add_argument("--version", action="version", version=f"pytest-ralph {version('pytest-ralph')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("schema", help="print the JSON Schema of the report")
    parser.parse_args(arguments)
    from pytest_ralph.report.jsonfile import schema

    print(json.dumps(schema(), indent=1))
    return 0
