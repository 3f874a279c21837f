"""Digests of Python source that tell a change of meaning from one of layout, the same on every Python.

Comments, blank lines and quotes do not count. What a function uses is followed through its module: helpers,
constants and imports by name.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

Definition = ast.stmt
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What differs between versions of Python without meaning anything, and what says where a name is stored.
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def digest_of_file(path: Path) -> str:
    """The digest of a file: of its meaning if it is Python, else of its bytes; empty if it is not there."""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    if path.suffix == ".py":
        try:
            return _digest([ast.parse(content)])
        except (SyntaxError, ValueError):
            pass
    return hashlib.sha256(content).hexdigest()[:16]


class Module:
    """The source of a test module.

    Args:
        source: Its text.
    """

    def __init__(self, source: str | bytes) -> None:
        tree = ast.parse(source)
        self._definitions: dict[str, list[Definition]] = {}
        self._code: list[ast.stmt] = []
        for statement in tree.body:
            names = list(_defined(statement))
            for name in names:
                self._definitions.setdefault(name, []).append(statement)
            if not names and not _is_docstring(statement):
                self._code.append(statement)

    @property
    def code(self) -> str:
        """The digest of what the module does on import, besides defining things; empty if nothing."""
        return _digest(self._code) if self._code else ""

    def body(self, path: Sequence[str]) -> str:
        """The digest of a test function without its markers; empty if it is not found.

        Args:
            path: Names of its classes, and its own.
        """
        found = self._find(path)
        return _digest([_bare(found)]) if found is not None else ""

    def uses(self, path: Sequence[str], fixtures: Iterable[str] = ()) -> dict[str, str]:
        """The digests of what a test function uses of its module, by name.

        Args:
            path: Names of its classes, and its own.
            fixtures: Names of the fixtures it uses, directly or not.
        """
        function = self._find(path)
        waiting: list[ast.AST] = [] if function is None else [_bare(function)]
        wanted = set(fixtures)
        found: dict[str, str] = {}
        for owner in self._owners(path):
            # Setup methods, fixtures and constants of a class; its other tests are not its business.
            parts = [part for part in owner.body if not _name(part).startswith("test")]
            found[owner.name] = _digest([*owner.bases, *parts])
            waiting += [*owner.bases, *parts]
        for name, statements in self._definitions.items():
            if any(_fixture(each) & wanted for each in statements):
                found[name] = _digest(statements)
                waiting += statements
        while waiting:
            for name in _names(waiting.pop()):
                if name in self._definitions and name not in found:
                    found[name] = _digest(self._definitions[name])
                    waiting += self._definitions[name]
        if path:
            found.pop(path[-1], None)
        return dict(sorted(found.items()))

    def _owners(self, path: Sequence[str]) -> Iterator[ast.ClassDef]:
        body: Sequence[ast.stmt] = [each for group in self._definitions.values() for each in group]
        for name in path[:-1]:
            owner = _last(body, name)
            if not isinstance(owner, ast.ClassDef):
                return
            yield owner
            body = owner.body

    def _find(self, path: Sequence[str]) -> ast.stmt | None:
        owners = list(self._owners(path))
        if len(owners) != len(path) - 1:
            return None
        body = owners[-1].body if owners else [each for group in self._definitions.values() for each in group]
        found = _last(body, path[-1])
        return found if isinstance(found, _FUNCTIONS) else None


def _digest(nodes: Iterable[ast.AST]) -> str:
    text = "\n".join(_plain(node) for node in nodes)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _plain(value: object) -> str:
    """A syntax tree as text, without what differs between versions of Python."""
    if isinstance(value, ast.JoinedStr):
        return f"JoinedStr({','.join(_pieces(value))})"
    if isinstance(value, ast.AST):
        parts = (
            f"{name}={_plain(part)}"
            for name, part in ast.iter_fields(value)
            if name not in _IGNORED and part is not None and part != []
        )
        return f"{type(value).__name__}({','.join(parts)})"
    if isinstance(value, list):
        return f"[{','.join(map(_plain, value))}]"
    return repr(value)


def _pieces(string: ast.JoinedStr) -> Iterator[str]:
    """The parts of an f-string; its text is cut differently by different versions of Python."""
    text = ""
    for part in string.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
            continue
        yield repr(text)
        text = ""
        yield _plain(part)
    yield repr(text)


def _bare(function: ast.stmt) -> ast.stmt:
    """A function without its markers, which are read from the test itself."""
    if not isinstance(function, _FUNCTIONS):
        return function
    kept = [each for each in function.decorator_list if not _is_marker(each)]
    copy = type(function)(**dict(ast.iter_fields(function)))
    copy.decorator_list = kept
    # A test that was renamed is still the same test, and known by it.
    copy.name = "test"
    return copy


def _is_marker(decorator: ast.expr) -> bool:
    while isinstance(decorator, ast.Call):
        decorator = decorator.func
    words = ast.unparse(decorator).split(".")
    return words[0] in ("ralph", "pytest_ralph") or words[:2] == ["pytest", "mark"]


def _defined(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement defines, if that is all it does."""
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
            yield from (part.id for part in parts if isinstance(part, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _fixture(statement: ast.stmt) -> set[str]:
    """The name of the fixture that a function makes."""
    if not isinstance(statement, _FUNCTIONS):
        return set()
    for decorator in statement.decorator_list:
        call = decorator.func if isinstance(decorator, ast.Call) else decorator
        if "fixture" not in ast.unparse(call).rpartition(".")[2]:
            continue
        keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
        named = [
            each.value.value
            for each in keywords
            if each.arg == "name" and isinstance(each.value, ast.Constant)
        ]
        return {str(name) for name in named} or {statement.name}
    return set()


def _names(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id


def _name(statement: ast.stmt) -> str:
    return getattr(statement, "name", "")


def _last(body: Iterable[ast.stmt], name: str) -> ast.stmt | None:
    """The definition of a name that counts: the last one."""
    found = [each for each in body if _name(each) == name]
    return found[-1] if found else None
