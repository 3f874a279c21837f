"""What the README shows is what one gets."""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness import Project

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_example_gives_the_output_shown(project: Project, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    test, client = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (shown,) = re.findall(r"```console\n\$ pytest --ralph\n(.*?)```", README, re.DOTALL)
    (project.pytester.path / "test_payments.py").write_text(test)
    (project.pytester.path / "payments.py").write_text(client)

    output = project.run_apart("--ralph", "-q", "--tb=no").output

    assert shown in output
    assert len(test.strip().splitlines()) <= 15


def test_the_files_it_names_are_there():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (Path(__file__).parents[2] / target).exists(), target
