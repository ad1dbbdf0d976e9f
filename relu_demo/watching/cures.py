"""What to do about a fault, found from what the user wrote: each pattern beside its advice, the first that fits."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import (
    MEANT,
    arguments_at,
    assigned_anew,
    called,
    calls_in,
    is_out_of_place,
    is_sign_of,
    out_of_place,
    root,
    statement_at,
    statements_at,
    text_of,
)
from relu_demo.watching.case import Case, backward_of, besides, edit, function_of, is_of_round_before, loss_of
from relu_demo.watching.items import item
from relu_demo.watching.names import aliased, is_function, operation, target_of
from relu_demo.watching.report import GIVING, NEW_DATA

NEW = {"zero_": "torch.zeros_like({x})", "fill_": "torch.full_like({x}, ...)", "copy_": "torch.clone(...)"}
"""What makes the tensor that a method in place makes of another, where PyTorch has no such method out of place."""

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


def new_data(case: Case) -> str | None:
    """`w.data = x`."""
    return edit(case) if case.writer is not None and case.writer.operation == NEW_DATA else None


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
    step, backward = operation(case.writer), backward_of(case)
    closure = function_of(case.backward)
    if closure is not None and f"({closure})" in step:
        return f"compute {loss_of(case)} inside of {closure}(), which {step} calls again and again"
    loss = loss_of(case)
    if is_of_round_before(case):
        return f"compute {loss} again after each {step}, or call {step} after the last {backward}"
    notes = [_begin_of(loss, case)]
    if ".backward(" in backward:  # torch.autograd.grad adds to none
        notes.append("its backward adds to the gradients of that step")
    also = ", and ".join(filter(None, notes))
    return f"compute {loss} after {step}, or call {step} after {backward}" + (f"; {also}" if also else "")


def _begin_of(loss: str, case: Case) -> str:
    """Say where the statements begin that compute a loss, if they are several: all of them have to run again."""
    saver, backward = case.saver, case.backward
    statement = statement_at(saver.file, saver.line)
    if statement is None or saver.file != backward.file or function_of(saver) != function_of(backward):
        return ""
    binds = {part.id for part in ast.walk(statement) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return f"{loss} is computed from line {statement.lineno} on" if loss.isidentifier() and loss not in binds else ""


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
        new = text_of(ast.Call(call.func, call.args, [keyword for keyword in call.keywords if keyword.arg != "out"]))
        if given and isinstance(case.statement, ast.Expr) and isinstance(given[0], (ast.Name, ast.Attribute)):
            return f"{text_of(given[0])} = {new}{besides(case, given[0])}, without out="
        if given and isinstance(case.statement, ast.Assign) and case.statement.value is call:
            return f"{' = '.join(map(text_of, case.statement.targets))} = {new}, without out="
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


def augmented(case: Case) -> str | None:
    """`x += y`."""
    statement = case.statement
    if not isinstance(statement, ast.AugAssign) or not isinstance(statement.target, (ast.Name, ast.Attribute)):
        return None
    assert case.writer is not None
    if not is_sign_of(statement, case.writer.operation):
        return None
    target = statement.target
    if isinstance(target, ast.Attribute) and target.attr == "data" and case.through_data:
        # What is assigned to `.data` is as silent as what is written there.
        return edit(replace(case, tensor=text_of(target.value)))
    anew = assigned_anew(statement)
    if case.is_parameter and isinstance(target, ast.Attribute):  # which takes no other tensor
        return f"new = {anew.partition(' = ')[2]}, and go on with new"
    return anew + besides(case, target)


def state(case: Case) -> str | None:
    """A write to a parameter or buffer by hand, or by a forward."""
    is_state = case.is_state or (case.is_parameter and case.writer != case.backward)  # the write itself is not refused
    return edit(case) if is_state else None


def helper(case: Case) -> str | None:
    """A function besides the network, between forward and backward, writes to what it is given."""
    assert case.writer is not None
    inner, target = function_of(case.writer), target_of(case.writer)
    if case.writer.module or inner is None or inner in (function_of(case.saver), function_of(case.backward)):
        return None
    owner = None if target is None else aliased(target)
    arguments = arguments_at(case.writer.file, case.writer.line) - {"self"}
    if not isinstance(owner, ast.Name) or owner.id not in arguments:
        return None
    later = "" if case.saver.operation == "read" else f", or call it after {backward_of(case)}"
    return f"give {inner}() a clone(){later}"


def method(case: Case) -> str | None:
    """`x.mul_(y)`, with its result used or dropped."""
    assert case.writer is not None
    name = case.writer.operation
    if not name.endswith("_") or name.startswith("_"):
        return None
    target, bare = target_of(case.writer), name[:-1]
    if target is None or case.statement is None:
        return f"{bare}() in place of {name}()" if is_out_of_place(bare) else None
    x = text_of(target)
    if isinstance(target, ast.Attribute) and target.attr == "data" and case.through_data:
        x, target = text_of(target.value), target.value
    is_statement, given = isinstance(case.statement, ast.Expr), _arguments(case.statement, name)
    call = next(calls_in(case.statement, name), None)
    of_function = call is not None and is_function(call, case.writer)
    if not (hasattr(Tensor, bare) or of_function):
        old = f"{x}.clone().{name}({given})"
        new = NEW.get(name, "torch.empty_like({x}).{name}(...)").format(x=x, name=name) if name in MEANT else old
        return f"{x} = {new}{besides(case, target)}, in place of {name}()" if is_statement else f"{new} there"
    new = out_of_place(call, name) if call is not None and of_function else f"{x}.{bare}({given})"
    instead = f"{new}, in place of {name}()"
    if is_statement and isinstance(target, (ast.Name, ast.Attribute)):
        return f"{x} = {new}{besides(case, target)}, in place of {name}()"
    owner = aliased(target)
    if is_statement and isinstance(owner, (ast.Name, ast.Attribute)):
        return f"write to a copy: {text_of(owner)} = {text_of(owner)}.clone() before that line{besides(case, owner)}"
    return instead


def copy(case: Case) -> str | None:
    """Everything else."""
    return f"clone() {case.tensor or 'the tensor'} before it is written to"


PATTERNS: tuple[Pattern, ...] = (
    not_watched, given_to_numpy, new_data, graph_kept, optimizer_step, custom_backward, item, augmented, state,
    given_out, switch, helper, method, copy,
)  # fmt: skip
"""In the order in which they are tried."""


def _arguments(statement: ast.stmt, name: str) -> str:
    """Return the arguments of the only call of a method in a statement, or an ellipsis."""
    calls = list(calls_in(statement, name))
    if len(calls) != 1 or not isinstance(calls[0].func, ast.Attribute):
        return "..."
    return ", ".join(text_of(part) for part in (*calls[0].args, *calls[0].keywords))


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


def _calls(statement: ast.stmt | None, name: str) -> bool:
    return statement is not None and any(True for _ in calls_in(statement, name))


def _statement_writes(statement: ast.stmt | None, name: str) -> bool:
    """Whether a function of that name writes because of the statement, and not of an argument: `x[i] = y`."""
    return name == "__setitem__" or (isinstance(statement, ast.AugAssign) and not _calls(statement, name))


def _instead(case: Case) -> str:
    found = augmented(case) or item(case)
    return f" ({found})" if found else ""
