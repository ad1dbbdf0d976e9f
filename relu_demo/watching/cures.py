"""What to do about a fault, found from what the user wrote: each pattern beside its advice, the first that fits."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import (
    AUGMENTED,
    SIGNS,
    assigned,
    called,
    calls_in,
    root,
    statement_at,
    statements_at,
    text_of,
)
from relu_demo.watching.names import aliased, is_function, loop_around, operation, target_of, went_backward
from relu_demo.watching.report import GIVING

NEW = {"zero_": "torch.zeros_like({x})", "fill_": "torch.full_like({x}, ...)", "copy_": "torch.clone(...)"}
"""What makes the tensor that a method in place makes of another, where PyTorch has no such method out of place."""


@dataclass(frozen=True)
class Case:
    """What a cure is chosen by: the saver, the first writer, the backward, and the tensor's name."""

    saver: Place
    writer: Place | None
    backward: Place
    tensor: str | None
    is_state: bool
    """Whether the tensor is a parameter or a buffer of a module."""
    earlier_step: bool
    silent: bool
    mask_lacks: int = 0
    """How many dimensions fewer than the tensor a mask has that it is written to with."""

    @property
    def statement(self) -> ast.stmt | None:
        """The writer's statement."""
        return None if self.writer is None else statement_at(self.writer.file, self.writer.line)


Pattern = Callable[[Case], str | None]


def cure_of(case: Case) -> str:
    """Return what to do, in one line."""
    return next(says for pattern in PATTERNS for says in [pattern(case)] if says is not None)


def not_watched(case: Case) -> str | None:
    """Nobody saw the write."""
    if case.writer is not None:
        return None
    return "the write was not watched: it ran before, after or beside the watch; clone() what is saved, to be safe"


def given_to_numpy(case: Case) -> str | None:
    """NumPy has the memory, and wrote to it."""
    assert case.writer is not None
    if case.writer.operation not in GIVING:
        return None
    name = case.tensor or "it"
    if case.writer.operation == "numpy":
        return f"{name}.detach().clone().numpy(): without clone() the array and the tensor are one memory"
    return f"give {name}.detach().clone() there: what is made and the tensor are one memory"


def graph_kept(case: Case) -> str | None:
    """The backward goes on into the graph of an earlier step."""
    if not case.earlier_step:
        return None
    loss = _accumulated(case.backward)
    if loss is not None:
        return f"add a number or {loss}.detach(): `{loss}` holds the graphs of all earlier steps"
    return "detach() what is carried from step to step: through it this backward goes on into an earlier step's graph"


def optimizer_step(case: Case) -> str | None:
    """An optimizer's step between a forward and its backward."""
    assert case.writer is not None
    if case.writer.operation != "step":
        return None
    step, backward = operation(case.writer), _backward(case)
    loss = backward.partition(".backward")[0] if ".backward" in backward else "that loss"
    return f"compute {loss} after {step}, or call {step} after {backward}{_begin_of(loss, case)}"


