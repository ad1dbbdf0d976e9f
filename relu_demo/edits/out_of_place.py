"""A write in place as it stands in the source, and the edits by which it is written out of place."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from functools import lru_cache

from relu_demo.edits.edit import Edit
from relu_demo.edits.syntax import ATOMS, CALLER, Syntax, end_of, found_at, is_name, names_of, same_memory, start_of
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import STRAIGHT_THROUGH, called, imported, root

SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return)
"""Statements before which another one can stand, whatever they are part of."""
WITHOUT_GRAD = ("no_grad", "inference_mode", "(False)")


@dataclass(frozen=True)
class WriteSite:
    """A statement that writes, the call or the assignment in it that does, and the tensor that it writes to."""

    syntax: Syntax
    statement: ast.stmt
    target: ast.expr
    calls: tuple[ast.Call, ...] = ()
    """The call that writes, with the methods in place around it, the last first; none of an assignment."""
    in_container: bool = False

    @property
    def owner(self) -> ast.expr:
        """The name whose memory is written to: `h` of `h[0].view(-1).mul_(2)`; an item where a list has the tensors."""
        return self.target if self.in_container and not self.calls else same_memory(self.target)

    @property
    def is_statement(self) -> bool:
        """Whether nothing takes the result of the call."""
        return isinstance(self.statement, ast.Expr) and self.statement.value in self.calls

    def can_bind(self, node: ast.expr) -> bool:
        """Return whether an assignment binds a name anew, or an item of a container that is found without a call."""
        runs = any(isinstance(part, (ast.Call, ast.NamedExpr)) for part in ast.walk(node))
        return self.syntax.can_be_bound(node) or (self.in_container and isinstance(node, ast.Subscript) and not runs)

    def is_read_after(self) -> bool:
        """Return whether the name is read later."""
        return is_name(self.owner) and self.syntax.is_read_after(ast.unparse(self.owner), self.statement)

    def is_of_another(self) -> bool:
        """Return whether somebody else reads the memory later than this write, by another name or in a caller."""
        value_goes_on = bool(self.calls) and not self.is_statement
        if not is_name(self.owner):
            return False
        if not self.syntax.can_be_bound(self.owner):
            return not value_goes_on
        is_read = self.is_read_after()
        if is_read and self._is_without_grad():
            return True  # the name itself, which would have no gradient any more
        names = self.syntax.memory_of(names_of(self.owner), self.owner) - {ast.unparse(self.owner)}
        if CALLER in names and not (is_read or value_goes_on):
            return True
        if self.syntax.is_for_caller(self.owner, self.owner):
            return True
        # Nobody else is to read what a backward has of its forward.
        others = [name for name in names - {CALLER} if not name.endswith(".saved_tensors")]
        return any("." in name or self.syntax.is_read_after(name, self.statement) for name in others)

    def _is_without_grad(self) -> bool:
        """Whether the source around says that nothing is recorded there."""
        around = list(self.syntax.around(self.statement))
        heads = [item.context_expr for each in around if isinstance(each, ast.With) for item in each.items]
        heads += [each for function in around for each in getattr(function, "decorator_list", ())]
        return any(part in ast.unparse(head) for head in heads for part in WITHOUT_GRAD)


def write_at(place: Place, in_container: bool = False) -> WriteSite | None:
    """Return the write that ran on a line; None where the source has none that is known."""
    found = found_at(place)
    if found is None:
        return None
    syntax, statement, bare = found.syntax, found.statement, place.operation.strip("_")
    parts = [statement, *syntax.header(statement)] if found.node is None else [found.node]
    if found.node is None:
        parts = [each for each in parts if isinstance(each, ast.Call) and called(each).strip("_") == bare] or parts
    for part in parts:
        target = _written_by(syntax, part)
        if target is not None:
            calls = [part] if isinstance(part, ast.Call) else []
            around = [each for each in syntax.header(statement) if isinstance(each, ast.Call)]
            calls = [each for each in around if each is not target and _base_of(syntax, each) is target] or calls
            in_container = in_container or _is_in_container(syntax, target, statement)
            return WriteSite(syntax, statement, target, tuple(calls), in_container)
    return None


def _is_in_container(syntax: Syntax, target: ast.expr, statement: ast.stmt) -> bool:
    """Return whether an item is written that a list or a dictionary has, as far as the function itself shows."""
    if not isinstance(target, ast.Subscript):
        return False
    if isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str):
        return True
    name, kinds = ast.unparse(target.value), (ast.List, ast.Dict, ast.ListComp, ast.DictComp)
    bound = [value for part, value in syntax.bindings(syntax.scope_of(statement)) if ast.unparse(part) == name]
    return any(isinstance(each, kinds) or ast.unparse(each).startswith(("list(", "dict(")) for each in bound)


def _base_of(syntax: Syntax, node: ast.expr) -> ast.expr:
    """Return what some methods in place are called on, one on the result of the other: `x` of `x.mul_(y).add_(z)`."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _writes(called(node)):
        if not _is_method(syntax, node):
            break
        node = node.func.value
    return node


