"""What is worth a look: memory that is written to through one variable and then read through another.

One rule, in one function of the user's (or at the top of a script): two names have the same memory; a call with
`inplace=`, a method in place whose result is used, or an augmented assignment writes to it; and then it is read through
the name that did not get the result. It may be meant.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from inspect import signature
from types import CodeType, FrameType
from typing import Any

from torch import Tensor, nn

from relu_demo.sanitizer.frames import is_users
from relu_demo.sanitizer.source import expression_at, statement_at
from relu_demo.tensors.storage import Region, key_of, overlap, region_of, weak_ref
from relu_demo.watching.attribution import STAND_IN
from relu_demo.watching.callsite import CallSite, call_site, user_frame
from relu_demo.watching.findings import site_of
from relu_demo.watching.report import ALIAS_READ, Site, WorthALook

MOST_PENDING = 64
"""Writes that are followed at a time."""


@dataclass(frozen=True)
class _Pending:
    code: CodeType
    names: frozenset[str]
    """The variables that have the memory, but for those that get the result."""
    key: int
    region: Region | None
    storage: Any
    """Keeps the key from being another storage's."""
    site: CallSite
    line: int


class Aliases:
    """The writes that are followed, and the reads that were found."""

    def __init__(self) -> None:
        self.found: dict[object, WorthALook] = {}
        """Each pair of lines once, in order."""
        self.pending: dict[int, _Pending] = {}
        """By storage, the write that came last."""

    def wrote(self, operation: str, args: Any, by_switch: bool, frame: FrameType) -> None:
        """Follow a write, if another variable has the memory. `by_switch`: it was asked for by `inplace=`."""
        target = args[0] if args else None
        inner = user_frame(frame) if by_switch else frame if is_users(frame.f_code.co_filename) else None
        if not isinstance(target, Tensor) or inner is None:
            return
        bound = _bound(inner.f_code, inner.f_lasti, by_switch)
        key = key_of(target) if bound is not None else None
        if bound is None or key is None:
            return
        region = region_of(target)
        others = [
            name
            for name, value in inner.f_locals.items()
            if isinstance(value, Tensor) and name not in bound and _is_in(value, key, region)
        ]
        if others:
            if len(self.pending) >= MOST_PENDING:
                self.pending.clear()
            site = call_site(operation, frame)
            self.pending[key] = _Pending(
                inner.f_code, frozenset(others), key, region, weak_ref(target), site, inner.f_lineno
            )

    def read(self, tensor: Tensor, frame: FrameType) -> None:
        """Look whether a function reads through another name what was written to. Its storage is in `pending`."""
        pending = self.pending[key_of(tensor) or 0]
        found = _reading(pending, tensor, frame)
        if found is None:
            return
        inner, name = found
        del self.pending[pending.key]
        written, read = site_of(pending.site, None), site_of(CallSite("read", ((inner.f_code, inner.f_lasti),)), None)
        if written is not None and read is not None:
            look = WorthALook(written, read, name, ALIAS_READ, _settled_by(inner.f_locals.get("self"), read))
            self.found.setdefault((written.file, written.line, read.line), look)


def _settled_by(owner: object, read: Site) -> str:
    """Return the command that checks a network by its class; empty where nobody can build that without arguments."""
    if not isinstance(owner, nn.Module) or not read.file.endswith(".py"):
        return ""
    needed = [each for each in signature(type(owner)).parameters.values() if each.default is each.empty]
    is_built = all(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in needed)
    return f"relu-demo check {read.file}:{type(owner).__name__}" if is_built else ""


def _is_in(value: Tensor, key: int, region: Region | None) -> bool:
    return key_of(value) == key and overlap(region_of(value), region)


def _reading(pending: _Pending, tensor: Tensor, frame: FrameType | None) -> tuple[FrameType, str] | None:
    """Return the frame of the write, and the name through which it reads the tensor now; None if it does not."""
    while frame is not None and frame.f_code is not pending.code:
        frame = frame.f_back
    if frame is None or not overlap(region_of(tensor), pending.region):
        return None
    if frame.f_lineno == pending.line:  # the statement that writes goes on with the result
        return None
    loaded = _loaded(frame.f_code, frame.f_lasti) & pending.names
    for name in loaded:
        value = frame.f_locals.get(name)
        if isinstance(value, Tensor) and _is_in(value, pending.key, pending.region):
            return frame, name
    return None


def _loaded(code: CodeType, instruction: int) -> frozenset[str]:
    """Return the variables that the running expression loads."""
    node = expression_at(code, instruction)
    if isinstance(node, ast.AugAssign):
        node = node.value
    parts = ast.walk(node) if node is not None else ()
    return frozenset(part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load))


def _bound(code: CodeType, instruction: int, by_switch: bool) -> frozenset[str] | None:
    """Return the variables that get the result of a write; None where that is dropped, or a statement of its own.

    A call with `inplace=` that is a statement is written for the variables in it.
    """
    node = expression_at(code, instruction)
    if node is None or code.co_name == STAND_IN:
        return None
    statement = statement_at(code.co_filename, getattr(node, "lineno", None), node)
    if isinstance(statement, ast.AugAssign):
        return frozenset({statement.target.id}) if isinstance(statement.target, ast.Name) else None
    if isinstance(statement, ast.Expr):
        names = (part.id for part in ast.walk(statement) if isinstance(part, ast.Name))
        return frozenset(names) if by_switch else None
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return frozenset(part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
    return frozenset() if isinstance(statement, (ast.Return, ast.If, ast.While)) else None
