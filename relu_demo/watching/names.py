"""How the user names things: the operation at a place, and the tensor that was saved there."""

from __future__ import annotations

import ast
import weakref
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from relu_demo.sanitizer.frames import user_frames
from relu_demo.sanitizer.makers import VIEWING
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import (
    calls_in,
    imported,
    is_sign_of,
    line_of,
    root,
    statement_at,
    statements_at,
    text_of,
)
from relu_demo.tensors.storage import key_of, shape_of
from relu_demo.watching.report import GIVING, NEW_DATA, Overwritten, Site

Modules = Mapping[int, tuple["weakref.ref[nn.Module]", str]]


def site(place: Place | None) -> Site | None:
    """Return a place with its line of source and with the operation as the user wrote it; None of None."""
    if place is None or place.file is None or place.line is None:
        return None
    return Site(place.file, place.line, line_of(place.file, place.line), operation(place), place.module)


def operation(place: Place) -> str:
    """Return the operation at a place as the user wrote it: `opt.step()`, `x += y`, `h[i] = y`; else PyTorch's name."""
    statement = statement_at(place.file, place.line)
    if statement is None:
        return place.operation
    bare = place.operation.strip("_")
    if isinstance(statement, ast.AugAssign):
        if is_sign_of(statement, place.operation) or bare == "setitem":
            return text_of(statement)
    elif (bare == "setitem" or place.operation == NEW_DATA) and isinstance(statement, ast.Assign):
        return text_of(statement)
    if place.operation in ("step", "backward"):
        for call in calls_in(statement, place.operation):
            return text_of(call)
    return place.operation


def went_backward(file: str, line: int) -> str:
    """Return the call that goes backward at a line as it is written: `g_loss.backward()`."""
    statement = statement_at(file, line)
    for name in ("backward", "grad"):
        for call in calls_in(statement, name) if statement is not None else ():
            return text_of(call)
    return "backward()"


def target_of(place: Place) -> ast.expr | None:
    """Return the expression that a line writes to: `x` of `x += y`, `x.mul_(2)`, `F.relu_(x)`; `h[i]` of `h[i] = y`."""
    statement, operation = statement_at(place.file, place.line), place.operation
    if isinstance(statement, ast.AugAssign):
        return statement.target
    if isinstance(statement, ast.Assign) and operation == "__setitem__":
        return next((target for target in statement.targets if isinstance(target, ast.Subscript)), None)
    for call in calls_in(statement, operation) if statement is not None else ():
        target = _target_of_call(call, place)
        if target is not None:
            return target
    if statement is not None and operation in GIVING:
        # Python's own name of what torch.from_dlpack(y) and numpy.asarray(y) ask for.
        first = (call.args[0] for call in ast.walk(statement) if isinstance(call, ast.Call) and call.args)
        return next(map(aliased, first), None)
    return None


def _target_of_call(call: ast.Call, place: Place) -> ast.expr | None:
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "out"), None)
    if given is not None:
        return given
    if isinstance(call.func, ast.Attribute) and not is_function(call, place):
        if place.operation in GIVING:
            return aliased(call.func.value)
        if place.operation.endswith("_"):
            return _first_of_chain(call.func.value)
    return call.args[0] if call.args else None


def is_function(call: ast.Call, place: Place) -> bool:
    """Return whether a call is of a module's function, `F.relu_(x)`, and not of a method, `x.relu_()`."""
    return isinstance(call.func, ast.Name) or root(call.func) in imported(place.file)


def _first_of_chain(node: ast.expr) -> ast.expr:
    """`x[0]` of `x[0].mul_(2).add_(1)`: what methods in place are chained on."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_"):
        node = node.func.value
    return node


def aliased(node: ast.expr) -> ast.expr:
    """Return the expression whose memory another has: `h` of `h[0].detach()`, of `h.view(-1)` and of `h.data`."""
    while True:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {*VIEWING, "cpu"}:
            node = node.func.value
        elif isinstance(node, ast.Subscript) or (isinstance(node, ast.Attribute) and node.attr in ("data", "T", "mT")):
            node = node.value
        else:
            return node


def overwritten(
    tensor: Tensor,
    version: int,
    owner: str,
    modules: Modules,
    writers: list[Place],
    elsewhere: bool = False,
    item: bool = False,
) -> Overwritten:
    """
    Return the tensor by the name that the user gives it.

    A parameter's or a buffer's path if the tensor shares the storage of one (`owner` is the module that saved it, the
    first to be asked); else the variable that the first write names; else none. `elsewhere`: that write was to another
    part of the same memory. `item`: it is an item of a list or of a dictionary.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    for name, state in _state(owner, modules):
        if key_of(state) == key_of(tensor):
            return Overwritten(name, tuple(state.shape), dtype, version)
    shape, note = shape_of(tensor), ""
    part = tensor._base is not None and tensor._base.numel() != tensor.numel()
    variable: str | None = None
    for place in writers[:1]:
        target = target_of(place)
        if target is not None and root(target) is not None:
            variable = text_of(target if item or (part and not elsewhere) else _whole(target))
    if part and tensor._base is not None:
        whole = variable if variable and elsewhere else "a tensor of shape"
        note = f"a view of {whole} {list(tensor._base.shape)}"
    return Overwritten(variable, shape, dtype, version, note)


def variable_of(tensor: Tensor) -> str | None:
    """Return the variable of the running function of the user's that is the tensor; None if none is."""
    frame = next((user.frame for user in user_frames()), None)
    held = frame.f_locals.items() if frame is not None else ()
    return next((name for name, value in held if value is tensor), None)


def _whole(node: ast.expr) -> ast.expr:
    """`h` of `h[done]`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def _state(owner: str, modules: Modules) -> Iterator[tuple[str, Tensor]]:
    """Each parameter and buffer of the modules that have run, with its path; those of `owner` first."""
    alive = [(name, module) for ref, name in modules.values() for module in [ref()] if module is not None]
    for name, module in sorted(alive, key=lambda pair: pair[0] != owner):
        for path, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            yield f"{name}.{path}", tensor


def loop_around(place: Place) -> ast.stmt | None:
    """Return the innermost loop that a place stands in, in its own function; None where there is none."""
    loop: ast.stmt | None = None
    for statement in statements_at(place.file, place.line):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            loop = None
        elif isinstance(statement, (ast.For, ast.While, ast.AsyncFor)):
            loop = statement
    return loop