def _begin_of(loss: str, case: Case) -> str:
    """Say where the statements begin that compute a loss, if they are several: all of them have to run again."""
    saver, backward = case.saver, case.backward
    statement = statement_at(saver.file, saver.line)
    if statement is None or saver.file != backward.file or _function(saver) != _function(backward):
        return ""
    binds = {part.id for part in ast.walk(statement) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return f"; {loss} is computed from line {statement.lineno} on" if loss.isidentifier() and loss not in binds else ""


def custom_backward(case: Case) -> str | None:
    """A backward of the user's own writes to what its forward saved."""
    assert case.writer is not None
    around = statements_at(case.writer.file, case.writer.line)
    if not any(isinstance(s, ast.FunctionDef) and s.name in ("backward", "vjp", "jvp") for s in around):
        return None
    return f"compute a new tensor there{_instead(case)}: a backward must leave what it saved as it is"


def given_out(case: Case) -> str | None:
    """`torch.add(x, y, out=z)`."""
    assert case.writer is not None
    for call in calls_in(case.statement, case.writer.operation) if case.statement is not None else ():
        given = [keyword.value for keyword in call.keywords if keyword.arg == "out"]
        if given and isinstance(case.statement, ast.Expr) and isinstance(given[0], (ast.Name, ast.Attribute)):
            others = [keyword for keyword in call.keywords if keyword.arg != "out"]
            return f"{text_of(given[0])} = {text_of(ast.Call(call.func, call.args, others))}, without out="
        if given:
            return "leave out= away in that call, or give it a tensor that nothing has saved"
    return None


def switch(case: Case) -> str | None:
    """A function or module with inplace=."""
    assert case.writer is not None
    name = case.writer.operation
    if name.endswith("_") or name in ("step", "backward", "write") or _statement_writes(case.statement, name):
        return None
    where = f"for {case.writer.module}" if case.writer.module and not _calls(case.statement, name) else "in that call"
    return f"inplace=False {where}{_use_of(case, name)}"


def _use_of(case: Case, name: str) -> str:
    """`F.relu(x, inplace=True)` as a statement: the result that is dropped is needed then."""
    assert case.writer is not None
    call = case.statement.value if isinstance(case.statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or called(call) not in (name, case.writer.module.rpartition(".")[2]):
        return ""
    if not call.args or not isinstance(call.args[0], (ast.Name, ast.Attribute)):
        return ", and use its result"
    return f", and use its result: {text_of(call.args[0])} = {text_of(call.func)}(...)"


def item(case: Case) -> str | None:
    """`x[i] = y`, `x[i] += y`."""
    assert case.writer is not None
    target = target_of(case.writer)
    if not isinstance(target, ast.Subscript) or not isinstance(case.statement, (ast.Assign, ast.AugAssign)):
        return None
    whole, index = text_of(target.value), target.slice
    value = _of_all_elements(case.statement.value, index) if _is_mask(index, case.writer) else None
    if value is not None:
        if isinstance(case.statement, ast.AugAssign):
            value = f"{whole} {SIGNS[type(case.statement.op)]} {value}"
        return f"{whole} = torch.where({_widened(index, case.mask_lacks)}, {value}, {whole})"
    if not case.is_state and _counts(index, loop_around(case.writer)):
        return f"append to a list and torch.stack() it, in place of {text_of(target)} = ..."
    if case.is_state:
        return _edit(case)
    return f"write to a copy: {whole} = {whole}.clone() before that line"


def augmented(case: Case) -> str | None:
    """`x += y`."""
    statement = case.statement
    if not isinstance(statement, ast.AugAssign) or not isinstance(statement.target, (ast.Name, ast.Attribute)):
        return None
    assert case.writer is not None
    if case.writer.operation.strip("_") not in AUGMENTED.get(type(statement.op), ()):
        return None
    x = text_of(statement.target)
    value = text_of(statement.value)
    value = f"({value})" if isinstance(statement.value, (ast.BinOp, ast.IfExp, ast.Compare)) else value
    return f"{x} = {x} {SIGNS[type(statement.op)]} {value}"


def state(case: Case) -> str | None:
    """A write to a parameter or buffer by hand, or by a forward."""
    return _edit(case) if case.is_state else None


def helper(case: Case) -> str | None:
    """A function besides the network, between forward and backward, writes to what it is given."""
    assert case.writer is not None
    inner = _function(case.writer)
    if case.writer.module or inner is None or inner in (_function(case.saver), _function(case.backward)):
        return None
    return f"give {inner}() a clone(), or call it after {_backward(case)}"


def method(case: Case) -> str | None:
    """`x.mul_(y)`, with its result used or dropped."""
    assert case.writer is not None
    name = case.writer.operation
    if not name.endswith("_") or name.startswith("_"):
        return None
    target = target_of(case.writer)
    if target is None or case.statement is None:
        return f"{name[:-1]}() in place of {name}()"
    x, bare = text_of(target), name[:-1]
    if isinstance(target, ast.Attribute) and target.attr == "data":
        x = text_of(target.value)
    if not hasattr(Tensor, bare):
        new = NEW.get(name, "torch.empty_like({x}).{name}(...)").format(x=x, name=name)
        return f"{x} = {new}, in place of {name}()" if isinstance(case.statement, ast.Expr) else f"{new} there"
    call = next(calls_in(case.statement, name), None)
    if call is not None and is_function(call, case.writer):
        instead = f"{text_of(call).replace(f'{name}(', f'{bare}(', 1)}, in place of {name}()"
    else:
        instead = f"{x}.{bare}({_arguments(case.statement, name)}), in place of {name}()"
    if isinstance(case.statement, ast.Expr):
        if isinstance(target, (ast.Name, ast.Attribute)):
            return f"{x} = {instead}"
        owner = aliased(target)
        if isinstance(owner, (ast.Name, ast.Attribute)):
            return f"write to a copy: {text_of(owner)} = {text_of(owner)}.clone() before that line"
    return instead


def copy(case: Case) -> str | None:
    """Everything else."""
    return f"clone() {case.tensor or 'the tensor'} before it is written to"


PATTERNS: tuple[Pattern, ...] = (
    not_watched, given_to_numpy, graph_kept, optimizer_step, custom_backward, item, augmented, state, given_out, switch,
    helper, method, copy,
)  # fmt: skip
"""In the order in which they are tried."""


def _of_all_elements(value: ast.expr, index: ast.expr) -> str | None:
    """Return what `torch.where` takes for what a mask assigns: a number, `y` of `x[mask] = y[mask]`; None of others."""
    number = value.operand if isinstance(value, ast.UnaryOp) else value
    if isinstance(number, ast.Constant) or (isinstance(number, ast.Call) and called(number) == "float"):
        return text_of(value)
    same = isinstance(value, ast.Subscript) and ast.dump(value.slice) == ast.dump(index)
    return text_of(value.value) if isinstance(value, ast.Subscript) and same else None


def _widened(mask: ast.expr, lacks: int) -> str:
    """Return a mask of as many dimensions as what it picks from: `done[..., None]` of the rows of a matrix."""
    text = text_of(mask)
    if not lacks:
        return text
    text = text if isinstance(mask, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)) else f"({text})"
    return f"{text}[..., {', '.join(['None'] * lacks)}]"


def _arguments(statement: ast.stmt, name: str) -> str:
    """Return the arguments of the only call of a method in a statement, or an ellipsis."""
    calls = list(calls_in(statement, name))
    if len(calls) != 1 or not isinstance(calls[0].func, ast.Attribute):
        return "..."
    return ", ".join(text_of(part) for part in (*calls[0].args, *calls[0].keywords))


def _edit(case: Case) -> str:
    return f"write to {case.tensor or 'it'} after {_backward(case)}, or clone() it where it is read"


def _backward(case: Case) -> str:
    if case.backward.file is None or case.backward.line is None:
        return "the backward"
    return went_backward(case.backward.file, case.backward.line)


def _accumulated(backward: Place) -> str | None:
    """Return the variable whose backward it is, if the code around adds to it in place: `total += loss`."""
    statement = statement_at(backward.file, backward.line)
    calls = list(calls_in(statement, "backward")) if statement is not None else []
    name = root(calls[0]) if calls else None
    around = statements_at(backward.file, backward.line)
    for scope in around[:-1]:
        for node in ast.walk(scope):
            if _adds_to(node, name):
                return name
    return None


def _adds_to(node: ast.AST, name: str | None) -> bool:
    """Whether a statement adds to a variable: `total += loss`, `total = total + loss`."""
    if isinstance(node, ast.AugAssign):
        return isinstance(node.target, ast.Name) and node.target.id == name
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.BinOp):
        return False
    targets = {target.id for target in node.targets if isinstance(target, ast.Name)}
    return name in targets and any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node.value))


