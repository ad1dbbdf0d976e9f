"""The claims on two branches that read one tensor: the silent fault, the loud one, their cures, and the leaf."""

from __future__ import annotations

from functools import partial

import torch

from relu_demo.claims.claim import Answer, Claim
from relu_demo.replay.trace import Look, Step, Trace
from relu_demo.session import branches as session

RIGHT, SILENT, LOUD, LEAF = (part.key for part in (session.RIGHT, session.SILENT, session.LOUD, session.LEAF))
ORDER, CLONE, NO_BACKWARD = (part.key for part in session.CURES)


def off(look: Look) -> str:
    """How far a look is from its reference, in words."""
    if look.largest == 0:
        return f"{look.moment.title} is the same"
    return f"{look.moment.title} is off by up to {look.largest:.4g}"


def equal(look: Look) -> bool:
    """Whether a look is its reference but for rounding: sixteen times that of its dtype."""
    rounding = 16 * torch.finfo(look.state.values.copy.dtype).eps
    size = max(abs(look.state.values.minimum), abs(look.state.values.maximum), 1.0)
    return look.largest is not None and look.largest <= rounding * size


def nothing_negative(trace: Trace) -> bool:
    """Whether ReLU had nothing to zero, so that in place and not come to the same."""
    return trace.part(RIGHT).looks["x"].state.values.negatives == 0


def wrong_x(trace: Trace) -> Answer:
    """Claim 9."""
    right, silent = trace.part(RIGHT).looks["x"], trace.part(SILENT).looks["x"]
    evidence = (
        f"version {silent.state.version} in place, {right.state.version} not; {silent.changed} of "
        f"{silent.state.values.elements} values differ"
    )
    if silent.changed == 0 and nothing_negative(trace):
        return None, f"{evidence}, since x has no negative number"
    return silent.state.version == right.state.version + 1 and bool(silent.changed), evidence


def read_wrong_x(trace: Trace) -> bool:
    """Whether conv2 read a wrong x, so that what follows from it is wrong too, however little of that is left."""
    return bool(trace.part(SILENT).looks["x"].changed)


def too_little(trace: Trace) -> str:
    """Why a wrong number need not be seen, as the end of a sentence."""
    return f"; in {trace.session.request.dtype} rounding alone could be that much"


def wrong_result(trace: Trace) -> Answer:
    """Claim 10."""
    h2 = trace.part(SILENT).looks["h2"]
    if nothing_negative(trace):
        return None, off(h2)
    if equal(h2) and read_wrong_x(trace):
        return None, off(h2) + too_little(trace)
    return not equal(h2), off(h2)


def wrong_gradients(trace: Trace) -> Answer:
    """Claim 11."""
    looks = trace.part(SILENT).looks
    gradients = [looks[key] for key in ("conv1_grad", "conv2_grad") if key in looks]
    if not gradients:
        return False, "backward() gave none"
    evidence = "; ".join(map(off, gradients))
    if nothing_negative(trace):
        return None, evidence
    right = not equal(looks["h2"]) and all(gradient.changed == 0 for gradient in gradients)
    if any(map(equal, gradients)) and read_wrong_x(trace) and not right:
        return None, evidence + too_little(trace)
    return not any(map(equal, gradients)), evidence


def silence(trace: Trace) -> Answer:
    """Claim 12."""
    part = trace.part(SILENT)
    warnings = sum(len(step.warnings) for step in part.steps)
    return (
        not part.errors and not warnings,
        f"{len(part.errors)} errors, {warnings} warnings in {len(part.steps)} lines",
    )


def right_forward(trace: Trace) -> Answer:
    """Claim 13."""
    looks = trace.part(LOUD).looks
    return equal(looks["h1"]) and equal(looks["h2"]), f"{off(looks['h1'])}; {off(looks['h2'])}"


def raised(trace: Trace) -> Answer:
    """Claim 14."""
    errors = trace.part(LOUD).errors
    return any("modified by an inplace operation" in error for error in errors), " ".join(errors) or "it did not"


def both_lines(trace: Trace) -> Answer:
    """Claim 15."""
    part = trace.part(LOUD)
    saving = next((step for step in part.steps if "h2" in step.changed), None)
    writing = next((step for step in part.steps if saving and "x" in step.changed and step.tensors["x"].version), None)
    if saving is None or writing is None:
        return False, "no line saved x, or none overwrote it"
    expected, found = saved_version(saving), writing.tensors["x"].version
    evidence = (
        f"{saving.line.source} saved x at version {expected} for backward(); "
        f"{writing.line.source} wrote over it: version {found}"
    )
    told = f"is at version {found}; expected version {expected}"
    return expected is not None and any(told in error for error in part.errors), evidence


def saved_version(step: Step) -> int | None:
    """The version of x that h2's own node kept."""
    node = step.tensors["h2"].grad_fn
    return dict(node.saved).get("x") if node else None


def cured(key: str, trace: Trace) -> Answer:
    """Claims 16 to 18: whether a part raised nothing and all its moments are those of the right numbers."""
    part = trace.part(key)
    evidence = "; ".join([*map(off, part.looks.values()), *part.errors])
    return not part.errors and all(map(equal, part.looks.values())), evidence


def refused(trace: Trace) -> Answer:
    """Claim 19."""
    part = trace.part(LEAF)
    untouched = part.looks["leaf"].state.version == 0
    evidence = " ".join(part.errors) or "nothing was raised"
    return any("leaf" in error for error in part.errors) and untouched, evidence


CLAIMS = (
    Claim(9, "ReLU first, in place: conv2 reads an x that ReLU has written over.", (RIGHT, SILENT), wrong_x),
    Claim(10, "So h2 is wrong.", (RIGHT, SILENT), wrong_result),
    Claim(11, "So are the gradients of both convolutions.", (RIGHT, SILENT), wrong_gradients),
    Claim(12, "PyTorch says nothing of it.", (RIGHT, SILENT), silence),
    Claim(13, "conv2 first, in place: the forward values are right.", (RIGHT, LOUD), right_forward),
    Claim(14, "Then backward() raises.", (RIGHT, LOUD), raised),
    Claim(15, "What its words leave out: who saved x, and who wrote over it.", (RIGHT, LOUD), both_lines),
    Claim(16, "inplace=False gives the right numbers in this order too.", (RIGHT, ORDER), partial(cured, ORDER)),
    Claim(17, "x.clone() before the branch gives the right numbers.", (RIGHT, CLONE), partial(cured, CLONE)),
    Claim(
        18,
        "Without backward() it is enough that conv2 goes first.",
        (RIGHT, NO_BACKWARD),
        partial(cured, NO_BACKWARD),
    ),
    Claim(19, "In place on a leaf that requires grad is refused at once.", (LEAF,), refused),
)
"""What the article warns of (9), and what we add to it."""
