"""What to do about a fault: the patterns of each kind, of which the first that fits gives the edits or a sentence."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from relu_demo.edits.edit import Cure, Edit, Scene, united
from relu_demo.edits.out_of_place import WriteSite, switch_of, write_at, written_anew
from relu_demo.edits.step_order import computed_again, course_of, in_other_order
from relu_demo.edits.syntax import (
    CALLER,
    Found,
    Syntax,
    end_of,
    found_at,
    is_name,
    names_of,
    same_memory,
    start_of,
    syntax_of,
)
from relu_demo.sanitizer.place import GIVING, Place
from relu_demo.sanitizer.source import called, calls_in

SAVES_ITS_RESULT = {
    "exp", "exp2", "expm1", "sigmoid", "tanh", "tan", "softmax", "log_softmax", "softmin", "sqrt", "rsqrt",
    "reciprocal", "relu", "elu", "celu", "selu", "leaky_relu", "rrelu", "logsumexp", "cumprod",
}  # fmt: skip
"""Functions whose backward needs their result, and not what they were given."""
TAKES = {"from_dlpack", "asarray", "array", "as_tensor", "from_numpy"}
"""Functions that have the memory of what they are given."""
EXPANDS = {"expand", "expand_as", "broadcast_to", "apply"}
"""What makes a tensor that may not be written to, and that a clone of it may be; `apply` of a custom Function."""


def cure_of(scene: Scene) -> Cure:
    """Return what to do about a fault: about its first write, and about others that are cured in the same way."""
    writers = scene.writers or ((scene.raised_at,) if scene.raised_at and scene.kind == "refused" else ())
    cures = [_cure_of(replace(scene, writers=(writer,))) for writer in writers] or [_cure_of(scene)]
    first, also = cures[0], [cure for cure in cures[1:] if cure.edits and cure.says == cures[0].says]
    return replace(first, edits=united([first.edits, *(cure.edits for cure in also)]))


def _cure_of(scene: Scene) -> Cure:
    write = write_at(scene.writers[0], scene.in_container) if scene.writers else None
    kind = "carried" if scene.carried else scene.refusal or scene.kind
    return next(cure for pattern in (*OF_A_KIND.get(kind, ()), *OF_ANY) if (cure := pattern(scene, write)) is not None)


def written_out_of_place(scene: Scene) -> Cure:
    """Return how a write is made out of place, so that whoever else has the memory keeps what was there."""
    write = write_at(scene.writers[0], scene.in_container)
    edits = written_anew(write, is_alias_kept=True) if write is not None else None
    anew = Cure("write out of place", tuple(edits)) if edits else None
    return build_out_of_place(scene, write) or anew or say_both(scene, write)


def name_earlier_step(scene: Scene, write: WriteSite | None) -> Cure:
    """What is carried from step to step."""
    through = f" through {scene.tensor}" if scene.tensor else ""
    return Cure(
        f"the backward at {in_words(scene.raised_at)} goes on into the graph of an earlier step{through}",
        warning=f"to detach() {scene.tensor or 'what is carried'} between the steps changes the training",
    )


def clone_handed_out(scene: Scene, write: WriteSite | None) -> Cure | None:
    """`y.numpy()`, `torch.from_dlpack(y)`: two names of one memory."""
    found = found_at(
        next((each for each in (scene.made_by, *scene.writers) if each and each.operation in GIVING), None)
    )
    if found is None:
        return None
    calls = [call for call in found.syntax.header(found.statement) if isinstance(call, ast.Call)]
    given = [call.func.value for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "numpy"]
    given += [call.args[0] for call in calls if called(call) in TAKES and call.args]
    if not given or found.syntax.is_for_caller(given[0], given[0]):
        return None
    return Cure("hand out a clone", tuple(found.syntax.cloned(given[0])))


def clone_expanded(scene: Scene, write: WriteSite | None) -> Cure | None:
    """Several elements are one in memory, or a custom Function has returned a view."""
    found = found_at(scene.made_by)
    if found is None or not isinstance(found.node, ast.Call) or called(found.node) not in EXPANDS:
        return None
    return Cure(f"clone what {called(found.node)}() gives", tuple(found.syntax.cloned(found.node)))


def index_rows(scene: Scene, write: WriteSite | None) -> Cure | None:
    """`for row in x:`, whose rows PyTorch makes by one call: those that are indexed may be written to."""
    found = found_at(scene.made_by)
    if write is not None and isinstance(write.target, ast.Subscript):  # nobody can bind an item of a tuple
        return say_both(scene, write)
    if found is None or write is None or not isinstance(found.statement, ast.For):
        return None
    rows = found.statement.iter
    if isinstance(rows, ast.Call) and ast.unparse(rows.func) == "enumerate":
        rows = rows.args[0]
    text = ast.unparse(rows)
    if not is_name(rows) or not found.syntax.is_read_after(text, write.statement):
        return None
    i = "row" if text.startswith("i") else "i"
    edit = found.syntax.replace(rows, f"({text}[{i}] for {i} in range(len({text})))")
    return Cure("index instead of iterating", (edit,))


def clone_read(scene: Scene, write: WriteSite | None) -> Cure | None:
    """`x[1:] += x[:-1]`, `keep[keep] = y`: what is read there has the memory of what is written to."""
    if write is None:
        return None
    names = write.syntax.memory_of(names_of(write.owner), write.owner, and_views=True)
    index = [write.target.slice] if isinstance(write.target, ast.Subscript) else []
    for side in (*index, write.statement):  # an index is used first
        if edits := _cloned_in(write.syntax, side, names, but=write.owner):
            return Cure("clone what is read there", tuple(edits))
    return None


def _cloned_in(syntax: Syntax, node: ast.AST, names: set[str], but: ast.AST | None = None) -> list[Edit]:
    """Return the edits that clone what a part reads of some memory, with all views of it: `x[:-1].t()` around `x`."""
    found: list[ast.expr] = []
    for part in ast.walk(node):
        if not isinstance(part, (ast.Name, ast.Attribute)) or part is but or not isinstance(part.ctx, ast.Load):
            continue
        if ast.unparse(part) in names and not any(part in ast.walk(each) for each in found):
            views = [each for each in syntax.around(part) if isinstance(each, ast.expr)]
            found.append([part, *(each for each in views if same_memory(each) is same_memory(part))][-1])
    return [edit for each in found for edit in syntax.cloned(each)]


def edit_without_grad(scene: Scene, write: WriteSite | None) -> Cure | None:
    """A weight that is edited by hand, and through which no gradient is to go."""
    if write is None or scene.gradient_is_written or not _is_weight(scene, write):
        return None
    syntax, statement = write.syntax, write.statement
    functions = {getattr(each, "name", "") for each in syntax.around(statement)}
    indent, torch = syntax.indent(statement), _name_of_torch(syntax)
    if "forward" in functions or indent is None or not isinstance(statement, (ast.Expr, ast.Assign, ast.AugAssign)):
        return None
    edit = syntax.insert(start_of(statement), f"with {torch}.no_grad():\n{indent}    ")
    return Cure("edit it under torch.no_grad()", (edit,)) if torch else None


def _is_weight(scene: Scene, write: WriteSite) -> bool:
    """Whether a tensor is a parameter, or the source says that it is a leaf or computes with its gradient."""
    syntax, name = write.syntax, ast.unparse(write.owner)
    if scene.is_parameter or re.search(rf"\b{re.escape(name)}\.grad\b", ast.unparse(write.statement)):
        return True
    is_local = isinstance(write.owner, ast.Name) and syntax.can_be_bound(write.owner)
    scope = syntax.scope_of(write.owner) if is_local else syntax.tree
    if any(ast.unparse(call.func) == f"{name}.requires_grad_" for call in calls_in(scope, "requires_grad_")):
        return True
    assigned = [part for part in ast.walk(scope) if isinstance(part, ast.Assign)]
    values = [ast.unparse(part.value) for part in assigned if name in map(ast.unparse, part.targets)]
    return any(re.search(r"requires_grad|Parameter\(", value) for value in values)


def _name_of_torch(syntax: Syntax) -> str:
    """Return the name that a file has of torch; empty where it has none."""
    names = [alias for node in syntax.tree.body if isinstance(node, ast.Import) for alias in node.names]
    return next((each.asname or "torch" for each in names if each.name == "torch"), "")


def go_backward_first(scene: Scene, write: WriteSite | None) -> Cure | None:
    """The weights change between a forward and its backward: by an optimizer's step, or by hand."""
    writer = scene.writers[0] if scene.writers else None
    if writer is None:
        return None
    by_hand = writer.operation != "step"
    if by_hand and not (scene.is_parameter if write is None else _is_weight(scene, write)):
        return None
    if by_hand and (cure := clone_saved(scene, write)) is not None:
        return cure
    course = course_of(scene)
    if course is not None:
        does = _call_in(course.writes, writer.operation)
        uses_gradients = not by_hand or ".grad" in ast.unparse(course.writes)
        again = computed_again(course) if uses_gradients else None
        if again is not None:
            *names, last = again[0]
            named = f"{', '.join(names)} and {last}" if names else last
            return Cure(f"compute {named} again after {does}", tuple(again[1]))
        own = found_at(writer)
        is_direct = not writer.called_from or (own is not None and own.statement is course.writes)
        swapped = in_other_order(course) if is_direct else None
        if swapped is not None:
            summed = uses_gradients and "autograd.grad(" not in ast.unparse(course.raises)
            warning = f"its gradients are then added to those that {does} uses" if summed else ""
            return Cure(f"{does} after {_call_in(course.raises, 'backward')}", tuple(swapped), warning)
    raised = found_at(scene.raised_at)
    loss, raises, wrote = _loss_at(raised), in_words(scene.raised_at), in_words(writer)
    callers = [in_words(each) for each in scene.raised_at.called_from] if scene.raised_at else []
    if wrote in callers:  # an optimizer's step, which calls the closure
        return Cure(f"compute {loss} in the closure that {wrote} calls, not before it")
    own = found_at(writer)
    if raised is not None and own is not None and _is_before(raised, own):
        saver = in_words(scene.saver)
        return Cure(
            f"the write at {wrote} is of an earlier round: compute again in each what {saver} saves, or detach it"
        )
    return Cure(f"go backward from {loss}, {raises}, before the write at {wrote}, or compute {loss} again after it")


