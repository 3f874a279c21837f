"""The ``pytest-ralph`` command. Judging is done by ``pytest --ralph``; this is for what stands around it.

One module for each command: `add` describes it to the parser, `run` does it and returns an `Answer`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version

from pytest_ralph.cli.shared import Answer, UsageError
from pytest_ralph.report import exits

COMMANDS = (
    "init",
    "run",
    "status",
    "next",
    "show",
    "explain",
    "diff",
    "merge",
    "judge",
    "lock",
    "verify",
    "waive",
    "dispute",
    "hook",
    "loop",
    "skill",
    "schema",
    "doctor",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What stands after the command's name; from the command line by default.

    Returns:
        The exit code, see `report.exits`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(_for_pytest(given))
    try:
        answer: Answer = options.run(options)
    except UsageError as error:
        print(f"pytest-ralph {options.command}: {error}", file=sys.stderr)
        return exits.USAGE
    except KeyboardInterrupt:
        print(f"pytest-ralph {options.command}: interrupted", file=sys.stderr)
        return exits.INCOMPLETE
    except Exception:  # noqa: BLE001 - whatever it is, it must not be taken for a verdict
        traceback.print_exc()
        print(f"pytest-ralph {options.command}: crashed; this is a bug, and no verdict", file=sys.stderr)
        return exits.CRASHED
    _show(answer, as_json=getattr(options, "json", False))
    return answer.code


def _show(answer: Answer, *, as_json: bool) -> None:
    lines = [json.dumps(answer.data, indent=1, ensure_ascii=False)] if as_json else answer.lines
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads, such as `head`, has seen enough. The interpreter flushes once more when it ends.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _for_pytest(arguments: list[str]) -> list[str]:
    """What stands after ``run`` is for pytest, options included, but for the few of its own."""
    if arguments[:1] != ["run"]:
        return arguments
    own = [each for each in arguments[1:] if each in _OF_RUN]
    return ["run", *own, "--", *(each for each in arguments[1:] if each not in (*_OF_RUN, "--"))]


_OF_RUN = ("--json", "--human", "-h", "--help")


class _Parser(argparse.ArgumentParser):
    """A parser whose usage errors have the exit code of usage errors: 2 is left to a crash."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(exits.USAGE, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command, for shell completion as well."""
    codes = "\n".join(f"  {code:3} {meaning}" for code, meaning in exits.MEANINGS.items())
    found = _Parser(
        prog="pytest-ralph",
        description="Tools around `pytest --ralph`, which judges the gates.",
        epilog=(
            "examples:\n  pytest-ralph init payments:charge\n  pytest-ralph run\n  pytest-ralph next\n"
            f"  pytest-ralph schema > report.schema.json\n\nexit codes:\n{codes}"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--version", action="version", version=f"pytest-ralph {version('pytest-ralph')}")
    _completion(found)
    commands = found.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"pytest_ralph.cli.{name}")
        told = (module.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=told.partition("\n")[0].rstrip("."),
            description=told,
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--json", action="store_true", help="print JSON")
        module.add(command)
        command.set_defaults(run=module.run)
    return found


def _completion(found: argparse.ArgumentParser) -> None:
    """Shell completion, where shtab is installed."""
    try:
        shtab = importlib.import_module("shtab")
    except ImportError:
        return
    shtab.add_argument_to(found, ["--print-completion"])
