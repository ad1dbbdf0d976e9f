"""A write in place as it stands in the source, and the edits by which it is written out of place."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from relu_demo.edits.binding import CALLER, is_bound, is_name, is_read_after, memory_of, same_memory
from relu_demo.edits.edit import Edit
from relu_demo.edits.scene import Spot
from relu_demo.edits.syntax import ATOMS, FUNCTIONS, Syntax, found_at

SIGN = {
    ast.Add: ("+", "add"), ast.Sub: ("-", "sub subtract"), ast.Mult: ("*", "mul multiply"),
    ast.Div: ("/", "div divide true_divide truediv"), ast.FloorDiv: ("//", "floor_divide floordiv"),
    ast.Mod: ("%", "remainder fmod mod"), ast.Pow: ("**", "pow"), ast.MatMult: ("@", "matmul"),
    ast.BitAnd: ("&", "bitwise_and logical_and and"), ast.BitOr: ("|", "bitwise_or logical_or or"),
    ast.BitXor: ("^", "bitwise_xor logical_xor xor"), ast.LShift: ("<<", "bitwise_left_shift lshift"),
    ast.RShift: (">>", "bitwise_right_shift rshift"),
}  # fmt: skip
"""The sign of each augmented assignment, and PyTorch's names of it, without underscores and the `i` of `__iadd__`."""

TIGHTNESS = {
    sign: rank
    for rank, signs in enumerate(("|", "^", "&", "<< >>", "+ -", "* / // % @", "**"))
    for sign in signs.split()
}
"""How tight each sign binds."""

NO_OTHER_FORM = {
    "apply_", "cauchy_", "copy_", "exponential_", "fill_", "fill_diagonal_", "geometric_", "log_normal_", "map2_",
    "map_", "normal_", "random_", "resize_as_sparse_", "set_", "share_memory_", "sparse_resize_",
    "sparse_resize_and_clear_", "uniform_", "zero_",
}  # fmt: skip
"""Methods in place of which PyTorch has none out of place."""

INPLACE_AT = {
    "relu": 1, "relu6": 1, "selu": 1, "silu": 1, "mish": 1, "hardswish": 1, "hardsigmoid": 1, "celu": 2, "elu": 2,
    "leaky_relu": 2, "threshold": 3, "hardtanh": 3, "dropout": 3, "dropout1d": 3, "dropout2d": 3, "dropout3d": 3,
    "alpha_dropout": 3, "feature_alpha_dropout": 3, "rrelu": 4, "ReLU": 0, "ReLU6": 0, "SELU": 0, "SiLU": 0, "Mish": 0,
    "Hardswish": 0, "Hardsigmoid": 0, "CELU": 1, "ELU": 1, "LeakyReLU": 1, "Dropout": 1, "Dropout1d": 1,
    "Dropout2d": 1, "Dropout3d": 1, "AlphaDropout": 1, "FeatureAlphaDropout": 1, "Hardtanh": 2, "Threshold": 2,
    "RReLU": 2,
}  # fmt: skip
"""Which argument of a function or a module is `inplace`, counted from 0."""


@dataclass(frozen=True)
class WriteSite:
    """A statement that writes, the call or the assignment in it that does, and the tensor that it writes to."""

    spot: Spot
    syntax: Syntax
    statement: ast.stmt
    target: ast.expr
    call: ast.Call | None
    """None of an assignment."""
    in_container: bool = False

    @property
    def owner(self) -> ast.expr:
        """The name whose memory is written to: `h` of `h[0].view(-1).mul_(2)`; an item where a list has the tensors."""
        return self.target if self.in_container and self.call is None else same_memory(self.target)

    @property
    def top(self) -> ast.expr:
        """The whole of the methods in place of which the call is one."""
        assert self.call is not None
        top: ast.expr = self.call
        for node in self.syntax.around(self.call):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _writes(node.func.attr):
                top = node
            elif not (isinstance(node, ast.Attribute) and _writes(node.attr)) and node is not self.call:
                break
        return top

    @property
    def is_statement(self) -> bool:
        """Whether nothing takes the result of the call."""
        return isinstance(self.statement, ast.Expr) and self.call is not None and self.statement.value is self.top

    def is_of_another(self) -> bool:
        """Return whether somebody else reads the memory later than this write, by another name or in a caller."""
        owner = self.owner
        if not is_name(owner):
            return False
        if self._is_without_grad() and is_read_after(self.syntax, ast.unparse(owner), self.statement):
            return True  # the name itself, which would have no gradient any more
        names = memory_of(self.syntax, owner, self.statement)
        own, value_goes_on = ast.unparse(owner), not self.is_statement and self.call is not None
        if isinstance(owner, ast.Name) and not is_bound(self.syntax, own, self.statement):
            return not value_goes_on
        read = is_read_after(self.syntax, own, self.statement) or value_goes_on
        if CALLER in names and not read:
            return True
        # Nobody else is to read what a backward has of its forward.
        others = {name for name in names - {CALLER, own} if not name.endswith(".saved_tensors")}
        return any("." in name or is_read_after(self.syntax, name, self.statement) for name in others)

    def _is_without_grad(self) -> bool:
        """Whether the source around says that nothing is recorded there."""
        around = list(self.syntax.around(self.statement))
        heads = [item.context_expr for each in around if isinstance(each, ast.With) for item in each.items]
        heads += [each for function in around for each in getattr(function, "decorator_list", ())]
        return any(part in ast.unparse(head) for head in heads for part in ("no_grad", "inference_mode", "(False)"))


