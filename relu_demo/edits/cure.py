"""What to do about a fault: each pattern beside its edits, the first that fits; a sentence where no edit is right."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable
from dataclasses import replace

from relu_demo.edits.binding import aliases, is_bound, is_name, is_read_after, memory_of, same_memory
from relu_demo.edits.edit import Cure, Edit, united
from relu_demo.edits.order import computed_again, course_of, in_other_order
from relu_demo.edits.scene import Scene, Spot
from relu_demo.edits.syntax import Syntax, found_at, syntax_of
from relu_demo.edits.write import WriteSite, inplace_of, is_in_function, name_called, write_at, written_anew

SAVES_ITS_RESULT = {
    "exp", "exp2", "expm1", "sigmoid", "tanh", "tan", "softmax", "log_softmax", "softmin", "sqrt", "rsqrt",
    "reciprocal", "relu", "elu", "celu", "selu", "leaky_relu", "rrelu", "logsumexp", "cumprod",
}  # fmt: skip
"""Functions whose backward needs their result, and not what they were given."""
HANDS_OUT = {"numpy", "__array__", "__dlpack__"}
EXPANDS = {"expand", "expand_as", "broadcast_to", "broadcast_tensors"}


Pattern = Callable[[Scene, "WriteSite | None"], "Cure | None"]


def cure_of(scene: Scene) -> Cure:
    """Return what to do about a fault: about its first write, and about others that are cured in the same way."""
    writers = scene.writers or ((scene.raised_at,) if scene.raised_at and scene.kind == "refused" else ())
    cures = [_cure_of(replace(scene, writers=(writer,))) for writer in writers] or [_cure_of(scene)]
    first, also = cures[0], [cure for cure in cures[1:] if cure.edits and cure.says == cures[0].says]
    return replace(first, edits=united([first.edits, *(cure.edits for cure in also)]))


def _cure_of(scene: Scene) -> Cure:
    write = write_at(scene.writers[0], scene.in_container) if scene.writers else None
    return next(cure for pattern in PATTERNS for cure in [pattern(scene, write)] if cure is not None)


def written_out_of_place(scene: Scene) -> Cure:
    """Return how a write is made out of place, so that whoever else has the memory keeps what was there."""
    write = write_at(scene.writers[0], scene.in_container)
    edits = written_anew(write, is_alias_kept=True) if write is not None else None
    anew = Cure("write out of place", tuple(edits)) if edits else None
    return is_switched(scene, write) or anew or is_only_said(scene, write)


def goes_into_an_earlier_step(scene: Scene, write: WriteSite | None) -> Cure | None:
    """What is carried from step to step."""
    if not scene.carried:
        return None
    through = f" through {scene.tensor}" if scene.tensor else ""
    return Cure(
        f"the backward at {place(scene.raised_at)} goes on into the graph of an earlier step{through}",
        warning=f"to detach() {scene.tensor or 'what is carried'} between the steps changes the training",
    )


def is_handed_out(scene: Scene, write: WriteSite | None) -> Cure | None:
    """`y.numpy()`, `torch.from_dlpack(y)`: two names of one memory."""
    spot = next((each for each in (scene.made_by, *scene.writers) if each and each.operation in HANDS_OUT), None)
    found = found_at(spot)
    if found is None:
        return None
    syntax, statement, _ = found
    calls = [part for part in syntax.header(statement) if isinstance(part, ast.Call)]
    method = next(
        (call for call in calls if name_called(call) == "numpy" and isinstance(call.func, ast.Attribute)), None
    )
    given = method.func.value if method and isinstance(method.func, ast.Attribute) else None
    names = ("from_dlpack", "asarray", "array", "as_tensor", "from_numpy")
    given = given or next((call.args[0] for call in calls if name_called(call) in names and call.args), None)
    return Cure("hand out a clone", tuple(syntax.cloned(given))) if given is not None else None


def is_expanded(scene: Scene, write: WriteSite | None) -> Cure | None:
    """Several elements are one in memory."""
    found = found_at(scene.made_by)
    if scene.refusal not in ("expanded", "custom") or found is None:
        return None
    syntax, statement, node = found
    wanted = EXPANDS if scene.refusal == "expanded" else {"apply"}
    named = [part for part in syntax.header(statement) if isinstance(part, ast.Call) and name_called(part) in wanted]
    calls = [node] if isinstance(node, ast.Call) else named
    if len(calls) != 1 or name_called(calls[0]) == "broadcast_tensors":
        return None
    return Cure(f"clone what {name_called(calls[0])}() gives", tuple(syntax.cloned(calls[0])))


def is_one_of_several(scene: Scene, write: WriteSite | None) -> Cure | None:
    """`for row in x:`, whose rows PyTorch makes by one call: those that are indexed may be written to."""
    found = found_at(scene.made_by)
    if scene.refusal != "several" or write is None or found is None:
        return None
    syntax, statement, _ = found
    values = [statement.iter] if isinstance(statement, ast.For) else []
    values += [statement.value] if isinstance(statement, ast.Assign) else []
    for value in values:
        inner = value
        while isinstance(inner, ast.Call) and ast.unparse(inner.func) in ("enumerate", "list", "tuple"):
            inner = inner.args[0]
        if isinstance(inner, ast.Call) and name_called(inner) == "unbind" and isinstance(inner.func, ast.Attribute):
            base = inner.func.value if not inner.args and not inner.keywords else None
        else:
            base = inner if not isinstance(inner, ast.Call) else None
        if base is None or not is_name(base) or not is_read_after(syntax, ast.unparse(base), write.statement):
            continue
        text = syntax.text(base)
        i = "i" if not text.startswith("i") else "row"
        rows = f"({text}[{i}] for {i} in range(len({text})))"
        return Cure("index instead of iterating", (syntax.replace(*syntax.range(inner), rows),))
    return _clones_of_several(scene, write, syntax, values) if isinstance(write.target, ast.Subscript) else None


def _clones_of_several(scene: Scene, write: WriteSite, syntax: Syntax, values: list[ast.expr]) -> Cure | None:
    """`parts = x.split(2)`, whose items have no names that could be bound anew."""
    if write.in_container:
        return None
    for value in values:
        base = same_memory(value)
        if base is not value and not is_read_after(syntax, ast.unparse(base), write.statement):
            start, end = syntax.range(value)
            edits = syntax.replace(start, start, "[part.clone() for part in "), syntax.replace(end, end, "]")
            return Cure("clone the parts", edits)
    return Cure(_sentence(scene))


def overlaps(scene: Scene, write: WriteSite | None) -> Cure | None:
    """`x[1:] += x[:-1]`, `keep[keep] = y`: what is read there has the memory of what is written to."""
    if scene.refusal != "overlap" or write is None:
        return None
    syntax, names = write.syntax, memory_of(write.syntax, write.owner, write.statement)
    index = write.target.slice if isinstance(write.target, ast.Subscript) else None
    for side in (index, write.statement):  # an index is used first
        parts = [part for part in ast.walk(side) if isinstance(part, (ast.Name, ast.Attribute))] if side else []
        read = [part for part in parts if part is not write.owner and memory_of(syntax, part, part) & names]
        widest = _widest(syntax, [part for part in read if isinstance(part.ctx, ast.Load)], index)
        if widest:
            return Cure("clone what is read there", tuple(edit for part in widest for edit in syntax.cloned(part)))
    return None


def _widest(syntax: Syntax, parts: list[ast.Name | ast.Attribute], within: ast.expr | None = None) -> list[ast.expr]:
    """Return the expressions that still have the memory of some names: `x[:-1].t()` around `x`."""
    found: list[ast.expr] = []
    for part in parts:
        widest: ast.expr = part
        for node in syntax.around(part):
            if isinstance(node, ast.expr) and same_memory(node) is same_memory(part) and node is not within:
                widest = node
        if not any(widest is each or widest in ast.walk(each) for each in found):
            found = [each for each in found if each not in ast.walk(widest)] + [widest]
    return found


def is_edited_leaf(scene: Scene, write: WriteSite | None) -> Cure | None:
    """A weight that is edited by hand, and through which no gradient is to go."""
    if scene.refusal not in ("leaf", "leaf_view") or scene.gradient_is_written or write is None:
        return None
    syntax, statement = write.syntax, write.statement
    if is_in_function(syntax, statement, "forward") or not (scene.is_parameter or _is_made_a_leaf(write)):
        return None
    indent = syntax.indent(statement)
    if indent is None or not isinstance(statement, (ast.Expr, ast.Assign, ast.AugAssign)):
        return None
    name, imports = _name_of_torch(syntax)
    strings = [part for part in ast.walk(statement) if isinstance(part, (ast.Constant, ast.JoinedStr))]
    fixed = {line for part in strings for line in range(part.lineno + 1, (part.end_lineno or 0) + 1)}
    start = syntax.range(statement)[0]
    edits = [syntax.replace(start, start, f"with {name}.no_grad():\n{indent}    ")]
    lines = range(statement.lineno + 1, (statement.end_lineno or 0) + 1)
    edits += [Edit(syntax.file, (line, 0), (line, 0), "    ") for line in lines if line not in fixed]
    return Cure("edit it under torch.no_grad()", (*imports, *edits))


def _is_made_a_leaf(write: WriteSite) -> bool:
    """Whether the source says that a tensor is a leaf, or computes with its gradient."""
    syntax, name = write.syntax, ast.unparse(write.owner)
    if re.search(rf"\b{re.escape(name)}\.grad\b", ast.unparse(write.statement)):
        return True
    scope = syntax.scope_of(write.statement) if is_bound(syntax, name, write.statement) else syntax.tree
    for part in ast.walk(scope):
        text = ast.unparse(part) if isinstance(part, (ast.Assign, ast.Expr)) else ""
        targets = part.targets if isinstance(part, ast.Assign) else ()
        made = name in map(ast.unparse, targets) and re.search(r"requires_grad|Parameter\(", text)
        if made or text.startswith(f"{name}.requires_grad_("):
            return True
    return False


def _name_of_torch(syntax: Syntax) -> tuple[str, list[Edit]]:
    """Return the name that a file has of torch, and the edit that imports it where it has none."""
    imports = [node for node in syntax.tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in imports:
        for alias in node.names if isinstance(node, ast.Import) else ():
            if alias.name == "torch" or (alias.name.startswith("torch.") and alias.asname is None):
                return alias.asname or "torch", []
    first = next((node for node in imports if getattr(node, "module", "") != "__future__"), syntax.tree.body[0])
    return "torch", [syntax.before(first, "import torch")]


def is_stepped(scene: Scene, write: WriteSite | None) -> Cure | None:
    """The weights change between a forward and its backward: by an optimizer's step, or by hand."""
    writer = scene.writers[0] if scene.writers else None
    by_hand = write is not None and not write.spot.module and (scene.is_parameter or _is_made_a_leaf(write))
    if scene.kind == "refused" or writer is None or not (writer.operation == "step" or by_hand):
        return None
    course = course_of(scene)
    if by_hand and (cure := is_cloned_where_saved(scene, write)) is not None:
        return cure
    if course is not None:
        does = call_in(course.syntax, course.writes, writer.operation)
        uses_gradients = writer.operation == "step" or ".grad" in ast.unparse(course.writes)
        summed = uses_gradients and "autograd.grad(" not in ast.unparse(course.raises)
        again = computed_again(course) if uses_gradients else None
        if again is not None:
            return Cure(f"compute {' and '.join(again[0])} again after {does}", tuple(again[1]))
        is_direct = course.writes is course.syntax.statement(writer) or not writer.called_from
        swapped = in_other_order(course) if is_direct else None
        if swapped is not None:
            warning = f"its gradients are then added to those that {does} uses" if summed else ""
            goes = call_in(course.syntax, course.raises, "backward")
            return Cure(f"{does} after {goes}", tuple(swapped), warning)
    saved, wrote = place(scene.saver), place(writer)
    return Cure(f"compute again, after the write at {wrote}, what {saved} has saved for {place(scene.raised_at)}")


