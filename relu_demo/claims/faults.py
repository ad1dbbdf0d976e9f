"""The claims on each fault that is explained: what happens, why it is bad, and that the cure is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from relu_demo.claims.branches import equal, off
from relu_demo.claims.claim import Answer, claim
from relu_demo.claims.report import counted
from relu_demo.replay.clashes import Clash, clashes
from relu_demo.replay.trace import Step, TracedPart

Held = Callable[[TracedPart], Answer]
"""Tests a sentence on the fault of a page, or on its cure. Raise KeyError where what it looks for is not there."""


def said(part: TracedPart) -> str:
    """Return what PyTorch says in a part."""
    warnings = [warning for step in part.lines for warning in step.warnings]
    return " ".join([*part.errors, *warnings]) or f"no error, no warning in {counted(len(part.lines), 'line')}"


def first_clash(fault: TracedPart) -> Clash:
    """Return the first write over a saved tensor. Raise KeyError without one."""
    for clash in clashes(fault):
        return clash
    raise KeyError("write over a saved tensor")


def refusing(fault: TracedPart) -> list[Step]:
    """Return the lines at which PyTorch raised a RuntimeError: any other error is another matter."""
    return [step for step in fault.lines if "\nRuntimeError: " in step.output]


def raises(fault: TracedPart) -> Answer:
    """Look for PyTorch's own message."""
    return bool(refusing(fault)), said(fault)


def changes_nothing(fault: TracedPart) -> Answer:
    """Look for PyTorch's own message; the line that raises it changes no tensor."""
    lines = refusing(fault)
    changed = [name for step in lines for name in step.changed_tensors]
    return bool(lines) and not changed, f"{said(fault)} Changed: {', '.join(changed) or 'nothing'}"


def expects(fault: TracedPart, was: int, now: int) -> bool:
    """Return whether PyTorch's message has these versions."""
    return any(f"is at version {now}; expected version {was}" in error for error in fault.errors)


def stale(fault: TracedPart) -> Answer:
    """Find the lines that save and overwrite a tensor; their versions are those in PyTorch's message."""
    clash = first_clash(fault)
    was, now = clash.saved.version, clash.overwritten.version
    evidence = f"{clash.saver.line.source}: version {was}; {clash.writer.line.source}: version {now}"
    return expects(fault, was, now), evidence


def stale_by_one_step(fault: TracedPart) -> Answer:
    """Compare the version that a loop has left with those in PyTorch's message: the one of the step before."""
    now = fault.moments["written"].state.version
    return expects(fault, now - 1, now), said(fault)


def untouched(fault: TracedPart) -> Answer:
    """Compare the first half of what was saved before and after the write; PyTorch raises all the same."""
    clash = first_clash(fault)
    was, now = (state.summary.copy.tolist() for state in (clash.saved, clash.overwritten))
    half = len(was) // 2
    return was[:half] == now[:half] and was != now and bool(fault.errors), f"{was}, then {now}"


def past_counter(fault: TracedPart) -> Answer:
    """Find the line that overwrites what was saved; the version counter is as before."""
    clash = first_clash(fault)
    was, now = clash.saved.version, clash.overwritten.version
    return was == now, f"{clash.writer.line.source}: version {was}, then {now}, with other numbers"


def not_compared(fault: TracedPart) -> Answer:
    """Find the line that overwrites what was saved; the version counter has moved, and nothing is raised."""
    clash = first_clash(fault)
    was, now = clash.saved.version, clash.overwritten.version
    return was < now and not fault.errors, f"version {was}, then {now}; {said(fault)}"


def wrong(fault: TracedPart) -> Answer:
    """Compare the result with the right numbers; there is no error and no warning."""
    look = fault.moments.get("result")
    if look is None or fault.errors or any(step.warnings for step in fault.lines):
        return False, said(fault)
    return not equal(look), f"{off(look)}; {said(fault)}"


def right(cure: TracedPart) -> Answer:
    """Compare the result with the right numbers; there is no error."""
    look = cure.moments.get("result")
    return (False, said(cure)) if look is None or cure.errors else (equal(look), off(look))