def write_at(spot: Spot, in_container: bool = False) -> WriteSite | None:
    """Return the write that ran on a line; None where the source has none that is known."""
    found = found_at(spot)
    if found is None:
        return None
    syntax, statement, node = found
    target, call = _target(syntax, statement, spot, node)
    if target is None:
        return None
    return WriteSite(spot, syntax, statement, target, call, in_container or _is_container(syntax, target, statement))


def _target(
    syntax: Syntax, statement: ast.stmt, spot: Spot, node: ast.AST | None
) -> tuple[ast.expr | None, ast.Call | None]:
    bare = spot.operation.strip("_")
    if isinstance(statement, ast.AugAssign) and not isinstance(node, ast.Call):
        names = SIGN[type(statement.op)][1].split()
        if not bare or node is not None or bare == "setitem" or not {bare, bare.removeprefix("i")}.isdisjoint(names):
            return statement.target, None
    if isinstance(statement, ast.Assign) and not isinstance(node, ast.Call):
        targets = [target for target in statement.targets if isinstance(target, ast.Subscript)]
        if targets and bare in ("", "setitem"):
            return next((target for target in targets if target is node), targets[0]), None
    found = [node] if isinstance(node, ast.Call) else list(syntax.header(statement))
    calls = [part for part in found if isinstance(part, ast.Call)]
    for call in sorted(calls, key=lambda call: name_called(call).strip("_") != bare):
        written = target_of_call(syntax, call)
        if written is not None and (node is call or not bare or name_called(call).strip("_") == bare):
            return written, call
    if isinstance(statement, ast.AugAssign) and not calls:
        return statement.target, None
    return None, None


def name_called(call: ast.Call) -> str:
    """Return the last name of what is called: `step` of `opt.step()`; empty where it has none."""
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def target_of_call(syntax: Syntax, call: ast.Call) -> ast.expr | None:
    """Return what a call writes to by its own form; None if it does not."""
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "out"), None)
    if given is not None:
        return given
    if isinstance(call.func, ast.Attribute) and not is_of_module(syntax, call):
        if not _writes(call.func.attr):
            return None
        base = call.func.value
        while isinstance(base, ast.Call) and isinstance(base.func, ast.Attribute) and _writes(base.func.attr):
            base = base.func.value
        return base
    if not (_writes(name_called(call)) or inplace_of(call) is not None):
        return None
    named = [keyword.value for keyword in call.keywords if keyword.arg == "input"]
    first = next(iter((*call.args, *named)), None)
    return None if isinstance(first, ast.Starred) else first