def _is_before(one: Found, other: Found) -> bool:
    """Return whether two statements are of one function, the first above the second."""
    same = one.syntax.file == other.syntax.file
    scopes = [each.syntax.scope_of(each.statement) for each in (one, other)]
    return same and scopes[0] is scopes[1] and end_of(one.statement) <= start_of(other.statement)


def _loss_at(found: Found | None) -> str:
    call = found.node if found is not None else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and called(call) == "backward":
        return ast.unparse(call.func.value) if not call.args else "the loss"
    return "the loss"


def _call_in(statement: ast.stmt, name: str) -> str:
    """Return a call in a statement as it is written, on one line; the statement's first line where there is none."""
    call = next(calls_in(statement, name), None)
    return ast.unparse(call or statement).partition("\n")[0].removesuffix(":")


def build_out_of_place(scene: Scene, write: WriteSite | None) -> Cure | None:
    """A module that writes because it was built with `inplace=True`."""
    built, syntax = scene.built_at, syntax_of(scene.built_at.file) if scene.built_at else None
    if built is None or syntax is None or (write is not None and not write.calls):
        return None
    calls = [part for part in ast.walk(syntax.tree) if isinstance(part, ast.Call)]
    calls = [call for call in calls if call.lineno <= (built.line or 0) <= (call.end_lineno or 0)]
    found = [(call, switch) for call in calls if (switch := switch_of(call)) is not None]
    found = [each for each in found if called(each[0]) == built.operation] or found
    bound = _bound_result(scene.writers[0], syntax, [call for call, _ in found])
    if bound is None or len({called(call) for call, _ in found}) != 1:
        return None
    edits = [*(syntax.replace(switch, "False") for _, switch in found), *bound]
    return Cure(f"build {called(found[0][0])} with inplace=False", tuple(edits))