def overwritten_once(fault: TracedPart) -> Answer:
    """Read the version counter of the caller's tensor."""
    state = fault.moments["result"].state
    return state.version == 1, f"{state.name}: version {state.version}"


def uncounted(fault: TracedPart) -> Answer:
    """Look for a version counter."""
    state = fault.moments["written"].state
    return state.version < 0, f"{state.name}: {'no version counter' if state.version < 0 else state.version}"


def is_leaf_with_grad(fault: TracedPart) -> Answer:
    """Look at `requires_grad` and `grad_fn`."""
    state = fault.moments["written"].state
    evidence = f"{state.name}: requires_grad={state.requires_grad}, grad_fn {state.grad_fn_name}"
    return state.requires_grad and state.grad_fn is None, evidence


def made_by(node: str) -> Held:
    """Return what compares the class of `grad_fn`, or "None", of what may not be written to."""

    def holds(fault: TracedPart) -> Answer:
        state = fault.moments["written"].state
        return state.grad_fn_name.startswith(node), f"{state.name}: grad_fn {state.grad_fn_name}"

    return holds


def same(what: str, name: str, other: str) -> Held:
    """Return what compares an attribute of two tensors of the fault."""

    def holds(fault: TracedPart) -> Answer:
        a, b = (getattr(fault.lines[-1].tensors[each], what) for each in (name, other))
        return a == b, f"{what} of {name}: {a:#x}, of {other}: {b:#x}"

    return holds


