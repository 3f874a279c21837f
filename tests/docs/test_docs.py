"""The documentation is true: its projects are run, its examples are tried, its lists are complete."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# httpx keeps a table of its exceptions: an inner run must not import it anew.
import httpcore  # noqa: F401
import pytest

import pytest_ralph as ralph
from pytest_ralph.cli import COMMANDS
from pytest_ralph.core import policy, timeline
from pytest_ralph.core.registry import builtin
from pytest_ralph.core.skill import Skill, Spec, Status, scenarios_for
from pytest_ralph.engine.gates import Gate
from pytest_ralph.report import exits
from pytest_ralph.report.jsonfile import schema
from tests.docs.pages import DOCS, Block, Command, blocks, commands, name, pages, shows, table
from tests.harness import Project

PAGES = pages()
SKILLS = tuple(builtin())
# Imported now: inner runs forget what they import, and copies of a module do not know the other's keys.
MODULES = {
    info.name: importlib.import_module(info.name)
    for info in pkgutil.walk_packages(ralph.__path__, "pytest_ralph.")
}
_OPTION = re.compile(r"--ralph[\w-]*")
_RESULT = re.compile(r"gate|passed|failed|Error|no tests ran")


def text(page: str) -> str:
    """A page of the documentation."""
    return (DOCS / page).read_text(encoding="utf-8")


def of_pages(*languages: str) -> list[Block]:
    """The blocks in these languages, of all pages."""
    return [block for page in PAGES for block in blocks(page) if block.language in languages]


# -- what the pages show ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.caption for block in blocks(page))], ids=name
)
def test_projects_do_what_their_pages_say(project: Project, page: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file may change twice in a second
    folder = project.pytester.path
    shell = Shell(project)
    for block in blocks(page):
        if block.is_output:
            shown = (folder / block.caption).read_text(encoding="utf-8")
            check(block.content.splitlines(), shown, block.where)
        elif block.caption:
            target = folder / block.caption
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.content, encoding="utf-8")
        elif block.language == "console":
            for command in commands(block):
                output = shell.run(command)
                check(command.output, output, f"{block.where} $ {command.line}")


def check(shown: Sequence[str], whole: str, where: str) -> None:
    """Fail, with what should be shown, unless the page shows a part of it."""
    __tracebackhide__ = True
    if not shows(shown, whole.splitlines()):
        pytest.fail(f"{where}\nThe page does not show what it gives:\n{whole}", pytrace=False)


class Shell:
    """Runs the commands of a page."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._code: int | None = None

    def run(self, command: Command) -> str:
        """What a command prints."""
        if command.line == "echo $?":
            return str(self._code)
        words = shlex.split(command.line)
        if words[0] == "pytest" and not {"|", "-n"} & set(words):
            outcome = self._project.run(*words[1:])
            self._code = outcome.code
            return outcome.output
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            command.line,
            shell=True,
            cwd=self._project.pytester.path,
            env={**os.environ, "PATH": path, "PYTEST_ADDOPTS": "-p no:randomly"},
            capture_output=True,
            text=True,
            check=False,
        )
        self._code = done.returncode
        return done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_test_on_a_page_is_run_and_its_result_is_shown(page: Path):
    waiting: list[str] = []
    for block in blocks(page):
        if block.caption.startswith("test_"):
            waiting.append(block.where)
        for command in commands(block) if block.language == "console" else ():
            if command.line.startswith("pytest") and _RESULT.search("\n".join(command.output)):
                waiting.clear()

    assert waiting == []


@pytest.mark.parametrize("block", of_pages("python"), ids=lambda block: block.where)
def test_code_is_a_file_an_example_or_at_least_python(block: Block):
    tree = ast.parse("" if ">>>" in block.content else block.content)
    if not block.caption:
        exec(compile(tree, block.where, "exec"), {})

    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ralph"
    }
    assert used <= set(ralph.__all__)


@pytest.mark.parametrize("block", of_pages("python", "pycon"), ids=lambda block: block.where)
def test_interactive_examples(block: Block):
    examples = doctest.DocTestParser().get_doctest(
        block.content, {"ralph": ralph}, block.where, str(block.page), block.line
    )

    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples)

    assert result.failed == 0


@pytest.mark.parametrize("module", sorted(MODULES))
def test_examples_in_docstrings(module: str):
    result = doctest.testmod(MODULES[module], optionflags=doctest.ELLIPSIS)

    assert result.failed == 0


def test_most_public_names_have_an_example_that_was_run():
    # Guards against a finder that finds nothing.
    found = doctest.DocTestFinder().find(importlib.import_module("pytest_ralph.skills.retry"))

    assert any(each.examples for each in found)


# -- what the pages list ------------------------------------------------------------------------------------


