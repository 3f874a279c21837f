from importlib.metadata import version as installed_version

project = "pytest-ralph"
author = "pytest-ralph contributors"
copyright = "2026, pytest-ralph contributors"  # noqa: A001 - the name is Sphinx's
release = version = installed_version("pytest-ralph")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples"]  # the examples are code: pages include them by literalinclude

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Signatures stay readable without their types, which the descriptions give in words.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# Docstrings name exceptions of Python, whose documentation is elsewhere.
nitpick_ignore_regex = [("py:exc", r"TypeError|ValueError|OSError|LookupError"), ("py:exc", "MarkerError")]

html_theme = "furo"
html_title = f"pytest-ralph {release}"