def call_in(syntax: Syntax, statement: ast.stmt, name: str) -> str:
    """Return a call in a statement as it is written, on one line; the statement's first line where there is none."""
    calls = [part for part in syntax.header(statement) if isinstance(part, ast.Call)]
    call = next((each for each in calls if name_called(each) == name), None)
    return " ".join(ast.unparse(call or statement).splitlines()[:1]).removesuffix(":")


def is_switched(scene: Scene, write: WriteSite | None) -> Cure | None:
    """A module that writes because it was built with `inplace=True`."""
    spot, syntax = scene.built_at, syntax_of(scene.built_at.file) if scene.built_at else None
    if spot is None or syntax is None or (write is not None and write.call is None):
        return None
    node = syntax.node(spot)
    lines = [
        part
        for part in ast.walk(syntax.tree)
        if isinstance(part, ast.Call) and part.lineno <= spot.line <= (part.end_lineno or part.lineno)
    ]
    calls = [call for call in ([node] if isinstance(node, ast.Call) else lines) if inplace_of(call) is not None]
    kind = (spot.operation or (scene.writers[0].module if scene.writers else "")).rpartition(".")[2]
    calls = [call for call in calls if name_called(call) == kind] or calls
    switches = [switch for call in calls for switch in [inplace_of(call)] if switch is not None]
    bound = _bound_result(scene.writers[0]) if scene.writers else []
    if bound is None or len({name_called(call) for call in calls}) != 1:
        return None
    edits = [*(syntax.replace(*syntax.range(switch), "False") for switch in switches), *bound]
    return Cure(f"build {name_called(calls[0])} with inplace=False", tuple(edits))


