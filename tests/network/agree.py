"""Does the check agree with the oracle on the network of one seed? Used by the tests and by scripts/check_oracle.py."""

from __future__ import annotations

from collections import Counter

import torch

from relu_demo.network.check import check
from relu_demo.network.target import NetworkError
from tests.network.generator import network
from tests.network.oracle import truth


def disagreements(seed: int, tally: Counter[str]) -> list[str]:
    """One line for each thing on which check and oracle disagree; what was compared is counted in `tally`."""
    try:
        real = truth(lambda: network(seed))
    except RuntimeError:
        tally["networks that raise"] += 1
        try:
            check(*_given(seed))
        except NetworkError:
            return []
        return [f"seed {seed}: the network raises, the check does not"]
    model, *inputs = _given(seed)
    torch.manual_seed(1)
    report = check(model, *inputs)
    tally["networks"] += 1
    rows = {call.index: call for call in (*report.calls, *report.off)}
    wrong = []
    if len(rows) != len(real.written):
        return [f"seed {seed}: {len(rows)} calls seen, {len(real.written)} made"]
    for k, (written, effects) in enumerate(zip(real.written, real.effects)):
        call = rows[k]
        found = {effect.kind for effect in call.effects}
        if call.in_place != written:
            wrong.append(f"seed {seed} call {k}: in place {call.in_place}, written {written}")
        if written:
            tally["in-place calls"] += 1
            tally[" + ".join(sorted(effects)) or "safe"] += 1
            if found != effects:
                wrong.append(f"seed {seed} call {k} {call.place.operation}: {sorted(found)}, truly {sorted(effects)}")
            if "changes-result" in found and not any(e.by or e.words for e in call.effects if e.kind == "changes-result"):
                wrong.append(f"seed {seed} call {k} {call.place.operation}: changes the result, and no reader is named")
            if "breaks-backward" in found and "refused" not in found:
                tally["breaks, saver named"] += any(e.by for e in call.effects if e.kind == "breaks-backward")
        elif call.bytes:
            tally["calls that are off"] += 1
            tally["off: could safely be on"] += not effects
            if call.safe:
                tally["off: said so"] += not effects
                if effects:
                    wrong.append(f"seed {seed} call {k} {call.place.operation}: off, said safe, truly {sorted(effects)}")
    whole = report.as_written
    if bool(whole.forward_error) != bool(real.as_written.refused):
        wrong.append(f"seed {seed}: as written, forward {whole.forward_error!r}, truly {real.as_written.refused!r}")
    elif not whole.forward_error:
        if whole.differs != real.as_written_differs:
            wrong.append(f"seed {seed}: as written differs by {whole.difference}, truly {real.as_written_differs}")
        if whole.gradients_differ != real.as_written_gradients_differ:
            wrong.append(f"seed {seed}: as written, gradients differ {whole.gradients_differ}, truly not so")
        if (whole.backward is False) != bool(real.as_written.backward):
            wrong.append(f"seed {seed}: as written, backward {whole.backward}, truly {real.as_written.backward!r}")
        if whole.out_of_place_backward is not None and whole.backward is False:
            if (whole.out_of_place_backward is False) != bool(real.base.backward):
                wrong.append(f"seed {seed}: out of place, backward {whole.out_of_place_backward}, truly not")
    if real.base.backward and whole.backward is False:
        tally["networks with another write that breaks backward"] += 1
        if not report.writes and "modified by an inplace" in real.base.backward:
            wrong.append(f"seed {seed}: another write breaks backward, and none is listed: {real.base.backward!r}")
    tally["advice verified"] += report.advice.verified
    tally["switches advised on"] += len(report.advice.turn_on)
    tally["passes"] += report.forwards
    return wrong


def _given(seed: int) -> tuple[object, ...]:
    model, inputs = network(seed)
    return (model, *inputs)