def test_every_skill_has_a_page_and_every_page_a_skill():
    found = {page.stem for page in pages("reference/skills")} - {"index"}

    assert found == {skill.id for skill in SKILLS}


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.id)
def test_pages_of_skills_list_criteria_and_scenarios(skill: Skill):
    page = DOCS / f"reference/skills/{skill.id}.md"
    marker = re.search(r"^For `@(ralph\.[^`]*)`", text(name(page)), re.MULTILINE)
    assert marker is not None, "no line such as: For `@ralph.retry(max_retries=3)`"
    spec: Spec = eval(marker[1], {"ralph": ralph}).args[0]
    gate = Gate(feature="any", skill=skill, spec=spec)

    criteria = [[f"`{skill.id}.{each.id}`", each.kind, each.text(spec)] for each in gate.criteria]
    played = [
        [f"`{each.id}`", f"`{each.fault}`" if each.fault is not None else "none", str(each.times or "")]
        for each in scenarios_for(skill, spec)
    ]

    assert table(page, "criterion | kind | statement") == criteria
    assert table(page, "scenario | fault | attempts that meet it") == played


def test_every_fault_has_a_page_and_every_page_a_fault():
    found = {page.stem for page in pages("reference/faults")} - {"index"}

    assert found == {each.lower() for each in ralph.faults.__all__}


@pytest.mark.parametrize("fault", ralph.faults.__all__)
def test_pages_of_faults_document_the_class(fault: str):
    page = text(f"reference/faults/{fault.lower()}.md")

    assert page.startswith(f"# {fault}\n")
    assert f"autoclass:: pytest_ralph.faults.{fault}" in page


def test_every_public_name_is_documented():
    page = text("reference/python.md")

    for public in ralph.__all__:
        assert f"`ralph.{public}`" in page or f":: pytest_ralph.{public}\n" in page


def test_every_fixture_is_documented():
    plugin = importlib.import_module("pytest_ralph._plugin")
    fixtures = {each for each in vars(plugin) if each.startswith("ralph_")}
    headings = set(re.findall(r"^## `(\w+)`", text("reference/fixtures.md"), re.MULTILINE))

    assert headings == fixtures


def test_every_option_is_documented_and_no_other(project: Project):
    options = set(re.findall(r"^  (--ralph[\w-]*)", project.run("--help").output, re.MULTILINE))

    page = text("reference/options.md")
    assert set(re.findall(r"^\| `(--ralph[\w-]*)", page, re.MULTILINE)) == options
    for each in PAGES:
        assert set(_OPTION.findall(text(name(each)))) <= options, each


def test_every_event_is_documented():
    events = {
        each.__name__
        for each in vars(timeline).values()
        if isinstance(each, type) and issubclass(each, timeline.Event)
    }
    rows = table(DOCS / "reference/timeline.md", "event | when | its own attributes")

    assert {row[0].strip("`") for row in rows} == events - {"Event", "Wire"}
    for event, _, attributes in rows:
        wanted = getattr(timeline, event.strip("`")).__dataclass_fields__
        inherited = timeline.Event.__dataclass_fields__
        if issubclass(getattr(timeline, event.strip("`")), timeline.Wire):
            inherited = timeline.Wire.__dataclass_fields__
        assert re.findall(r"`(\w+)`", attributes) == [each for each in wanted if each not in inherited]


def test_every_field_of_the_report_is_documented():
    page = text("reference/report.md")
    documented = {row[0].strip("`") for row in table(DOCS / "reference/report.md", "field | meaning")}

    assert documented == set(_fields(schema(), schema()))
    for status in Status:
        assert f"| `{status}` |" in page


def _fields(part: dict[str, Any], whole: dict[str, Any], prefix: str = "") -> list[str]:
    """Every field of a schema, but not those of another one in it that has a name."""
    found = []
    for field, value in part.get("properties", {}).items():
        path = f"{prefix}{field}"
        found.append(path)
        found += _fields(value, whole, f"{path}.")
        for option in value.get("oneOf", ()):
            found += _fields(option, whole, f"{path}.")
        found += _fields(value.get("items", {}), whole, f"{path}[].")
    if not prefix:
        for named in ("skill", "evidence", "location"):
            (own,) = [
                each
                for each in whole["$defs"][named].get("oneOf", [whole["$defs"][named]])
                if "properties" in each
            ]
            found += _fields(own, whole, f"{named}.")
    return found


def test_the_schema_that_is_offered_is_the_one_in_use(project: Project):
    shown = Shell(project).run(Command(line="pytest-ralph schema", output=()))

    assert json.loads(shown) == schema()


def test_every_command_and_exit_code_is_documented():
    page = DOCS / "reference/command.md"
    commands_shown = [row[0].strip("`").split()[0] for row in table(page, "command | what it does")]
    codes_shown = {int(row[0]): row[1] for row in table(page, "code | meaning")}

    assert commands_shown == list(COMMANDS)
    assert set(codes_shown) == set(exits.MEANINGS)


def test_every_key_of_the_policy_is_documented():
    keys = {row[0].strip("`") for row in table(DOCS / "reference/policy.md", "key | meaning")}

    assert keys == set(policy.KEYS)


@pytest.mark.parametrize("block", of_pages("yaml"), ids=lambda block: block.where)
def test_pipelines_are_yaml(block: Block):
    yaml = pytest.importorskip("yaml")

    assert yaml.safe_load(block.content)
