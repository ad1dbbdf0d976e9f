"""The claims on two branches that read one tensor: the silent fault, the loud one, their cures, and the leaf."""

from __future__ import annotations

import torch

from relu_demo.claims.claim import Answer, claim
from relu_demo.language import clauses, mark, plural
from relu_demo.replay.overwrites import clashes
from relu_demo.replay.trace import Look, TracedPart
from relu_demo.session.branches import CURES, LEAF_FAULT, LOUD_FAULT, RIGHT, SILENT_FAULT

ORDER, CLONE, NO_BACKWARD = CURES


def off(*looks: Look) -> str:
    """Say how far each look is from its reference."""
    return clauses(
        [
            mark("{tensor} is the same", tensor=look.moment.title)
            if look.largest == 0
            else mark("{tensor} is off by up to {largest:.4g}", tensor=look.moment.title, largest=look.largest)
            for look in looks
        ]
    )


def equal(look: Look) -> bool:
    """Return whether a look equals its reference within rounding: 16 times the machine epsilon of its dtype."""
    values = look.state.summary
    rounding = 16 * torch.finfo(values.copy.dtype).eps
    return look.largest is not None and look.largest <= rounding * max(abs(values.min), abs(values.max), 1.0)


def nothing_negative(right: TracedPart) -> bool:
    """Return whether x has no negative value, so that ReLU in place changes nothing."""
    return right.moments["x"].state.summary.negatives == 0


def may_be_rounding(silent: TracedPart, look: Look) -> list[str]:
    """Say that a wrong x need not show in `look`, whose fault may be as small as rounding. Empty if x is not wrong."""
    said = mark("in {dtype} rounding alone could be that much", dtype=look.state.dtype)
    return [said] if silent.moments["x"].changed else []


@claim(
    9, mark("ReLU first, in place: conv2 reads an x that ReLU has overwritten."), needs=(RIGHT.key, SILENT_FAULT.key)
)
def wrong_x(right: TracedPart, silent: TracedPart) -> Answer:
    """Compare the x that conv2 reads: its values differ and its version counter is one higher."""
    there, here = right.moments["x"].state, silent.moments["x"].state
    changed = silent.moments["x"].changed
    versions = mark("version {here} in place, {there} not", here=here.version, there=there.version)
    values = plural("{n:,} value", "{n:,} values", here.summary.elements)
    differ = plural("{n:,} of {values} differs", "{n:,} of {values} differ", changed or 0, values=values)
    if changed == 0 and nothing_negative(right):
        return None, clauses([versions, mark("{differ}, since x has no negative number", differ=differ)])
    return here.version == there.version + 1 and bool(changed), clauses([versions, differ])


@claim(10, mark("So h2 is wrong."), needs=(RIGHT.key, SILENT_FAULT.key))
def wrong_result(right: TracedPart, silent: TracedPart) -> Answer:
    """Compare h2 with that of the right order."""
    h2 = silent.moments["h2"]
    if nothing_negative(right):
        return None, off(h2)
    if equal(h2) and (doubt := may_be_rounding(silent, h2)):
        return None, clauses([off(h2), *doubt])
    return not equal(h2), off(h2)


@claim(11, mark("So are the gradients of both convolutions."), needs=(RIGHT.key, SILENT_FAULT.key))
def wrong_gradients(right: TracedPart, silent: TracedPart) -> Answer:
    """Compare the gradients of both weights with those of the right order."""
    looks = silent.moments
    gradients = [looks[key] for key in ("conv1_grad", "conv2_grad") if key in looks]
    if not gradients:
        return False, mark("backward() gave none")
    if nothing_negative(right):
        return None, off(*gradients)
    contradicted = not equal(looks["h2"]) and all(gradient.changed == 0 for gradient in gradients)
    if any(map(equal, gradients)) and not contradicted and (doubt := may_be_rounding(silent, gradients[0])):
        return None, clauses([off(*gradients), *doubt])
    return not any(map(equal, gradients)), off(*gradients)


@claim(12, mark("PyTorch says nothing of it."), needs=(RIGHT.key, SILENT_FAULT.key))
def silence(_: TracedPart, silent: TracedPart) -> Answer:
    """Count errors and warnings."""
    warned = sum(len(step.warnings) for step in silent.lines)
    errors = plural("{n:,} error", "{n:,} errors", len(silent.errors))
    warnings = plural("{n:,} warning", "{n:,} warnings", warned)
    lines = plural("{n:,} line", "{n:,} lines", len(silent.lines))
    said = mark("{errors}, {warnings} in {lines}", errors=errors, warnings=warnings, lines=lines)
    return not silent.errors and not warned, said


@claim(13, mark("conv2 first, in place: the forward values are right."), needs=(RIGHT.key, LOUD_FAULT.key))
def right_forward(_: TracedPart, loud: TracedPart) -> Answer:
    """Compare h1 and h2 with those of the right order."""
    h1, h2 = loud.moments["h1"], loud.moments["h2"]
    return equal(h1) and equal(h2), off(h1, h2)


@claim(14, mark("Then backward() raises."), needs=(RIGHT.key, LOUD_FAULT.key))
def backward_raises(_: TracedPart, loud: TracedPart) -> Answer:
    """Look for PyTorch's own message."""
    holds = any("modified by an inplace operation" in error for error in loud.errors)
    return holds, " ".join(loud.errors) or mark("it did not")


@claim(15, mark("What the error omits: who saved x, and who overwrote it."), needs=(RIGHT.key, LOUD_FAULT.key))
def both_lines(_: TracedPart, loud: TracedPart) -> Answer:
    """Find the line that saved x and the line that overwrote it; their versions are those in PyTorch's message."""
    clash = next((clash for clash in clashes(loud) if clash.saved.name == "x"), None)
    if clash is None:
        return False, mark("no line saved x, or none overwrote it")
    expected, found = clash.saved.version, clash.overwritten.version
    evidence = mark(
        "{saver} saved x at version {expected} for backward(); {writer} overwrote it: version {found}",
        saver=clash.saver.line.source,
        expected=expected,
        writer=clash.writer.line.source,
        found=found,
    )
    message = f"is at version {found}; expected version {expected}"
    return any(message in error for error in loud.errors), evidence


@claim(16, mark("inplace=False gives the right numbers in this order too."), needs=(RIGHT.key, ORDER.key))
@claim(17, mark("x.clone() before the branch gives the right numbers."), needs=(RIGHT.key, CLONE.key))
@claim(18, mark("Without backward() it is enough that conv2 goes first."), needs=(RIGHT.key, NO_BACKWARD.key))
def cured(_: TracedPart, cure: TracedPart) -> Answer:
    """Compare all looks with those of the right order; nothing is raised."""
    looks = cure.moments.values()
    return not cure.errors and all(map(equal, looks)), clauses([*map(off, looks), *cure.errors])


@claim(19, mark("In place on a leaf that requires grad is refused at once."), needs=(LEAF_FAULT.key,))
def refused(leaf: TracedPart) -> Answer:
    """Look for the word "leaf" in PyTorch's message; the leaf's version counter stays 0."""
    holds = any("leaf" in error for error in leaf.errors) and leaf.moments["leaf"].state.version == 0
    return holds, " ".join(leaf.errors) or mark("nothing was raised")
