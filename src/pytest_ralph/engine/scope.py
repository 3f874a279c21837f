"""What a run leaves out: only one that was asked for everything there is may be called green."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from pytest_ralph.core.policy import Policy

# What pytest collects, and with which options, is decided by these keys of its configuration.
COLLECTING = (
    "addopts",
    "testpaths",
    "python_files",
    "python_classes",
    "python_functions",
    "norecursedirs",
    "usefixtures",
    "pythonpath",
)
# Given on the command line, these leave out tests or put another configuration in place of the project's.
_NARROWING = ("--ignore", "--ignore-glob", "--deselect", "--pyargs", "--noconftest", "--confcutdir")
_REPLACING = ("-c", "--config-file", "--rootdir")


def left_out(config: pytest.Config, policy: Policy) -> list[str]:
    """Why a run does not cover everything, as it was written; nothing if it does.

    What pytest deselects is not told here: the report has it as not run.

    Args:
        config: The configuration.
        policy: What a full run covers, and which plugins may be loaded besides.
    """
    reasons = [f"--ralph-skill {each}" for each in config.getoption("ralph_skill")]
    reasons += [f"--ralph-feature {each}" for each in config.getoption("ralph_feature")]
    reasons += dict.fromkeys(_options(config))
    reasons += [f"-p {name}" for name in _plugins(config) if name not in policy.plugins]
    if not _covers(config, policy.paths):
        reasons.append(f"only {' '.join(_shown(config))}")
    return reasons


def _given(config: pytest.Config) -> list[str]:
    """What stands on the command line; the configuration's own ``addopts`` are not among it."""
    return [*map(str, config.invocation_params.args), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]


def _plugins(config: pytest.Config) -> Iterator[str]:
    """Plugins that this run alone loads: they may change any outcome."""
    given = _given(config)
    for number, argument in enumerate(given):
        name = argument[2:] or "".join(given[number + 1 : number + 2])
        if argument.startswith("-p") and not name.startswith("no:"):
            yield name
    yield from filter(None, os.environ.get("PYTEST_PLUGINS", "").split(","))


def _options(config: pytest.Config) -> Iterator[str]:
    given = _given(config)
    for number, argument in enumerate(given):
        name = argument.partition("=")[0]
        following = given[number + 1] if number + 1 < len(given) else ""
        if name in _NARROWING or name in _REPLACING or (argument[:2] == "-c" and argument[:3] != "-c="):
            yield name
        elif argument in ("-o", "--override-ini") and following.partition("=")[0] in COLLECTING:
            yield f"-o {following.partition('=')[0]}"
        elif argument[:2] == "-o" and argument[2:].partition("=")[0] in COLLECTING:
            yield f"-o {argument[2:].partition('=')[0]}"
        elif name == "--override-ini" and argument.partition("=")[2].partition("=")[0] in COLLECTING:
            yield f"-o {argument.partition('=')[2].partition('=')[0]}"


def _covers(config: pytest.Config, paths: Sequence[str]) -> bool:
    """Whether what was named holds all that a full run covers."""
    named = [
        (config.invocation_params.dir / argument).resolve()
        for argument in config.args
        if "::" not in argument
    ]
    if not paths and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        return True
    wanted = [config.rootpath / path for path in paths] or list(_testpaths(config)) or [config.rootpath]
    return all(_within(path.resolve(), named) for path in wanted)


def _testpaths(config: pytest.Config) -> Iterator[Path]:
    for pattern in config.getini("testpaths"):
        yield from sorted(config.rootpath.glob(pattern))


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)


def _shown(config: pytest.Config) -> list[str]:
    shown = [os.path.relpath(config.invocation_params.dir / each, config.rootpath) for each in config.args]
    return shown if len(shown) <= 3 else [*shown[:2], f"and {len(shown) - 2} more"]
