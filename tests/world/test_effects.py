"""What a program does to files and processes is on the timeline; what the interpreter and logs do is not."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_ralph.core.timeline import FileChanged, ProcessStarted
from pytest_ralph.world.world import World
from tests.worlds import entered

Live = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write() -> None:
    Path("a.txt").write_text("a", encoding="utf-8")


def append() -> None:
    with open("a.txt", "a", encoding="utf-8") as file:
        file.write("a")


def with_descriptor() -> None:
    os.close(os.open("a.txt", os.O_WRONLY | os.O_CREAT))


def rename() -> None:
    os.rename("there.txt", "a.txt")


def remove() -> None:
    Path("there.txt").unlink()


def make_folder() -> None:
    os.makedirs("b/c")


def copy() -> None:
    shutil.copyfile("there.txt", "a.txt")


def database() -> None:
    sqlite3.connect("a.db").close()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("act", "changes"),
    [
        (write, [("open for writing", "a.txt")]),
        (append, [("open for writing", "a.txt")]),
        (with_descriptor, [("open for writing", "a.txt")]),
        (rename, [("rename", "there.txt")]),
        (remove, [("remove", "there.txt")]),
        (make_folder, [("make folder", "b"), ("make folder", "c")]),
        (copy, [("open for writing", "a.txt")]),
        (database, [("open database", "a.db")]),
    ],
)
def test_changes_of_files(world: World, live: Live, act: Callable[[], None], changes: list[tuple[str, str]]):
    Path("there.txt").touch()
    live(act)

    events = world.timeline.of(FileChanged)
    assert [(event.how, event.path.split(" ")[0].rpartition("/")[2]) for event in events] == changes
    assert all(event.location is not None and event.location.function == act.__name__ for event in events)
    assert all(event.crosses for event in events)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("act", "command"),
    [
        (lambda: subprocess.run(["true", "a b"], check=True), "true a b"),
        (lambda: subprocess.run("true", shell=True, check=True), "/bin/sh -c true"),
        (lambda: os.system("true"), "true"),
        (lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0), "/bin/true"),
    ],
    ids=["run", "shell", "system", "spawn"],
)
def test_processes(world: World, live: Live, act: Callable[[], Any], command: str):
    live(act)

    (event,) = world.timeline.of(ProcessStarted)
    assert event.command == command
    assert event.text() == f"start process {command}"
    assert event.location is not None


def test_what_is_no_effect(world: World, live: Live, folder: Path, monkeypatch: pytest.MonkeyPatch):
    Path("there.txt").touch()
    Path("fresh.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    def act() -> None:
        Path("there.txt").read_text(encoding="utf-8")
        os.stat("there.txt")
        os.listdir(".")
        with open(os.devnull, "w", encoding="utf-8") as file:
            print("nothing", file=file)
        __import__("fresh")
        handler = logging.FileHandler("log.txt", delay=True)
        handler.emit(logging.makeLogRecord({"msg": "logged"}))
        handler.close()
        sqlite3.connect(":memory:").close()

    live(act)

    assert Path("log.txt").exists()
    assert list(Path("__pycache__").iterdir())
    assert world.timeline.of(FileChanged, ProcessStarted) == []
    sys.modules.pop("fresh", None)


def test_a_handler_of_the_programs_own_that_writes_elsewhere_is_an_effect(
    world: World, live: Live, folder: Path
):
    class Audit(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            Path("audit.txt").write_text(record.getMessage(), encoding="utf-8")

    logger = logging.Logger("audited")
    logger.addHandler(Audit())

    live(lambda: logger.error("written"))

    assert [event.how for event in world.timeline.of(FileChanged)] == ["open for writing"]


def test_names_of_temporary_files_are_the_same_on_every_run():
    texts = []
    for _ in range(2):
        with entered() as world:
            tempfile.NamedTemporaryFile(suffix=".pdf").close()
        texts.append([event.text() for event in world.timeline.of(FileChanged)])

    assert texts[0] == texts[1]
    assert "open for writing tmp....pdf in the folder for temporary files" in texts[0]


def test_nothing_is_recorded_outside_of_worlds(world: World, live: Live, folder: Path):
    live(write)
    append()

    assert len(world.timeline.of(FileChanged)) == 1