def _bound_result(writer: Place, syntax: Syntax, built: Sequence[ast.Call]) -> list[Edit] | None:
    """Return the edits that bind the result of `self.relu(x)`, a statement of its own; None where nobody can tell how.

    Nothing is to be bound where the module is one of an nn.Sequential: the statement calls that. `built`: the calls
    that may have built the module.
    """
    found = found_at(writer)
    if found is None or not isinstance(found.node, ast.Call) or len(found.node.args) != 1:
        return []
    if any(isinstance(each, ast.Call) and called(each) == "Sequential" for one in built for each in syntax.around(one)):
        return []
    statements = [(one, syntax.statement_of(one)) for one in built]
    bound = [each.targets[0] for one, each in statements if isinstance(each, ast.Assign) and each.value is one]
    names = [each.attr if isinstance(each, ast.Attribute) else ast.unparse(each) for each in bound]
    edits = _bound_to(found)
    return edits if not edits or called(found.node) in names else None


def clone_state(scene: Scene, write: WriteSite | None) -> Cure | None:
    """A buffer that a forward writes to: who saved it takes a clone."""
    return clone_saved(scene, write) if scene.is_state else None


def write_anew(scene: Scene, write: WriteSite | None) -> Cure | None:
    """`x += y`, `x.mul_(y)`, `x[i] = y`: whoever reads the name gets a new tensor."""
    if write is None or write.is_of_another() or (scene.is_parameter and not isinstance(write.owner, ast.Name)):
        return None
    edits = written_anew(write)
    cloned = any(".clone()" in edit.new for edit in edits or ())
    if cloned and scene.refusal == "vmap":  # a clone has no batch dimension either
        return None
    return Cure("write to a clone" if cloned else "write out of place", tuple(edits)) if edits else None