def _written_by(syntax: Syntax, node: ast.AST) -> ast.expr | None:
    """Return what a call or an assignment writes to by its own form; None if it does not."""
    if isinstance(node, ast.AugAssign):
        return node.target
    if not isinstance(node, ast.Call):
        return node if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) else None
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    if "out" in named:
        return named["out"]
    if _is_method(syntax, node):
        return _base_of(syntax, node) if _writes(called(node)) else None
    if switch_of(node) is None and (not _writes(called(node)) or called(node).startswith("clip_")):
        return None
    first = node.args[0] if node.args else named.get("input")
    return None if isinstance(first, ast.Starred) else first


def switch_of(call: ast.Call) -> ast.expr | None:
    """Return the argument `inplace` of a call, unless it is written as False; None if it has none."""
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "inplace"), None)
    at = _place_of_switch(called(call))
    if given is None and at is not None and at < len(call.args):
        given = call.args[at]
    return None if isinstance(given, ast.Constant) and given.value is False else given


@lru_cache
def _place_of_switch(name: str) -> int | None:
    """Return which argument of a layer or a function of PyTorch is `inplace`, counted from 0."""
    from torch import nn

    known = getattr(nn, name, getattr(nn.functional, name, None))
    try:
        return list(inspect.signature(known).parameters).index("inplace")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def written_anew(write: WriteSite, is_alias_kept: bool = False) -> list[Edit] | None:
    """Return the edits by which a tensor is made anew and not written to; None where there is no such form.

    With `is_alias_kept` a name that is not bound by the line keeps what was there, `y` of `z = y.mul_(2)`.
    """
    syntax = write.syntax
    whole, edits = _without_data(write)
    if edits and any(called(call) in STRAIGHT_THROUGH for call in write.calls):
        return on_a_clone(write)
    can_bind = write.can_bind(whole)
    if not write.calls:
        anew = _sum_anew(write, whole) if can_bind and isinstance(write.statement, ast.AugAssign) else None
        return [*edits, *anew] if anew is not None else on_a_clone(write)
    if any(keyword.arg == "out" for keyword in write.calls[0].keywords):
        return _without_out(write) if can_bind else None
    switch = None if _is_method(syntax, write.calls[0]) else switch_of(write.calls[0])
    anew = [syntax.replace(switch, "False")] if switch is not None else _without_underscores(write)
    if anew is None or (write.is_statement and not can_bind):
        return on_a_clone(write)
    if write.is_statement:
        return [*edits, syntax.insert(start_of(write.statement), f"{syntax.text(whole)} = "), *anew]
    if switch is None and not is_alias_kept and write.is_read_after():
        return on_a_clone(write)
    return [*edits, *anew]


def _without_data(write: WriteSite) -> tuple[ast.expr, list[Edit]]:
    """Return the tensor of `x.data`, and the edit that takes `.data` away; of others themselves."""
    target, syntax = write.target, write.syntax
    if isinstance(target, ast.Attribute) and target.attr == "data" and not write.in_container:
        return target.value, [Edit(syntax.file, end_of(target.value), end_of(target), "")]
    return target, []


