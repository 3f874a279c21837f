"""Judge what is committed, with the gates that another ref agreed upon.

A clean worktree of HEAD gets the lock, and every file under it, as they are at the ref: tests, conftest
files, configuration, policy. So nothing that was changed in them since then can make it green. Meant for CI.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_ralph.cli.shared import Answer, Run, UsageError, brief, headline, pytest
from pytest_ralph.report import exits, policyfile
from pytest_ralph.report.lock import FILE

EXAMPLES = """\
  pytest-ralph verify --ref origin/main
  pytest-ralph verify --ref v1.2 --json -- -n auto"""

# Where pytest finds its configuration, and what else decides what is judged.
_CONFIGURATION = (
    "pytest.ini",
    ".pytest.ini",
    "pytest.toml",
    ".pytest.toml",
    "pyproject.toml",
    "tox.ini",
    "setup.cfg",
)
_RESTORED = (FILE, policyfile.OWN, *_CONFIGURATION)


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument(
        "--ref", required=True, help="the ref with the lock that counts, such as origin/main"
    )
    command.add_argument("arguments", nargs="*", help="further arguments for pytest, after --")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    root = Path.cwd()
    top = Path(_git(root, "rev-parse", "--show-toplevel").strip())
    inside = root.resolve().relative_to(top.resolve())
    lock = _lock(root, options.ref, inside)
    dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no").strip())
    with _worktree(top) as tree:
        here = tree / inside
        as_committed = _as_committed(here, options.ref, inside)
        restored = _restore(tree, inside, options.ref, lock)
        done = pytest(
            ["--ralph-output=agent", *options.arguments], folder=here, environment=_environment(here)
        )
    return _answer(done, as_committed, restored, dirty=dirty)


def _answer(done: Run, as_committed: list[dict[str, str]], restored: list[str], *, dirty: bool) -> Answer:
    report = done.report
    told = [f"tampered {each['subject']}: {each['text']}" for each in as_committed]
    notes = [f"restored {each}" for each in restored]
    if dirty:
        notes.insert(0, "note: what is not committed is not judged")
    code = exits.TAMPERED if as_committed else done.verdict
    verdict = (
        "tampered: weaker than what was agreed upon" if as_committed else headline(report) if report else ""
    )
    return Answer(
        data={
            "code": code,
            "changes": as_committed,
            "restored": restored,
            "report": brief(report) if report else None,
        },
        lines=[*notes, *told, done.output.strip("\n"), f"verify: {verdict or 'nothing was judged'}"],
        code=code,
    )


def _lock(root: Path, ref: str, inside: Path) -> dict[str, Any]:
    """The lock at the ref.

    Raises:
        UsageError: There is no such ref, or no lock there.
    """
    _git(
        root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", problem=f"--ref: there is no ref {ref}"
    )
    text = _git(
        root,
        "show",
        f"{ref}:{(inside / FILE).as_posix()}",
        problem=f"--ref: there is no {FILE} at {ref}; a person runs pytest-ralph lock and commits it there",
    )
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{FILE} at {ref} cannot be read: {error}") from None
    return found


@contextmanager
def _worktree(top: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pytest-ralph-") as folder:
        tree = Path(folder) / top.name
        _git(top, "worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
        try:
            yield tree
        finally:
            _git(top, "worktree", "remove", "--force", str(tree))


def _as_committed(here: Path, ref: str, inside: Path) -> list[dict[str, str]]:
    """What is weaker in the commit itself than what the ref agreed upon."""
    own = (here / FILE).read_text(encoding="utf-8") if (here / FILE).exists() else None
    agreed = _git(here, "show", f"{ref}:{(inside / FILE).as_posix()}")
    (here / FILE).write_text(agreed, encoding="utf-8")
    found = pytest(
        ["--ralph-output=agent", "-p", "no:cacheprovider"], folder=here, environment=_environment(here)
    )
    changes = list(found.report["integrity"]["changes"]) if found.report else []
    if found.report is None:
        changes.append({"kind": "gate", "subject": "the commit", "text": "no gate of it can be judged"})
    if own is None:
        changes.insert(0, {"kind": "file", "subject": FILE, "text": "was removed"})
    return changes


def _restore(tree: Path, inside: Path, ref: str, lock: dict[str, Any]) -> list[str]:
    """Put back every locked file as it is at the ref; what is not there at the ref is removed."""
    tests = {test.partition("::")[0] for test in lock["tests"]}
    names = sorted({*_RESTORED, *tests, *lock["conftests"], *lock["files"], *lock["modules"]})
    # Conftest files that were added since may change any outcome.
    added = [path.relative_to(tree / inside).as_posix() for path in (tree / inside).rglob("conftest.py")]
    restored = []
    for name in sorted({*names, *added}):
        path = tree / inside / name
        before = path.read_bytes() if path.is_file() else None
        shown = subprocess.run(
            ["git", "show", f"{ref}:{(inside / name).as_posix()}"], cwd=tree, capture_output=True, check=False
        )
        after = shown.stdout if shown.returncode == 0 else None
        if after is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(after)
        if before != after and name != FILE:
            restored.append(name)
    return restored


def _environment(here: Path) -> dict[str, str]:
    """The worktree comes before a copy of the project that is installed for development."""
    paths = [str(here), str(here / "src"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(each for each in paths if each), "PYTEST_ADDOPTS": ""}


def _git(folder: Path, *arguments: str, problem: str = "") -> str:
    """What git prints.

    Raises:
        UsageError: It fails.
    """
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError("git is not installed") from None
    if done.returncode != 0:
        raise UsageError(problem or f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
