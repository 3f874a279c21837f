"""Reads the pages of the documentation: their code blocks, and what those claim.

The convention: a page is a project. A code block with a caption is a file of it, a later one of the same
name replaces it, and a ``literalinclude`` with a caption copies one. A ``console`` block is run in that
project; what stands under a command is its output, where a line ``...`` stands for any number of lines. A
block whose caption begins with ``.ralph/`` shows a file that the run before it has written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"

_FENCE = re.compile(r"^(?P<fence>`{3,}|:{3,})(?P<info>.*)$")
_DIRECTIVE = re.compile(r"\{(?P<name>[\w-]+)\}\s*(?P<argument>.*)")
_OPTION = re.compile(r":(?P<name>[\w-]+):\s*(?P<value>.*)")
# What differs between runs, machines and widths of the terminal.
_VOLATILE = (
    (re.compile(r"\d+\.\d+s"), "0.00s"),
    (re.compile(r"0x[0-9a-f]+"), "0x0"),
    (re.compile(r"={3,}|_{3,}"), "==="),
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A code block of a page."""

    page: Path
    line: int
    language: str
    text: str
    caption: str = ""
    include: str = ""

    @property
    def where(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.relative_to(DOCS)}:{self.line}"

    @property
    def content(self) -> str:
        """The code, wherever it stands."""
        if self.include:
            return (self.page.parent / self.include).read_text(encoding="utf-8")
        return self.text

    @property
    def is_output(self) -> bool:
        """Whether it shows a file that a run has written."""
        return self.caption.startswith(".ralph/")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command on a page, and what the page says that it prints."""

    line: str
    output: tuple[str, ...]


def pages(under: str = "") -> list[Path]:
    """All pages, or those in one folder."""
    found = (DOCS / under).rglob("*.md")
    return sorted(page for page in found if not {"_build", "examples"} & set(page.parts))


def name(page: Path) -> str:
    """A page's name within the documentation."""
    return str(page.relative_to(DOCS))


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found = []
    number = 0
    while number < len(lines):
        start = _FENCE.match(lines[number])
        number += 1
        if start is None:
            continue
        begin = number
        while number < len(lines) and lines[number].rstrip() != start["fence"]:
            number += 1
        found.append(_block(page, begin, start["info"].strip(), lines[begin:number]))
        number += 1
    return found


def _block(page: Path, line: int, info: str, lines: Sequence[str]) -> Block:
    directive = _DIRECTIVE.fullmatch(info)
    if directive is None:
        return Block(page=page, line=line, language=info, text="\n".join(lines) + "\n")
    options = {}
    rest = list(lines)
    while rest and (option := _OPTION.fullmatch(rest[0])):
        options[option["name"]] = option["value"]
        rest.pop(0)
    while rest and not rest[0]:
        rest.pop(0)
    known = {"code-block": directive["argument"], "literalinclude": options.get("language", "")}
    return Block(
        page=page,
        line=line,
        language=known.get(directive["name"], directive["name"]),
        text="\n".join(rest) + "\n",
        caption=options.get("caption", ""),
        include=directive["argument"] if directive["name"] == "literalinclude" else "",
    )


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block."""
    lines = block.text.rstrip().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Command(line=lines[start][2:], output=tuple(lines[start + 1 : end]))


def shows(excerpt: Iterable[str], whole: Iterable[str]) -> bool:
    """Whether an excerpt, in which ``...`` stands for any number of lines, is one of the whole text."""
    wanted, given = _normal(excerpt), _normal(whole)
    parts = [list(lines) for gap, lines in groupby(wanted, lambda line: line.strip() == "...") if not gap]
    open_start, open_end = _is_gap(wanted[:1]), _is_gap(wanted[-1:])
    if not parts:
        return open_start or not given
    position = 0
    for number, part in enumerate(parts):
        first, last = number == 0 and not open_start, number == len(parts) - 1 and not open_end
        at = _find(part, given, position, first=first, last=last)
        if at is None:
            return False
        position = at + len(part)
    return True


def _find(part: list[str], given: list[str], start: int, *, first: bool, last: bool) -> int | None:
    final = len(given) - len(part)
    if first:
        places: Iterable[int] = (0,) if not last or final == 0 else ()
    else:
        places = (final,) if last else range(start, final + 1)
    return next((at for at in places if at >= start and given[at : at + len(part)] == part), None)


def _is_gap(lines: list[str]) -> bool:
    return [line.strip() for line in lines] == ["..."]


def _normal(lines: Iterable[str]) -> list[str]:
    normal = []
    for line in lines:
        for pattern, replacement in _VOLATILE:
            line = pattern.sub(replacement, line)
        normal.append(line.rstrip())
    while normal and not normal[-1]:
        normal.pop()
    return normal


def table(page: Path, header: str) -> list[list[str]]:
    """The rows of the first table on a page whose header begins with these cells."""
    lines = iter(page.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith(f"| {header} |"):
            next(lines)
            rows = []
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append([cell.strip() for cell in row.strip("|").split(" | ")])
            return rows
    return []