def is_of_module(syntax: Syntax, call: ast.Call) -> bool:
    """Return whether a function of an imported module is name_called, `F.relu_(x)`, and no method, `x.relu_()`."""
    root = call.func
    while isinstance(root, ast.Attribute):
        root = root.value
    imports = [node for node in ast.walk(syntax.tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {alias.asname or alias.name.partition(".")[0] for node in imports for alias in node.names}
    return isinstance(root, ast.Name) and root.id in names


def inplace_of(call: ast.Call) -> ast.expr | None:
    """Return the argument `inplace` of a call, unless it is written as False; None if it has none."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "inplace"]
    at = INPLACE_AT.get(name_called(call))
    if not given and at is not None and at < len(call.args):
        given = [call.args[at]]
    return next((node for node in given if not (isinstance(node, ast.Constant) and node.value is False)), None)


def _writes(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _is_container(syntax: Syntax, target: ast.expr, statement: ast.stmt) -> bool:
    """Whether an item is written that a list or a dictionary has, as far as the function itself shows."""
    if not isinstance(target, ast.Subscript):
        return False
    if isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str):
        return True
    name, kinds = ast.unparse(target.value), (ast.List, ast.Dict, ast.ListComp, ast.DictComp)
    assigned = (part for part in ast.walk(syntax.scope_of(statement)) if isinstance(part, ast.Assign))
    values = [part.value for part in assigned if name in map(ast.unparse, part.targets)]
    return any(isinstance(each, kinds) or ast.unparse(each).startswith(("list(", "dict(")) for each in values)


def written_anew(write: WriteSite, is_alias_kept: bool = False) -> list[Edit] | None:
    """
    Return the edits by which a tensor is made anew and not written to; None where there is no such form.

    With `is_alias_kept` a name that is not bound by the line keeps what was there, `y` of `z = y.mul_(2)`.
    """
    if write.call is None:
        return _assigned_anew(write)
    if any(keyword.arg == "out" for keyword in write.call.keywords):
        return _without_out(write)
    if isinstance(write.call.func, ast.Attribute) and not is_of_module(write.syntax, write.call):
        return _methods_anew(write, is_alias_kept)
    return _function_anew(write, is_alias_kept)


def _assigned_anew(write: WriteSite) -> list[Edit] | None:
    """`x += y`, `x[i] = y`."""
    statement, target, syntax = write.statement, write.target, write.syntax
    if isinstance(statement, ast.AugAssign) and (write.in_container or not isinstance(target, ast.Subscript)):
        if any(isinstance(part, (ast.Call, ast.NamedExpr)) for part in ast.walk(target)):
            return None  # it would run twice
        kept, edits = _without_data(write, target)
        sign, (first, last) = SIGN[type(statement.op)][0], (syntax.range(target)[1], syntax.range(statement.value)[0])
        at = first + syntax.data[first:last].index(f"{sign}=".encode())
        edits.append(syntax.replace(at, at + len(sign) + 1, f"= {kept} {sign}"))
        if b"(" not in syntax.data[at:last] and not _binds_tighter(statement.value, sign):
            start, end = syntax.range(statement.value)
            edits += [syntax.replace(start, start, "("), syntax.replace(end, end, ")")]
        return edits
    return on_a_clone(write)


def _binds_tighter(value: ast.expr, sign: str) -> bool:
    """Whether an expression needs no parentheses on the right of a sign."""
    if isinstance(value, ATOMS):
        return True
    return isinstance(value, ast.BinOp) and TIGHTNESS[SIGN[type(value.op)][0]] > TIGHTNESS[sign]


def _without_data(write: WriteSite, node: ast.expr) -> tuple[str, list[Edit]]:
    """Return the tensor of `x.data`, and the edit that takes `.data` away; of others themselves."""
    if isinstance(node, ast.Attribute) and node.attr == "data" and not write.in_container:
        end = write.syntax.range(node.value)[1]
        return write.syntax.text(node.value), [write.syntax.replace(end, write.syntax.range(node)[1], "")]
    return write.syntax.text(node), []


def on_a_clone(write: WriteSite) -> list[Edit] | None:
    """Return the edits by which a statement writes to a clone, which has the name from then on."""
    owner, statement, syntax = write.owner, write.statement, write.syntax
    text = ast.unparse(owner)
    if not (is_name(owner) or (write.in_container and isinstance(owner, ast.Subscript))):
        return None
    if isinstance(owner, ast.Name) and not is_bound(syntax, text, statement):
        return None
    if isinstance(statement, (ast.While, ast.For)) or any(
        isinstance(node, (ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.DictComp))
        for node in syntax.around(write.target)
        if node not in syntax.around(statement)
    ):
        return None
    if syntax.text(statement).startswith("elif"):  # nothing can stand before it
        return None
    same = [part for part in syntax.header(statement) if isinstance(part, ast.expr) and ast.unparse(part) == text]
    targets = statement.targets if isinstance(statement, ast.Assign) and write.call is None else [write.target]
    written = [part for part in same if any(part in ast.walk(target) for target in targets)]
    if len(same) == len(written) == 1 or (len(same) == 1 and not isinstance(statement, ast.Return)):
        return [syntax.before(statement, f"{text} = {text}.clone()")]
    if not isinstance(statement, (ast.Assign, ast.AugAssign, ast.Expr)):
        return None
    # What the statement reads of the tensor would be a view of what it writes to, also of a clone.
    taken = {part.id for part in ast.walk(syntax.tree) if isinstance(part, ast.Name)}
    new = next(name for name in map("new{}".format, ("", *range(2, len(taken) + 3))) if name not in taken)
    return [
        syntax.before(statement, f"{new} = {text}.clone()"),
        *(syntax.replace(*syntax.range(part), new) for part in written),
        syntax.after(statement, f"{text} = {new}"),
    ]


def _methods_anew(write: WriteSite, is_alias_kept: bool) -> list[Edit] | None:
    """`x.mul_(y)`, `x[0].mul_(y).add_(z)`."""
    syntax, owner = write.syntax, write.owner
    text, edits = _without_data(write, write.target)
    base = write.target.value if edits and isinstance(write.target, ast.Attribute) else write.target
    whole = is_name(base) or (write.in_container and isinstance(base, ast.Subscript))
    goes_on = not is_alias_kept and is_name(owner) and is_read_after(syntax, ast.unparse(owner), write.statement)
    if not write.is_statement and goes_on:
        return on_a_clone(write)
    if write.is_statement and not whole:
        return on_a_clone(write)
    if write.is_statement:
        if isinstance(base, ast.Name) and not is_bound(syntax, base.id, write.statement):
            return None
        start = syntax.range(write.statement)[0]
        edits.append(syntax.replace(start, start, f"{text} = "))
    call: ast.expr = write.top
    while call is not write.target and isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        start, end = syntax.name_of(call.func)
        if call.func.attr in NO_OTHER_FORM:
            dot = syntax.data.rindex(b".", 0, start)
            edits.append(syntax.replace(dot, dot, ".clone()"))
        else:
            edits.append(syntax.replace(end - 1, end, ""))
        call = call.func.value
    return edits


def _function_anew(write: WriteSite, is_alias_kept: bool) -> list[Edit] | None:
    """`F.relu_(x)`, `F.relu(x, inplace=True)`."""
    call, syntax = write.call, write.syntax
    assert call is not None
    switch, edits = inplace_of(call), []
    if switch is not None:
        edits = [syntax.replace(*syntax.range(switch), "False")]
    elif "init" in ast.unparse(call.func) or name_called(call).startswith("clip_"):  # these have no other form
        return None
    else:
        end = syntax.range(call.func)[1]
        edits = [syntax.replace(end - 1, end, "")]
    goes_on = not is_alias_kept and is_name(write.owner)
    goes_on = goes_on and is_read_after(syntax, ast.unparse(write.owner), write.statement)
    if not write.is_statement:
        return on_a_clone(write) if goes_on and switch is None else edits
    if not is_name(write.target):
        return on_a_clone(write)
    if isinstance(write.target, ast.Name) and not is_bound(syntax, write.target.id, write.statement):
        return None
    start = syntax.range(write.statement)[0]
    return [syntax.replace(start, start, f"{syntax.text(write.target)} = "), *edits]


def _without_out(write: WriteSite) -> list[Edit] | None:
    """`torch.add(x, y, out=z)`."""
    call, syntax, statement = write.call, write.syntax, write.statement
    assert call is not None
    if not is_name(write.target) or not isinstance(statement, (ast.Expr, ast.Assign)) or statement.value is not call:
        return None
    given = next(keyword for keyword in call.keywords if keyword.arg == "out")
    others = [*call.args, *(keyword for keyword in call.keywords if keyword is not given)]
    start, end = syntax.range(given)
    ends = [syntax.range(each)[1] for each in others if syntax.range(each)[1] <= start]
    if ends:
        comma = syntax.data.index(b",", max(ends))
        start = comma
    elif others:  # it stands first
        end = min(syntax.range(each)[0] for each in others)
    at = syntax.range(call)[0]
    return [syntax.replace(at, at, f"{syntax.text(write.target)} = "), syntax.replace(start, end, "")]


def is_in_function(syntax: Syntax, node: ast.AST, *names: str) -> bool:
    """Return whether a node stands in a function of one of these names."""
    return any(isinstance(each, FUNCTIONS) and getattr(each, "name", "") in names for each in syntax.around(node))