WHY: Mapping[str, tuple[tuple[str, Held], ...]] = {
    "saved-tensor": (
        ("exp's backward keeps its result y, and the write moves y's version counter: backward() raises.", stale),
        ("Out of place there is a new tensor, and the saved y stays.", right),
    ),
    "step-before-backward": (
        ("The second loss saved w, the step overwrote it, and the versions differ: backward() raises.", stale),
        ("A loss that is computed after the step saves the new w.", right),
    ),
    "earlier-step": (
        (
            "The third backward() runs through the second step's graph, which saved w one version ago.",
            stale_by_one_step,
        ),
        ("With detach() each backward() ends at its own step: a gradient cut short, and meant so.", right),
    ),
    "shared-version-counter": (
        (
            "The saved half keeps its numbers, and PyTorch raises all the same: it compares the shared counter.",
            untouched,
        ),
        ("A clone has a version counter of its own.", right),
    ),
    "data": (
        ("The write through .data leaves w's version counter as it was.", past_counter),
        ("PyTorch's notes say that who sees no error can be sure of the gradients: this one is wrong.", wrong),
        ("After backward() the write does no harm.", right),
    ),
    "shared-memory": (
        ("alias has w's memory.", same("data_ptr", "alias", "w")),
        ("The write through it leaves w's version counter as it was.", past_counter),
        ("So PyTorch notices nothing, and the gradient is wrong.", wrong),
        ("A clone has memory of its own.", right),
    ),
    "saved-tensors-hooks": (
        ("h's version counter moves, and with hooks nobody compares it.", not_compared),
        ("PyTorch's notes say that who sees no error can be sure of the gradients: this one is wrong.", wrong),
        ("A hook that keeps a copy keeps the numbers.", right),
    ),
    "running-statistics": (
        ("BatchNorm overwrites its statistics without a word to their version counter.", past_counter),
        ("So PyTorch notices nothing, and the gradient is wrong.", wrong),
        ("When backward() comes first, it has the statistics of its forward.", right),
    ),
    "leaf": (
        ("w is a leaf: no operation made it, and backward() adds up a gradient in it.", is_leaf_with_grad),
        ("A recorded write would make it the result of one. PyTorch refuses, and w stays.", changes_nothing),
        ("Under no_grad() nothing is recorded: w is a leaf still, with new numbers.", right),
    ),
    "view-of-a-leaf": (
        ("w is a leaf, and w[0] a view of its memory.", is_leaf_with_grad),
        ("To write to the view is to write to the leaf: PyTorch refuses.", changes_nothing),
        ("Under no_grad() nothing is recorded, and w is a leaf still.", right),
    ),
    "several-views": (
        ("a and b are views of one memory.", same("data_ptr", "a", "b")),
        ("One node made both, and autograd cannot give it a new history for one: PyTorch refuses.", changes_nothing),
        ("Out of place a is a new tensor.", right),
    ),
    "overwritten-base": (
        ("a and b are views of h's memory: the write to h changes them.", same("data_ptr", "a", "h")),
        ("One call made both, and autograd cannot make them anew: PyTorch refuses to use them.", raises),
        ("Views that are made after the write know of it.", right),
    ),
    "expanded": (
        ("rows has start's memory: six elements, three numbers.", same("data_ptr", "rows", "start")),
        ("A write would reach each number twice: PyTorch refuses.", changes_nothing),
        ("A clone has six numbers.", right),
    ),
    "overlap": (
        (
            "What is read and what is written share memory, and the order would decide: PyTorch refuses.",
            changes_nothing,
        ),
        ("A clone is read as it was before the write.", right),
    ),
    "inference-tensor": (
        ("An inference tensor has no version counter, so autograd could not notice the write.", uncounted),
        ("PyTorch raises outside of inference mode.", raises),
        ("A clone that is made outside is an ordinary tensor.", right),
    ),
    "no-grad-view": (
        ("a has h's memory.", same("data_ptr", "a", "h")),
        ("Autograd recorded no grad_fn that leads from a to h.", made_by("None")),
        ("It could not tell h of the write: PyTorch refuses.", changes_nothing),
        ("With the view and the write in one mode, h's gradient knows of the write.", right),
    ),
    "backward-hook": (
        ("The hook stands as a node of its own behind the layer, and y is that node's view.", made_by("BackwardHook")),
        ("To record the write, autograd would replace that node: PyTorch refuses.", changes_nothing),
        ("Out of place y stays as the hook needs it.", right),
    ),
    "custom-function": (
        ("y was made by a Function of the user's own.", made_by("Half")),
        ("To record the write, autograd would replace its backward: PyTorch refuses.", changes_nothing),
        ("A clone is no view.", right),
    ),
    "negative-slope": (
        ("In place the result overwrites the input, and a number above zero may come from either side.", raises),
        ("Out of place backward() has the input.", right),
    ),
    "vmap": (
        ("total is one row for the whole batch, and every row would be added to it: PyTorch refuses.", changes_nothing),
        ("Out of place each row of the batch gets a sum of its own.", right),
    ),
    "out": (
        ("y is there already, and no grad_fn leads from it to x.", made_by("None")),
        ("What is written to y would have no gradient: PyTorch refuses.", changes_nothing),
        ("Without out= the result has its grad_fn.", right),
    ),
    "eaten-skip": (
        ("The skip adds what relu has left of h: the result is wrong, and PyTorch says nothing.", wrong),
        ("With inplace=False h stays as it was.", right),
    ),
    "input-overwritten": (
        ("The function writes to the caller's own tensor.", overwritten_once),
        ("The caller's numbers are gone, and PyTorch says nothing.", wrong),
        ("Out of place the caller keeps them.", right),
    ),
    "forward-hook": (
        ("What the hook keeps is the tensor that the network returns.", same("id", "seen", "y")),
        ("It no longer has the layer's output, and PyTorch says nothing.", wrong),
        ("With inplace=False the hook keeps what it saw.", right),
    ),
    "alias-read": (
        ("An assignment copies nothing: h and skip are one tensor.", same("id", "h", "skip")),
        ("So skip has changed with h, and PyTorch says nothing.", wrong),
        ("A clone is another tensor.", right),
    ),
}
"""The sentences on each page, by its name, each with what tests it."""


def unless_missing(holds: Held) -> Held:
    """Return what answers False where what it looks for is not there, since another PyTorch raised before."""

    def answer(part: TracedPart) -> Answer:
        try:
            return holds(part)
        except KeyError as missing:
            return False, f"there is no {missing.args[0]}"

    return answer


for number, (name, says, holds) in enumerate(((name, *each) for name, group in WHY.items() for each in group), 20):
    claim(number, says, needs=("cure" if holds is right else "fault",), page=name)(unless_missing(holds))
