"""Write a policy and a first gate, for a function or for a URL.

What is written is a beginning: the answers of the services and the arguments of the call are to be completed.
"""

from __future__ import annotations

import argparse
import ast
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pytest_ralph.cli.shared import Answer, UsageError
from pytest_ralph.report import policyfile
from pytest_ralph.report.jsonfile import replace

EXAMPLES = """\
  pytest-ralph init payments:charge
  pytest-ralph init src/shop/payments.py:charge
  pytest-ralph init https://api.pay.example/v1/charges"""

_POLICY = """\
# What a full run covers, and what every feature is gated with.
paths = ["tests"]
required = ["timeout"]
"""
_GATE = '''\
"""Production-readiness gates of {feature}."""

{imports}

@pytest.fixture(autouse=True)
def services(ralph_upstream):
{services}

@ralph.feature("{feature}")
@ralph.timeout(10)
@ralph.retry(max_retries=3)
def test_{name}():
    {call}
'''


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is to be gated.

    Attributes:
        feature: Its feature.
        name: Its name.
        imports: What the test has to import, besides pytest and pytest_ralph.
        call: How it is called.
        urls: What it calls itself.
    """

    feature: str
    name: str
    imports: tuple[str, ...]
    call: str
    urls: tuple[str, ...]


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("subject", help="module:function, path.py:function, or a URL")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    root = Path.cwd()
    subject = _of_url(options.subject) if "://" in options.subject else _of_function(options.subject, root)
    gate = root / "tests" / f"test_{subject.name}_ralph.py"
    if gate.exists():
        raise UsageError(f"{gate.relative_to(root)} is there already")
    written = [gate.relative_to(root).as_posix()]
    if not policyfile.find(root).file:
        shared = root / policyfile.SHARED
        text = "[tool.ralph]\n" + _POLICY if shared.exists() else _POLICY
        path = shared if shared.exists() else root / policyfile.OWN
        before = f"{shared.read_text(encoding='utf-8').rstrip()}\n\n" if shared.exists() else ""
        replace(path, before + text)
        written.insert(0, path.name)
    replace(gate, _written(subject))
    lines = [*(f"wrote {each}" for each in written), "complete the healthy answers, then: pytest --ralph"]
    return Answer(data={"written": written}, lines=lines)


def _of_url(url: str) -> Subject:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"expected a URL such as https://api.pay.example/v1/charges, got {url}")
    name = re.sub(r"\W+", "_", parts.hostname)
    call = f'urllib.request.urlopen("{url}", timeout=10).read()  # call your own code here'
    return Subject(feature=name, name=name, imports=("import urllib.request",), call=call, urls=(url,))


def _of_function(wanted: str, root: Path) -> Subject:
    module, _, name = wanted.rpartition(":")
    if not module or not name.isidentifier():
        raise UsageError(f"expected module:function, path.py:function or a URL, got {wanted}")
    path = _file(module, root)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    function = next(
        (
            each
            for each in tree.body
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and each.name == name
        ),
        None,
    )
    if function is None:
        raise UsageError(f"{path.relative_to(root)} has no function {name}")
    dotted = ".".join(
        each for each in path.relative_to(root).with_suffix("").parts if each not in ("src", "lib")
    )
    strings = [
        each.value
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    urls = tuple(dict.fromkeys(each for each in strings if re.match(r"https?://[^\s/]+", each)))
    required = function.args.args[: len(function.args.args) - len(function.args.defaults)]
    arguments = ", ".join(f"{each.arg}=..." for each in required)
    asynchronous = isinstance(function, ast.AsyncFunctionDef)
    call = f"{name}({arguments})"
    return Subject(
        feature=dotted.rpartition(".")[2],
        name=name,
        imports=(*(["import asyncio"] if asynchronous else []), f"from {dotted} import {name}"),
        call=f"asyncio.run({call})" if asynchronous else call,
        urls=urls,
    )


def _file(module: str, root: Path) -> Path:
    if module.endswith(".py"):
        candidates = [root / module]
    else:
        relative = Path(*module.split("."))
        candidates = [
            root / folder / each
            for folder in ("", "src", "lib")
            for each in (relative.with_suffix(".py"), relative / "__init__.py")
        ]
    for path in candidates:
        if path.is_file() and path.resolve().is_relative_to(root.resolve()):
            return path
    raise UsageError(f"there is no module {module} here")


def _written(subject: Subject) -> str:
    plain = [each for each in subject.imports if each.startswith("import ")]
    own = [each for each in subject.imports if each.startswith("from ")]
    imports = "\n".join(
        [*sorted(plain), *([""] if plain else []), "import pytest", "", "import pytest_ralph as ralph", *own]
    )
    services = []
    for url in subject.urls or ("https://api.example",):
        parts = urlsplit(url)
        services.append(f'    api = ralph_upstream("{parts.scheme}://{parts.netloc}")')
        path = parts.path or "/"
        services += [f'    api.add("{method}", "{path}", json={{}})  # healthy' for method in ("GET", "POST")]
    return _GATE.format(
        feature=subject.feature,
        imports=imports,
        services="\n".join(services),
        name=subject.name,
        call=subject.call,
    )