def clone_saved(scene: Scene, write: WriteSite | None) -> Cure | None:
    """Somebody else has the memory that is written to: what is saved is a clone, and every number stays."""
    saver, found = scene.saver, found_at(scene.saver)
    if saver is None or found is None or scene.kind == "refused":
        return None
    if saver.operation.strip("_") in SAVES_ITS_RESULT:
        bound = _bound_to(found)
        edits = found.syntax.cloned(found.node) if isinstance(found.node, ast.expr) and bound is not None else []
        return Cure("go on with a clone", (*(bound or ()), *edits)) if edits else None
    names = found.syntax.memory_of(_names_at(found, scene, write), found.statement, and_views=True)
    parts = [found.node] if found.node is not None else found.syntax.header(found.statement)
    edits = [edit for part in parts for edit in _cloned_in(found.syntax, part, names)]
    return Cure("save a clone", tuple(dict.fromkeys(edits))) if edits else None


def _bound_to(found: Found) -> list[Edit] | None:
    """
    Return the edits that give the result of `F.relu_(x)`, `x.relu_()`, a statement of its own, the name of its tensor.

    None where it has no name.
    """
    call = found.node
    if not isinstance(found.statement, ast.Expr) or found.statement.value is not call or not isinstance(call, ast.Call):
        return []
    tensor = call.args[0] if call.args else getattr(call.func, "value", call)
    if not found.syntax.can_be_bound(tensor):
        return None
    return [found.syntax.insert(start_of(call), f"{found.syntax.text(tensor)} = ")]


def _names_at(found: Found, scene: Scene, write: WriteSite | None) -> set[str]:
    """Return the names that the written memory has where it was saved."""
    names = {scene.tensor} if scene.tensor else set()
    if scene.tensor and scene.is_state:
        names |= {f"self.{scene.tensor.rpartition('.')[2]}"}
    if write is None:
        return names
    written = write.syntax.memory_of(names_of(write.owner), write.owner)
    scope = write.syntax.scope_of(write.statement)
    if scope is found.syntax.scope_of(found.statement):
        return names | written
    caller = found_at(next(iter(scene.writers[0].called_from), None)) if CALLER in written else None
    for call in calls_in(caller.statement, getattr(scope, "name", "")) if caller is not None else ():
        names |= {name for given in call.args for name in names_of(given)}
    is_local = isinstance(write.owner, ast.Name) and write.syntax.can_be_bound(write.owner)
    return names | {name for name in written if not is_local or "." in name}


def say_both(scene: Scene, write: WriteSite | None) -> Cure:
    """Everything else: a sentence that names the lines."""
    writer = scene.writers[0] if scene.writers else scene.raised_at
    what, made = scene.tensor or "the tensor", scene.saver or scene.made_by
    if made is None:
        return Cure(f"write out of place at {in_words(writer)}")
    does = "saved" if scene.saver else "made"
    return Cure(f"clone {what} where it is {does}, {in_words(made)}, or write out of place at {in_words(writer)}")


def in_words(place: Place | None) -> str:
    """Return a file's name and line."""
    return f"{os.path.basename(place.file)}:{place.line}" if place and place.file else "that line"


Pattern = Callable[[Scene, WriteSite | None], Cure | None]
OF_A_KIND: dict[str, tuple[Pattern, ...]] = {
    "carried": (name_earlier_step,),
    "overwritten": (clone_handed_out, go_backward_first),
    "silent": (clone_handed_out, go_backward_first),
    "expanded": (clone_expanded,),
    "custom-function": (clone_expanded,),
    "several-views": (index_rows,),
    "overlap": (clone_read,),
    "leaf": (edit_without_grad,),
    "view-of-a-leaf": (clone_expanded, edit_without_grad),
}
"""What is tried first, by the kind of fault or the key of the reason for which PyTorch refused a write."""
OF_ANY: tuple[Pattern, ...] = (build_out_of_place, clone_state, write_anew, clone_saved, say_both)
"""What is tried next, in this order."""
