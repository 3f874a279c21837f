"""A project with a careless client, under git, and the command run in it."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.cli import main

CLIENT = """
import requests

def charge():
    requests.post("http://api.pay.example/v1/charges", json={}, timeout=LIMIT)
"""
TEST = """
import pytest
import pytest_ralph as ralph
import client

@pytest.fixture
def api(ralph_upstream):
    ralph_upstream("http://api.pay.example").post("/v1/charges", json={"id": "ch_1"})

@ralph.feature("payments")
@ralph.timeout(10)
def test_charge(api):
    client.charge()
"""
# Plugins that are not needed cost something at each start, and there are many.
WITHOUT = (
    "anyio",
    "hypothesispytest",
    "pytest_cov",
    "pytest_httpx",
    "randomly",
    "rerunfailures",
    "respx",
    "socket",
    "timeout",
    "unraisableexception",
)
SETTINGS = f"""[pytest]
asyncio_default_fixture_loop_scope = function
pythonpath = .
addopts = {" ".join(f"-p no:{name}" for name in WITHOUT)}
"""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The project."""

    path: Path
    capsys: pytest.CaptureFixture[str]

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def limit(self, seconds: object) -> None:
        """Write the client with this timeout."""
        self.write("client.py", CLIENT.replace("LIMIT", str(seconds)))

    def ralph(self, *arguments: str) -> Done:
        """Run the command."""
        self.capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        out, err = self.capsys.readouterr()
        return Done(code=code, out=out, err=err)

    def git(self, *arguments: str) -> str:
        """Run git."""
        return subprocess.run(
            ["git", "-c", "user.name=ann", "-c", "user.email=ann@pay.example", *arguments],
            cwd=self.path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-qm", "Change it")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shop:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # a file may change twice in a second
    for name in [name for name in os.environ if name.startswith(("PYTEST_", "COV", "GIT_"))]:
        monkeypatch.delenv(name)
    made = Shop(path=tmp_path, capsys=capsys)
    made.write("pytest.ini", SETTINGS)
    made.write("test_it.py", TEST)
    made.write(".gitignore", ".ralph/\n__pycache__/\n.pytest_cache/\n")
    made.limit(30)
    return made