def _function(place: Place) -> str | None:
    """Return the name of the function that a place stands in; None at the top of a file."""
    around = statements_at(place.file, place.line)
    return next((s.name for s in reversed(around) if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef))), None)


TELLING = ("bool", "isnan", "isinf", "isfinite", "logical_not", "logical_and", "logical_or", "eq", "ne", "lt", "gt")
"""Functions and methods whose result is a mask."""


def _is_mask(index: ast.expr, place: Place) -> bool:
    """Whether an index is a mask, by its own form or name or by what the function has assigned to it."""
    if isinstance(index, ast.Name) and any(
        _is_mask(value, place) for value in assigned(index.id, place.file, place.line)
    ):
        return True
    if isinstance(index, (ast.Compare, ast.BoolOp)):
        return True
    if isinstance(index, ast.BinOp) and isinstance(index.op, (ast.BitAnd, ast.BitOr, ast.BitXor)):
        return True
    if isinstance(index, ast.UnaryOp):
        return isinstance(index.op, (ast.Invert, ast.Not))
    if isinstance(index, ast.Call):
        return called(index) in TELLING
    return isinstance(index, (ast.Name, ast.Attribute)) and "mask" in text_of(index).lower()


def _counts(index: ast.expr, loop: ast.stmt | None) -> bool:
    """Whether an index goes on from round to round of a loop, so that each round writes a part of its own."""
    names = {part.id for part in ast.walk(index) if isinstance(part, ast.Name)}
    if isinstance(loop, (ast.For, ast.AsyncFor)):
        return not names.isdisjoint(part.id for part in ast.walk(loop.target) if isinstance(part, ast.Name))
    steps = (part.target for part in ast.walk(loop) if isinstance(part, ast.AugAssign)) if loop is not None else ()
    return not names.isdisjoint(target.id for target in steps if isinstance(target, ast.Name))


def _calls(statement: ast.stmt | None, name: str) -> bool:
    return statement is not None and any(True for _ in calls_in(statement, name))


def _statement_writes(statement: ast.stmt | None, name: str) -> bool:
    """Whether a function of that name writes because of the statement, and not of an argument: `x[i] = y`."""
    return name == "__setitem__" or (isinstance(statement, ast.AugAssign) and not _calls(statement, name))


def _instead(case: Case) -> str:
    found = augmented(case) or item(case)
    return f" ({found})" if found else ""
