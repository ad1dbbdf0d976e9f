"""Holds the check against the oracle on one network. The tests, scripts/check_oracle.py and check_zoo.py use it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from oracle.generator import network
from oracle.truth import Make, Truth, apart, dense, same, truth
from relu_demo.api import check
from relu_demo.errors import NetworkError
from relu_demo.network.report import Call, CheckReport


def disagreements(seed: int, tally: Counter[str]) -> list[str]:
    """One line for each thing on which check and oracle disagree; what was compared is counted in `tally`."""
    return disagreements_on(f"seed {seed}", lambda: network(seed), tally)


def disagreements_on(name: str, make: Make, tally: Counter[str]) -> list[str]:
    """The same for a network of that name, which `make` makes anew every time, with its inputs."""
    return [f"{name}: {line}" for line in _disagreements(make, tally)]


def _disagreements(make: Make, tally: Counter[str]) -> Iterator[str]:
    try:
        real = truth(make)
    except RuntimeError:
        tally["networks that raise"] += 1
        try:
            report, _ = _checked(make)
        except NetworkError:
            return
        if report.ok or [write.kind for write in report.harmful_writes] != ["refused"]:
            yield "the network raises, and the check names no refused write"
        return
    report, changed = _checked(make)
    if changed:
        yield f"the check has changed {changed}"
    tally["networks"] += 1
    tally["forwards of the check"] += report.forwards
    tally["switches advised on"] += len(report.advice.turn_on)
    rows = {call.index: call for call in (*report.calls, *report.off)}
    if sorted(rows) != [k for k in range(len(real.written)) if k not in real.meant]:
        yield f"calls {sorted(rows)} seen, {len(real.written)} made"
        return
    for k, call in sorted(rows.items()):
        tally["calls that only round otherwise in place"] += real.rounded[k]
        wrong = _call(call, real.written[k], real.effects[k], k in real.same_input, tally)
        yield from (f"call {k} {call.place.operation}: {line}" for line in wrong)
    yield from _whole(report, real, tally)
    missed = [each for each in report.unseen if real.base.recorded or "required grad" not in each.why]
    yield from (f"said not to be seen: {unseen}" for unseen in missed)
    yield from _advised(make, report, real, tally)
    for call in report.calls:
        if _unnamed(call, report):
            yield f"call {call.index} {call.place.operation}: backward breaks, and nobody is named who saved what"


def _advised(make: Make, report: CheckReport, real: Truth, tally: Counter[str]) -> Iterator[str]:
    """The advice is followed, by the oracle: then the network does what it does with everything out of place."""
    advice = report.advice
    written = {k for k, on in enumerate(real.written) if on and k not in real.meant}
    off, on = set(advice.turn_off), set(advice.turn_on)
    if not off <= written:
        yield f"to be turned off, and not on: {sorted(off - written)}"
    if on & written:
        yield f"to be turned on, and on: {sorted(on & written)}"
    hurt = [k for k in (written - off) | on if real.effects[k]]
    if hurt:
        yield f"left on or to be turned on, and not safe: {hurt}"
    tally["networks whose advice is not verified"] += not advice.verified
    if not advice.verified or not (written - off) | on:
        return
    tally["networks run as advised"] += 1
    different = apart(make, frozenset((written - off) | on), real)
    if different:
        yield f"as advised (off {sorted(off)}, on {sorted(on)}), not as out of place: {different}"


def _unnamed(call: Call, report: CheckReport) -> bool:
    """Whether the call makes a saved tensor stale, and nothing in the report says who saved it."""
    whole = report.as_written
    told = any(call.index in (c.saver_call, c.writer_call) for c in whole.conflicts)
    told |= any(call.place in (write.place, *write.savers) for write in report.harmful_writes)
    # PyTorch's other words (a slope below zero, one of several views) are of the call itself: nobody saved anything.
    return not told and any(
        effect.kind == "breaks-backward" and effect.settled and not effect.by
        for effect in call.effects
        if effect.words is None or effect.words.startswith("one of the variables needed for gradient")
    )


def _checked(make: Make) -> tuple[CheckReport, list[str]]:
    """The report, and the names of what is not as it was before the check."""
    model, inputs = make()
    torch.manual_seed(1)
    before = _state(model, inputs)
    report = check(model, *inputs)
    after = _state(model, inputs)
    return report, [name for name in before if not _same_state(before[name], after[name])]


def _state(model: nn.Module, inputs: list[Tensor]) -> dict[str, tuple[Any, ...]]:
    named = [*model.named_parameters(), *model.named_buffers(), *((f"input {i}", x) for i, x in enumerate(inputs))]
    found: dict[str, tuple[Any, ...]] = {"random numbers": (torch.get_rng_state(),)}
    for name, tensor in named:
        at = tensor if tensor.layout == torch.strided else dense(tensor)
        place = id(tensor), at.data_ptr() * (at is tensor), at.stride(), tensor.requires_grad, tensor.is_leaf
        found[name] = tensor.detach().clone(), tensor.grad if tensor.is_leaf else None, *place
    return found


def _same_state(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    others = zip(a[1:], b[1:], strict=True)
    return same(a[0], b[0]) and all(x is y or (not isinstance(x, Tensor) and x == y) for x, y in others)


def _call(call: Call, written: bool, truly: set[str], same_input: bool, tally: Counter[str]) -> Iterator[str]:
    if call.inplace != written:
        yield f"in place {call.inplace}, written {written}"
    if not written:
        yield from _off(call, truly, tally)
        return
    tally["in-place calls"] += 1
    tally["  " + (" and ".join(sorted(truly)) or "safe")] += 1
    found = {effect.kind for effect in call.effects}
    if found != truly:
        yield f"{sorted(found)}, truly {sorted(truly)}"
    for effect in call.effects:
        if effect.kind == "changes-result":
            tally["  the result changes, and no reader could be named"] += not (effect.by or effect.note)
        if effect.settled == (same_input and effect.kind == "overwrites-input"):
            yield f"{effect.kind} is not settled"


def _off(call: Call, truly: set[str], tally: Counter[str]) -> Iterator[str]:
    if call.bytes:
        tally["calls that are off"] += 1
        tally["  could safely be on"] += not truly
        tally["  could safely be on, and the report says so"] += call.safe and not truly
        if call.safe and truly:
            yield f"is off, said to be safe, truly {sorted(truly)}"


def _whole(report: CheckReport, real: Truth, tally: Counter[str]) -> Iterator[str]:
    whole = report.as_written
    yield from _same("as written, forward raises", whole.forward_error, real.as_written.refused)
    if real.as_written.refused is None:
        yield from _same("as written, result differs", whole.differs, real.as_written_differs)
        yield from _same("as written, gradients differ", whole.gradients_differ, real.as_written_gradients_differ)
        yield from _same("as written, backward fails", whole.backward is False, real.as_written.backward)
        if whole.backward is False:
            yield from _same("out of place, backward fails", whole.out_of_place_backward is False, real.base.backward)
    if real.base.backward and whole.backward is False:
        tally["networks with another write that breaks backward"] += 1
        if not report.harmful_writes and "modified by an inplace" in real.base.backward:
            yield f"another write breaks backward, and none is listed: {real.base.backward!r}"
    safe = not any(real.effects[k] for k, written in enumerate(real.written) if written and k not in real.meant)
    if report.ok and not safe:
        yield "said to be ok, truly not"


def _same(what: str, found: Any, truly: Any) -> Iterator[str]:
    if bool(found) != bool(truly):
        yield f"{what}: {found!r}, truly {truly!r}"
