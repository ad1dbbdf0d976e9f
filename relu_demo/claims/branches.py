"""The claims on two branches that read one tensor: the silent fault, the loud one, their cures, and the leaf."""

from __future__ import annotations

import torch

from relu_demo.claims.claim import Answer, claim
from relu_demo.claims.report import counted
from relu_demo.replay.trace import Look, Step, TracedPart
from relu_demo.session.branches import CURES, LEAF_FAULT, LOUD_FAULT, RIGHT, SILENT_FAULT

ORDER, CLONE, NO_BACKWARD = CURES


def off(*looks: Look) -> str:
    """Say how far each look is from its reference."""
    return "; ".join(
        f"{look.moment.title} is {f'off by up to {look.largest:.4g}' if look.largest != 0 else 'the same'}"
        for look in looks
    )


def equal(look: Look) -> bool:
    """Return whether a look equals its reference within rounding: 16 times the machine epsilon of its dtype."""
    values = look.state.summary
    rounding = 16 * torch.finfo(values.copy.dtype).eps
    return look.largest is not None and look.largest <= rounding * max(abs(values.min), abs(values.max), 1.0)


def nothing_negative(right: TracedPart) -> bool:
    """Return whether x has no negative value, so that ReLU in place changes nothing."""
    return right.moments["x"].state.summary.negatives == 0


def may_be_rounding(silent: TracedPart, look: Look) -> str:
    """Say that a wrong x need not show in `look`, whose fault may be as small as rounding. Empty if x is not wrong."""
    return f"; in {look.state.dtype} rounding alone could be that much" if silent.moments["x"].changed else ""


@claim(9, "ReLU first, in place: conv2 reads an x that ReLU has overwritten.", needs=(RIGHT.key, SILENT_FAULT.key))
def wrong_x(right: TracedPart, silent: TracedPart) -> Answer:
    """Compare the x that conv2 reads: its values differ and its version counter is one higher."""
    there, here = right.moments["x"].state, silent.moments["x"].state
    changed = silent.moments["x"].changed
    evidence = (
        f"version {here.version} in place, {there.version} not; "
        f"{changed or 0:,} of {counted(here.summary.elements, 'value')} {'differs' if changed == 1 else 'differ'}"
    )
    if changed == 0 and nothing_negative(right):
        return None, f"{evidence}, since x has no negative number"
    return here.version == there.version + 1 and bool(changed), evidence


@claim(10, "So h2 is wrong.", needs=(RIGHT.key, SILENT_FAULT.key))
def wrong_result(right: TracedPart, silent: TracedPart) -> Answer:
    """Compare h2 with that of the right order."""
    h2 = silent.moments["h2"]
    if nothing_negative(right):
        return None, off(h2)
    if equal(h2) and (doubt := may_be_rounding(silent, h2)):
        return None, off(h2) + doubt
    return not equal(h2), off(h2)


@claim(11, "So are the gradients of both convolutions.", needs=(RIGHT.key, SILENT_FAULT.key))
def wrong_gradients(right: TracedPart, silent: TracedPart) -> Answer:
    """Compare the gradients of both weights with those of the right order."""
    looks = silent.moments
    gradients = [looks[key] for key in ("conv1_grad", "conv2_grad") if key in looks]
    if not gradients:
        return False, "backward() gave none"
    if nothing_negative(right):
        return None, off(*gradients)
    contradicted = not equal(looks["h2"]) and all(gradient.changed == 0 for gradient in gradients)
    if any(map(equal, gradients)) and not contradicted and (doubt := may_be_rounding(silent, gradients[0])):
        return None, off(*gradients) + doubt
    return not any(map(equal, gradients)), off(*gradients)


@claim(12, "PyTorch says nothing of it.", needs=(RIGHT.key, SILENT_FAULT.key))
def silence(_: TracedPart, silent: TracedPart) -> Answer:
    """Count errors and warnings."""
    warnings = sum(len(step.warnings) for step in silent.lines)
    said = f"{counted(len(silent.errors), 'error')}, {counted(warnings, 'warning')}"
    return not silent.errors and not warnings, f"{said} in {counted(len(silent.lines), 'line')}"


@claim(13, "conv2 first, in place: the forward values are right.", needs=(RIGHT.key, LOUD_FAULT.key))
def right_forward(_: TracedPart, loud: TracedPart) -> Answer:
    """Compare h1 and h2 with those of the right order."""
    h1, h2 = loud.moments["h1"], loud.moments["h2"]
    return equal(h1) and equal(h2), off(h1, h2)


@claim(14, "Then backward() raises.", needs=(RIGHT.key, LOUD_FAULT.key))
def backward_raises(_: TracedPart, loud: TracedPart) -> Answer:
    """Look for PyTorch's own message."""
    holds = any("modified by an inplace operation" in error for error in loud.errors)
    return holds, " ".join(loud.errors) or "it did not"


@claim(15, "What the error omits: who saved x, and who overwrote it.", needs=(RIGHT.key, LOUD_FAULT.key))
def both_lines(_: TracedPart, loud: TracedPart) -> Answer:
    """Find the line that saved x and the line that overwrote it; their versions are those in PyTorch's message."""
    saver = next((step for step in loud.lines if "h2" in step.changed_tensors), None)
    writer = next(
        (step for step in loud.lines if saver and "x" in step.changed_tensors and step.tensors["x"].version), None
    )
    if saver is None or writer is None:
        return False, "no line saved x, or none overwrote it"
    expected, found = saved_version(saver), writer.tensors["x"].version
    evidence = (
        f"{saver.line.source} saved x at version {expected} for backward(); "
        f"{writer.line.source} overwrote it: version {found}"
    )
    message = f"is at version {found}; expected version {expected}"
    return expected is not None and any(message in error for error in loud.errors), evidence


def saved_version(step: Step) -> int | None:
    """Return the version at which h2's own node saved x, or None if it did not."""
    node = step.tensors["h2"].grad_fn
    return next((saved.version for saved in node.saved_tensors if saved.name == "x"), None) if node else None


@claim(16, "inplace=False gives the right numbers in this order too.", needs=(RIGHT.key, ORDER.key))
@claim(17, "x.clone() before the branch gives the right numbers.", needs=(RIGHT.key, CLONE.key))
@claim(18, "Without backward() it is enough that conv2 goes first.", needs=(RIGHT.key, NO_BACKWARD.key))
def cured(_: TracedPart, cure: TracedPart) -> Answer:
    """Compare all looks with those of the right order; nothing is raised."""
    looks = cure.moments.values()
    return not cure.errors and all(map(equal, looks)), "; ".join([*map(off, looks), *cure.errors])


@claim(19, "In place on a leaf that requires grad is refused at once.", needs=(LEAF_FAULT.key,))
def refused(leaf: TracedPart) -> Answer:
    """Look for the word "leaf" in PyTorch's message; the leaf's version counter stays 0."""
    holds = any("leaf" in error for error in leaf.errors) and leaf.moments["leaf"].state.version == 0
    return holds, " ".join(leaf.errors) or "nothing was raised"
