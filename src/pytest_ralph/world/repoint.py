"""Redirects built-in functions at the place every reference to them shares.

``from time import sleep`` copies a reference, so replacing ``time.sleep`` misses the copy. All copies are the
same built-in object, though, and that object points to a C method definition. This module points the object
at a definition that calls a Python function instead, which every alias, default argument and closure follows,
and points it back afterwards. Entries in the dictionaries of built-in types are replaced in the same spirit.

It relies on the memory layout of ``PyCFunctionObject`` (CPython 3.10 to 3.13, GIL builds): the one place in
the package that does, and `supported` says whether the running interpreter is one of these.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import sys
import sysconfig
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any

Undo = Callable[[], None]

_HEADER = object.__basicsize__
_WORD = ctypes.sizeof(ctypes.c_void_p)
_METH_VARARGS_KEYWORDS = 0x1 | 0x2


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("meth", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_void_p),
    )


class _Slots(ctypes.Structure):
    """The fields of ``PyCFunctionObject`` after the object header."""

    _fields_ = (
        ("definition", ctypes.c_void_p),
        ("receiver", ctypes.c_void_p),
        ("module", ctypes.c_void_p),
        ("weak_references", ctypes.c_void_p),
        ("vectorcall", ctypes.c_void_p),
    )


# Of these, module and weak references belong to whoever else uses the object.
_SHARED = slice(_Slots.module.offset, _Slots.vectorcall.offset)


def supported() -> str | None:
    """Why the virtual clock cannot work here, or None when it can."""
    if platform.python_implementation() != "CPython":
        return f"{platform.python_implementation()} is not CPython"
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return f"CPython {platform.python_version()} is not one of 3.10 to 3.13"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this is a free-threaded build of CPython"
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} is not Linux"
    return None


class Repointed:
    """A built-in function and a Python function that can take its place.

    Args:
        builtin: The built-in function, such as ``time.sleep``.
        replacement: What is called instead while it is installed.
    """

    def __init__(self, builtin: BuiltinFunctionType, replacement: Callable[..., Any]) -> None:
        if type(builtin) is not BuiltinFunctionType:
            raise TypeError(f"expected a built-in function, got {builtin!r}")
        self._address = id(builtin) + _HEADER
        slots = _Slots.from_buffer_copy(ctypes.string_at(self._address, ctypes.sizeof(_Slots)))
        old = _MethodDef.from_address(slots.definition or 0)
        # Anything that was called through this definition may still return into it: it is never freed.
        self._definition = _MethodDef(old.name, _PY_OBJECT_CALL, _METH_VARARGS_KEYWORDS, old.doc)
        _KEPT.append((self._definition, replacement))
        self._before = bytes(slots)
        slots.definition, slots.receiver = ctypes.addressof(self._definition), id(replacement)
        slots.vectorcall = None
        self._after = bytes(slots)

    def install(self) -> Undo:
        """Redirect the built-in. Returns what puts it back."""
        self._write(self._after)
        return self._restore

    def _restore(self) -> None:
        self._write(self._before)

    def _write(self, slots: bytes) -> None:
        """Set three of the slots; module and weak references stay what they are by now."""
        now = ctypes.string_at(self._address + _SHARED.start, _SHARED.stop - _SHARED.start)
        # One copy with the GIL held: no other thread can see half of it.
        _MEMMOVE(self._address, slots[: _SHARED.start] + now + slots[_SHARED.stop :], ctypes.sizeof(_Slots))


def original(builtin: BuiltinFunctionType) -> Callable[..., Any]:
    """A second built-in object that always does what ``builtin`` does now."""
    slots = _Slots.from_buffer_copy(ctypes.string_at(id(builtin) + _HEADER, ctypes.sizeof(_Slots)))
    copy: Callable[..., Any] = _NEW_BUILTIN(slots.definition, slots.receiver, slots.module)
    return copy


def replace_in_type(owner: type, name: str, replacement: object) -> Undo:
    """Replace an entry in the dictionary of a built-in type. Returns what puts it back."""
    namespace = gc.get_referents(owner.__dict__)[0]
    before = namespace[name]
    namespace[name] = replacement
    _TYPE_MODIFIED(owner)

    def restore() -> None:
        namespace[name] = before
        _TYPE_MODIFIED(owner)

    return restore


_KEPT: list[object] = []
_API = ctypes.PyDLL(None)
_MEMMOVE = _API.memmove
_MEMMOVE.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
_MEMMOVE.restype = ctypes.c_void_p
_TYPE_MODIFIED = _API.PyType_Modified
_TYPE_MODIFIED.argtypes = (ctypes.py_object,)
_TYPE_MODIFIED.restype = None
_NEW_BUILTIN = _API.PyCFunction_NewEx
_NEW_BUILTIN.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_NEW_BUILTIN.restype = ctypes.py_object
_PY_OBJECT_CALL = ctypes.cast(_API.PyObject_Call, ctypes.c_void_p).value