def _bound_result(writer: Spot) -> list[Edit] | None:
    """Return the edits that bind the result of `self.relu(x)`, a statement of its own; None where it has no name."""
    found = found_at(writer)
    if found is None:
        return []
    syntax, statement, call = found
    dropped = isinstance(statement, ast.Expr) and statement.value is call
    if not dropped or not isinstance(call, ast.Call) or len(call.args) != 1:
        return []
    given, (start, _) = call.args[0], syntax.range(statement)
    if isinstance(given, ast.Name) and not is_bound(syntax, given.id, statement):
        return None
    if is_name(given):
        return [syntax.replace(start, start, f"{syntax.text(given)} = ")]
    return None if is_name(same_memory(given)) else []


def is_state(scene: Scene, write: WriteSite | None) -> Cure | None:
    """A buffer that a forward writes to: who saved it takes a clone."""
    return is_cloned_where_saved(scene, write) if scene.is_state and scene.kind != "refused" else None


def is_written_anew(scene: Scene, write: WriteSite | None) -> Cure | None:
    """`x += y`, `x.mul_(y)`, `x[i] = y`: whoever reads the name gets a new tensor."""
    if write is None or write.is_of_another() or (scene.is_parameter and not isinstance(write.owner, ast.Name)):
        return None
    edits = written_anew(write)
    cloned = any(".clone()" in edit.new for edit in edits or ())
    return Cure("write to a clone" if cloned else "write out of place", tuple(edits)) if edits else None


