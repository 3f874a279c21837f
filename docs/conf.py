from importlib.metadata import version as installed_version

project = "pytest-ralph"
author = "pytest-ralph contributors"
copyright = "2026, pytest-ralph contributors"  # noqa: A001 - the name is Sphinx's
release = version = installed_version("pytest-ralph")

extensions = ["myst_parser"]
exclude_patterns = ["_build", "examples"]  # the examples are code: pages include them by literalinclude

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"pytest-ralph {release}"