def _sum_anew(write: WriteSite, whole: ast.expr) -> list[Edit] | None:
    """`x += y`."""
    syntax, statement = write.syntax, write.statement
    assert isinstance(statement, ast.AugAssign)
    line, column = end_of(statement.target)
    sign = re.match(r"\s*([^\s=]+)=", syntax.between((line, column), end_of(statement)))
    if sign is None:  # it is on another line
        return None
    start, end = (line, column + sign.start(1)), (line, column + sign.end())
    edits = [Edit(syntax.file, start, end, f"= {syntax.text(whole)} {sign[1]}")]
    if isinstance(statement.value, ATOMS) or "(" in syntax.between(end, start_of(statement.value)):
        return edits
    return [*edits, syntax.insert(start_of(statement.value), "("), syntax.insert(end_of(statement.value), ")")]


def _without_underscores(write: WriteSite) -> list[Edit] | None:
    """`x.mul_(y)`, `x[0].mul_(y).add_(z)`, `torch.relu_(x)`; a clone before a method that has no other form."""
    from torch import Tensor, nn

    syntax, edits = write.syntax, []
    for call in write.calls:
        (line, end), name = end_of(call.func), called(call)
        if hasattr(Tensor, name[:-1]) or hasattr(nn.functional, name[:-1]):
            edits.append(Edit(syntax.file, (line, end - 1), (line, end), ""))
        elif _is_method(syntax, call):
            edits.append(syntax.insert((line, end - len(name) - 1), ".clone()"))
        else:
            return None
    return edits


def _without_out(write: WriteSite) -> list[Edit] | None:
    """`torch.add(x, y, out=z)`."""
    call, syntax, statement = write.calls[0], write.syntax, write.statement
    given = next(keyword for keyword in call.keywords if keyword.arg == "out")
    if not isinstance(statement, (ast.Expr, ast.Assign)) or statement.value is not call:
        return None
    line, column = start_of(given)
    comma = syntax.lines[line - 1].rfind(b",", 0, column)
    if comma < 0 or (line, comma) < start_of(call):
        return None
    bound = syntax.insert(start_of(call), f"{syntax.text(write.target)} = ")
    return [bound, Edit(syntax.file, (line, comma), end_of(given), "")]


def on_a_clone(write: WriteSite) -> list[Edit] | None:
    """Return the edits by which a statement writes to a clone, which has the name from then on."""
    owner, statement, syntax = write.owner, write.statement, write.syntax
    if not write.can_bind(owner) or not isinstance(statement, SIMPLE):
        return None
    text = ast.unparse(owner)
    same = [part for part in syntax.header(statement) if isinstance(part, ast.expr) and ast.unparse(part) == text]
    targets = statement.targets if isinstance(statement, ast.Assign) and not write.calls else [write.target]
    written = [part for part in same if any(part in ast.walk(target) for target in targets)]
    if len(same) == 1:
        return [syntax.before(statement, f"{text} = {text}.clone()")]
    if isinstance(statement, ast.Return):
        return None
    # What the statement reads of the tensor would be a view of what it writes to, also of a clone.
    taken = {part.id for part in ast.walk(syntax.tree) if isinstance(part, ast.Name)}
    new = next(name for name in map("new{}".format, ("", *range(2, len(taken) + 3))) if name not in taken)
    return [
        syntax.before(statement, f"{new} = {text}.clone()"),
        *(syntax.replace(part, new) for part in written),
        syntax.after(statement, f"{text} = {new}"),
    ]


def _is_method(syntax: Syntax, call: ast.Call) -> bool:
    """Return whether a method is called, `x.relu_()`, and no function of an imported module, `F.relu_(x)`."""
    return isinstance(call.func, ast.Attribute) and root(call.func) not in imported(syntax.file)


def _writes(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")
