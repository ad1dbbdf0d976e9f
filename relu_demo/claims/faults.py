"""The claims on each fault that is explained: what happens, why it is bad, and that the cure is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from relu_demo.claims.branches import equal, off
from relu_demo.claims.claim import Answer, claim
from relu_demo.language import clauses, listed, mark, plural
from relu_demo.replay.overwrites import Clash, clashes
from relu_demo.replay.trace import Step, TracedPart

Held = Callable[[TracedPart], Answer]
"""Tests a sentence on the fault of a page, or on its cure. Raise KeyError where what it looks for is not there."""


def said(part: TracedPart) -> str:
    """Return what PyTorch says in a part."""
    warnings = [warning for step in part.lines for warning in step.warnings]
    if part.errors or warnings:
        return " ".join([*part.errors, *warnings])
    lines = plural("{n:,} line", "{n:,} lines", len(part.lines))
    return mark("no error, no warning in {lines}", lines=lines)


def first_clash(fault: TracedPart) -> Clash:
    """Return the first write over a saved tensor. Raise KeyError without one."""
    for clash in clashes(fault):
        return clash
    raise KeyError(mark("write over a saved tensor"))


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
    what = mark("changed: {names}", names=listed(changed)) if changed else mark("no tensor changed")
    return bool(lines) and not changed, clauses([said(fault), what])


def expects(fault: TracedPart, was: int, now: int) -> bool:
    """Return whether PyTorch's message has these versions."""
    return any(f"is at version {now}; expected version {was}" in error for error in fault.errors)


def stale(fault: TracedPart) -> Answer:
    """Find the lines that save and overwrite a tensor; their versions are those in PyTorch's message."""
    clash = first_clash(fault)
    was, now = clash.saved.version, clash.overwritten.version
    at = [(clash.saver.line.source, was), (clash.writer.line.source, now)]
    return expects(fault, was, now), clauses([mark("{line}: version {version}", line=a, version=v) for a, v in at])


def stale_by_one_step(fault: TracedPart) -> Answer:
    """Compare the version that a loop has left with those in PyTorch's message: the one of the step before."""
    now = fault.moments["written"].state.version
    return expects(fault, now - 1, now), said(fault)


def untouched(fault: TracedPart) -> Answer:
    """Compare the first half of what was saved before and after the write; PyTorch raises all the same."""
    clash = first_clash(fault)
    was, now = (state.summary.copy.tolist() for state in (clash.saved, clash.overwritten))
    half = len(was) // 2
    return was[:half] == now[:half] and bool(fault.errors), mark("{was}, then {now}", was=was, now=now)


def past_counter(fault: TracedPart) -> Answer:
    """Find the line that overwrites what was saved; the version counter is as before."""
    clash = first_clash(fault)
    was, now = clash.saved.version, clash.overwritten.version
    told = {"line": clash.writer.line.source, "was": was, "now": now}
    return was == now, mark("{line}: version {was}, then {now}, with other numbers", **told)


def not_compared(fault: TracedPart) -> Answer:
    """Find the line that overwrites what was saved; the version counter has moved, and nothing is raised."""
    clash = first_clash(fault)
    was, now = clash.saved.version, clash.overwritten.version
    return was < now and not fault.errors, clauses(
        [mark("version {before}, then {after}", before=was, after=now), said(fault)]
    )


def wrong(fault: TracedPart) -> Answer:
    """Compare the result with the right numbers; there is no error and no warning."""
    look = fault.moments.get("result")
    if look is None or fault.errors or any(step.warnings for step in fault.lines):
        return False, said(fault)
    return not equal(look), clauses([off(look), said(fault)])


def right(cure: TracedPart) -> Answer:
    """Compare the result with the right numbers; there is no error."""
    look = cure.moments.get("result")
    return (False, said(cure)) if look is None or cure.errors else (equal(look), off(look))


