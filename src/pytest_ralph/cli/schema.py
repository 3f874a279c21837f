"""Print the JSON Schema of the report."""

from __future__ import annotations

import argparse
import json

from pytest_ralph.cli.shared import Answer
from pytest_ralph.report.jsonfile import schema

EXAMPLES = """\
  pytest-ralph schema > report.schema.json"""


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    found = schema()
    return Answer(data=found, lines=[json.dumps(found, indent=1)])
