"""What the user calls a tensor and a module: by the variables that hold them, in the frames of the user's code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import FrameType
from typing import Any

from torch import Tensor, nn

from relu_demo.sanitizer.observer import operands
from relu_demo.sanitizer.source import expression_at, statements_at, value_of
from relu_demo.tensors.storage import key_of, region_of
from relu_demo.watching.callsite import user_frame

MOST_VARIABLES = 200
"""Variables of a frame that are looked at."""


def name_of(tensor: Tensor, frame: FrameType | None) -> str | None:
    """Return the name of a tensor that the running function of the user's has; a parameter's path; None if none."""
    return variable_of(tensor, frame) or parameter(tensor, frame)[0]


def variable_of(tensor: Tensor, frame: FrameType | None, by_memory: bool = False) -> str | None:
    """Return the variable of the running function of the user's, or the attribute of its `self`, that is the tensor.

    With `by_memory` the one that has its very memory. None if none does.
    """
    inner = user_frame(frame)
    key, region = key_of(tensor), region_of(tensor)
    held = dict(list(inner.f_locals.items())[:MOST_VARIABLES]) if inner is not None else {}
    owner = held.get("self")
    if not isinstance(owner, nn.Module):
        held |= {f"self.{name}": value for name, value in _attributes(owner)}
    for name, value in held.items():
        if value is tensor and not name.startswith("_"):
            return name
        if by_memory and isinstance(value, Tensor) and key_of(value) == key and region_of(value) == region:
            return name
    return None


def parameter(tensor: Tensor, frame: FrameType | None) -> tuple[str | None, Tensor | None]:
    """Return the parameter or buffer that has the tensor's storage, with its path, `critic.2.weight`."""
    key = key_of(tensor)
    if key is None:
        return None, None
    for name, module in modules_in(frame):
        for path, state in (*module.named_parameters(), *module.named_buffers()):
            if key_of(state) == key:
                return f"{name}.{path}", state
    return None, None


def module_path(module: nn.Module | None, frame: FrameType | None) -> str:
    """Return the path of a module, `critic.2`; the name of its class where no variable leads to it; "" of None."""
    if module is None:
        return ""
    for name, outer in modules_in(frame):
        for path, inner in outer.named_modules():
            if inner is module:
                return f"{name}.{path}" if path else name
    return type(module).__name__


def modules_in(frame: FrameType | None) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that variables hold, or an attribute of a `self` does: those of the outermost frame first."""
    frames: list[FrameType] = []
    inner = user_frame(frame)
    while inner is not None:
        frames.append(inner)
        inner = user_frame(inner.f_back)
    last: list[tuple[str, nn.Module]] = []
    for one in reversed(frames):
        for name, value in list(one.f_locals.items())[:MOST_VARIABLES]:
            if isinstance(value, nn.Module):
                # Inside of a network `self` is known to its caller by a better name.
                if name == "self":
                    last.append((name, value))
                else:
                    yield name, value
            elif name == "self":
                yield from ((f"self.{n}", v) for n, v in _attributes(value) if isinstance(v, nn.Module))
    yield from last


def _attributes(value: Any) -> list[tuple[str, Any]]:
    return list(getattr(value, "__dict__", {}).items())[:MOST_VARIABLES]


def writes_to_an_item(frame: FrameType | None) -> bool:
    """Return whether the running line of the user's writes to an item of a list or dictionary, `features[i] += y`."""
    inner = user_frame(frame)
    node = expression_at(inner.f_code, inner.f_lasti) if inner is not None else None
    if inner is None or not isinstance(node, (ast.AugAssign, ast.Assign)):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    held = [value_of(each.value, inner) for each in targets if isinstance(each, ast.Subscript)]
    return any(isinstance(value, (list, dict)) for value in held)


def carried_names(frame: FrameType | None) -> list[str]:
    """
    Return what carries a graph from step to step: attributes of modules, and variables of the loop around a backward.

    An attribute that is no leaf was computed and kept; a variable of a loop is carried if a round reads it before it
    binds it.
    """
    found: list[str] = []
    for name, outer in modules_in(frame):
        for path, module in outer.named_modules():
            kept = [(key, value) for key, value in vars(module).items() if isinstance(value, Tensor) and value.grad_fn]
            found += [".".join(filter(None, (name, path, key))) for key, _ in kept]
    inner = user_frame(frame)
    while inner is not None and not found:
        around = statements_at(inner.f_code.co_filename, inner.f_lineno)
        loop = next((each for each in reversed(around) if isinstance(each, (ast.For, ast.While))), None)
        read = _read_before_bound(loop) if loop is not None else ()
        held = ((name, inner.f_locals.get(name)) for name in read)
        found += [name for name, value in held if any(each.grad_fn is not None for _, each in operands((value,), {}))]
        inner = user_frame(inner.f_back)
    return list(dict.fromkeys(found))


def _read_before_bound(loop: ast.For | ast.While) -> list[str]:
    """Return the variables that a round of a loop reads before it binds them, and that it binds."""
    parts = [part for statement in loop.body for part in ast.walk(statement) if isinstance(part, ast.Name)]
    bound = {part.id: (part.lineno, part.col_offset) for part in reversed(parts) if isinstance(part.ctx, ast.Store)}
    read = {part.id: (part.lineno, 0) for part in reversed(parts) if isinstance(part.ctx, ast.Load)}
    return [name for name, at in read.items() if name in bound and at <= bound[name]]