def is_cloned_where_saved(scene: Scene, write: WriteSite | None) -> Cure | None:
    """Somebody else has the memory that is written to: what is saved is a clone, and every number stays."""
    saver, found = scene.saver, found_at(scene.saver)
    if saver is None or found is None or scene.kind == "refused":
        return None
    syntax, statement, node = found
    within = list(ast.walk(node)) if node is not None else list(syntax.header(statement))
    names = aliases(syntax, _names_at(syntax, saver, scene, write), statement)
    parts = [part for part in within if isinstance(part, (ast.Name, ast.Attribute)) and isinstance(part.ctx, ast.Load)]
    if saver.operation.strip("_") not in SAVES_ITS_RESULT:
        read = _widest(syntax, [part for part in parts if ast.unparse(part) in names])
        edits = [edit for part in read for edit in syntax.cloned(part)]
        return Cure("save a clone", tuple(edits)) if edits else None
    calls = [part for part in within if isinstance(part, ast.Call)]
    named = [call for call in calls if name_called(call).strip("_") == saver.operation.strip("_")]
    results = [node] if isinstance(node, ast.Call) else named or calls[:1]
    return Cure("go on with a clone", tuple(syntax.cloned(results[0]))) if results else None


def _names_at(syntax: Syntax, saver: Spot, scene: Scene, write: WriteSite | None) -> set[str]:
    """Return the names that the written memory has where it was saved."""
    names = {scene.tensor} if scene.tensor else set()
    if scene.tensor and scene.is_state:
        names |= {f"self.{scene.tensor.rpartition('.')[2]}"}
    if write is None:
        return names
    statement = syntax.statement(saver)
    names |= memory_of(write.syntax, write.owner, write.statement)
    here = write.syntax is syntax and statement and syntax.scope_of(statement) is syntax.scope_of(write.statement)
    if here:
        return names
    free = {name for name in names if not is_bound(write.syntax, name, write.statement)}
    names = {name for name in names if "." in name or name in free or name == scene.tensor}
    spot = next(iter(write.spot.called_from), None)
    around = syntax_of(spot.file) if spot else None
    caller = around.statement(spot) if around and spot else None
    if around is syntax and caller is not None and isinstance(write.owner, ast.Name):
        function = write.syntax.scope_of(write.statement)
        arguments = [each.arg for each in getattr(getattr(function, "args", None), "args", [])]
        for call in (part for part in around.header(caller) if isinstance(part, ast.Call)):
            if name_called(call) == getattr(function, "name", "") and write.owner.id in arguments:
                given = call.args[arguments.index(write.owner.id) :][:1]
                names |= {name for each in given for name in memory_of(around, each, caller)}
    return names


def is_only_said(scene: Scene, write: WriteSite | None) -> Cure:
    """Everything else."""
    return Cure(_sentence(scene))


def _sentence(scene: Scene) -> str:
    writer = scene.writers[0] if scene.writers else scene.raised_at
    what, made = scene.tensor or "the tensor", scene.saver or scene.made_by
    if made is None:
        return f"write out of place at {place(writer)}"
    does = "saved" if scene.saver else "made"
    return f"clone {what} where it is {does}, {place(made)}, or write out of place at {place(writer)}"


def place(spot: Spot | None) -> str:
    """Return a file's name and line."""
    return f"{os.path.basename(spot.file)}:{spot.line}" if spot else "that line"


PATTERNS: tuple[Pattern, ...] = (
    goes_into_an_earlier_step, is_handed_out, is_expanded, is_one_of_several, overlaps, is_edited_leaf, is_stepped,
    is_switched, is_state, is_written_anew, is_cloned_where_saved, is_only_said,
)  # fmt: skip
"""In the order in which they are tried."""