def overwritten_once(fault: TracedPart) -> Answer:
    """Read the version counter of the caller's tensor."""
    state = fault.moments["result"].state
    return state.version == 1, mark("{name}: version {version:,}", name=state.name, version=state.version)


def uncounted(fault: TracedPart) -> Answer:
    """Look for a version counter."""
    state = fault.moments["written"].state
    counter = mark("{name}: version {version:,}") if state.version >= 0 else mark("{name}: no version counter")
    return state.version < 0, mark(counter, name=state.name, version=state.version)


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
        said = mark("{what} of {name}: {a:#x}, of {other}: {b:#x}", what=what, name=name, other=other, a=a, b=b)
        return a == b, said

    return holds


WHY: Mapping[str, tuple[tuple[str, Held], ...]] = {
    "saved-tensor": (
        (mark("exp's backward keeps its result y, and the write moves y's version counter: backward() raises."), stale),
        (mark("Out of place there is a new tensor, and the saved y stays."), right),
    ),
    "step-before-backward": (
        (mark("The second loss saved w, the step overwrote it, and the versions differ: backward() raises."), stale),
        (mark("A loss that is computed after the step saves the new w."), right),
    ),
    "earlier-step": (
        (
            mark("The third backward() runs through the second step's graph, which saved w one version ago."),
            stale_by_one_step,
        ),
        (mark("With detach() each backward() ends at its own step: a gradient cut short on purpose."), right),
    ),
    "shared-version-counter": (
        (
            mark("The saved half keeps its numbers, and PyTorch raises all the same: it compares the shared counter."),
            untouched,
        ),
        (mark("A clone has a version counter of its own."), right),
    ),
    "data": (
        (mark("The write through .data leaves w's version counter as it was."), past_counter),
        (mark("PyTorch's notes say that without an error the gradients are correct: this one is wrong."), wrong),
        (mark("After backward() the write does no harm."), right),
    ),
    "shared-memory": (
        (mark("alias has w's memory."), same("data_ptr", "alias", "w")),
        (mark("The write through it leaves w's version counter as it was."), past_counter),
        (mark("So PyTorch notices nothing, and the gradient is wrong."), wrong),
        (mark("A clone has memory of its own."), right),
    ),
    "saved-tensors-hooks": (
        (mark("h's version counter moves, and with hooks nobody compares it."), not_compared),
        (mark("PyTorch's notes say that without an error the gradients are correct: this one is wrong."), wrong),
        (mark("A hook that keeps a copy keeps the numbers."), right),
    ),
    "running-statistics": (
        (mark("BatchNorm overwrites its statistics without a word to their version counter."), past_counter),
        (mark("So PyTorch notices nothing, and the gradient is wrong."), wrong),
        (mark("When backward() comes first, it has the statistics of its forward."), right),
    ),
    "leaf": (
        (mark("w is a leaf: no operation made it, and backward() adds up a gradient in it."), is_leaf_with_grad),
        (mark("A recorded write would make it the result of one. PyTorch refuses, and w stays."), changes_nothing),
        (mark("Under no_grad() nothing is recorded: w is a leaf still, with new numbers."), right),
    ),
    "view-of-a-leaf": (
        (mark("w is a leaf, and w[0] a view of its memory."), is_leaf_with_grad),
        (mark("To write to the view is to write to the leaf: PyTorch refuses."), changes_nothing),
        (mark("Under no_grad() nothing is recorded, and w is a leaf still."), right),
    ),
    "several-views": (
        (mark("a and b are views of one memory."), same("data_ptr", "a", "b")),
        (
            mark("One node made both, and autograd cannot give it a new history for one: PyTorch refuses."),
            changes_nothing,
        ),
        (mark("Out of place a is a new tensor."), right),
    ),
    "overwritten-base": (
        (mark("a and b are views of h's memory: the write to h changes them."), same("data_ptr", "a", "h")),
        (mark("One call made both, and autograd cannot make them anew: PyTorch refuses to use them."), raises),
        (mark("Views that are made after the write know of it."), right),
    ),
    "expanded": (
        (mark("rows has start's memory: six elements, three numbers."), same("data_ptr", "rows", "start")),
        (mark("A write would reach each number twice: PyTorch refuses."), changes_nothing),
        (mark("A clone has six numbers."), right),
    ),
    "overlap": (
        (
            mark("What is read and what is written share memory, and the order would decide: PyTorch refuses."),
            changes_nothing,
        ),
        (mark("A clone is read as it was before the write."), right),
    ),
    "inference-tensor": (
        (mark("An inference tensor has no version counter, so autograd could not notice the write."), uncounted),
        (mark("PyTorch raises outside of inference mode."), raises),
        (mark("A clone that is made outside is an ordinary tensor."), right),
    ),
    "no-grad-view": (
        (mark("a has h's memory."), same("data_ptr", "a", "h")),
        (mark("Autograd recorded no grad_fn that leads from a to h."), made_by("None")),
        (mark("It could not tell h of the write: PyTorch refuses."), changes_nothing),
        (mark("With the view and the write in one mode, h's gradient knows of the write."), right),
    ),
    "backward-hook": (
        (
            mark("The hook stands as a node of its own behind the layer, and y is that node's view."),
            made_by("BackwardHook"),
        ),
        (mark("To record the write, autograd would replace that node: PyTorch refuses."), changes_nothing),
        (mark("Out of place y stays as the hook needs it."), right),
    ),
    "custom-function": (
        (mark("y was made by a Function of the user's own."), made_by("Half")),
        (mark("To record the write, autograd would replace its backward: PyTorch refuses."), changes_nothing),
        (mark("A clone is no view."), right),
    ),
    "negative-slope": (
        (mark("In place the result overwrites the input, and a number above zero may come from either side."), raises),
        (mark("Out of place backward() has the input."), right),
    ),
    "vmap": (
        (
            mark("total is one row for the whole batch, and every row would be added to it: PyTorch refuses."),
            changes_nothing,
        ),
        (mark("Out of place each row of the batch gets a sum of its own."), right),
    ),
    "out": (
        (mark("y is there already, and no grad_fn leads from it to x."), made_by("None")),
        (mark("What is written to y would have no gradient: PyTorch refuses."), changes_nothing),
        (mark("Without out= the result has its grad_fn."), right),
    ),
    "eaten-skip": (
        (mark("The skip adds what relu has left of h: the result is wrong, and PyTorch says nothing."), wrong),
        (mark("With inplace=False h stays as it was."), right),
    ),
    "input-overwritten": (
        (mark("The function writes to the caller's own tensor."), overwritten_once),
        (mark("The caller's numbers are gone, and PyTorch says nothing."), wrong),
        (mark("Out of place the caller keeps them."), right),
    ),
    "forward-hook": (
        (mark("What the hook keeps is the tensor that the network returns."), same("id", "seen", "y")),
        (mark("It no longer has the layer's output, and PyTorch says nothing."), wrong),
        (mark("With inplace=False the hook keeps what it saw."), right),
    ),
    "alias-read": (
        (mark("An assignment copies nothing: h and skip are one tensor."), same("id", "h", "skip")),
        (mark("So skip has changed with h, and PyTorch says nothing."), wrong),
        (mark("A clone is another tensor."), right),
    ),
}
"""The sentences on each page, by its name, each with what tests it."""


def unless_missing(holds: Held) -> Held:
    """Return what answers False where what it looks for is not there, since another PyTorch raised before."""

    def answer(part: TracedPart) -> Answer:
        try:
            return holds(part)
        except KeyError as missing:
            return False, mark("there is no {what}", what=missing.args[0])

    return answer


for number, (name, says, holds) in enumerate(((name, *each) for name, group in WHY.items() for each in group), 20):
    claim(number, says, needs=("cure" if holds is right else "fault",), page=name)(unless_missing(holds))
