"""The claims of the article on its session."""

from __future__ import annotations

import torch

from relu_demo.claims.claim import Answer, Claim
from relu_demo.replay.recorder import count
from relu_demo.replay.trace import Look, TensorState, Trace


def half(trace: Trace, key: str) -> tuple[Look, Look, Look]:
    """The looks at o1 before, o1 after and h1 in the half of that key. Raises KeyError where the trace lacks it."""
    looks = trace.part(key).looks
    return looks["o1_before"], looks["o1_after"], looks["h1"]


def same_object(o1: TensorState, h1: TensorState) -> tuple[bool, bool, str]:
    """Whether two tensors are one object, whether they have one storage, and both in figures."""
    evidence = f"id(o1) {o1.id}, id(h1) {h1.id}; storage {o1.data_ptr:#014x} and {h1.data_ptr:#014x}"
    return o1.id == h1.id, o1.data_ptr == h1.data_ptr, evidence


def one_object(trace: Trace) -> Answer:
    """Claim 1."""
    _, o1, h1 = half(trace, "in_place")
    objects, storages, evidence = same_object(o1.state, h1.state)
    return objects and storages, evidence


def overwritten(trace: Trace) -> Answer:
    """Claim 2."""
    first, second, _ = half(trace, "in_place")
    before, after = first.state, second.state
    negatives, changed, zeroed = before.values.negatives, second.changed, second.zeroed
    versions = f"version {before.version}, then {after.version}"
    holds = zeroed == changed == negatives and after.version == before.version + 1
    if holds and not negatives:
        return None, f"o1 has no negative number to zero; {versions}"
    return holds, f"{changed} values changed: {zeroed} of {negatives} negatives are now zero; {versions}"


def history_rewritten(trace: Trace) -> Answer:
    """Claim 3."""
    before, after, _ = half(trace, "in_place")
    was, now = before.state.grad_fn, after.state.grad_fn
    if was is None or now is None:
        return False, f"o1 has no grad_fn {'after' if was else 'before'}"
    behind = any(node.id == was.id for node in now.next_functions)
    holds = was.name.startswith("Conv") and now.name.startswith("Relu") and behind
    return holds, f"{was.name}, then {now.name}, whose next_functions {'has' if behind else 'lacks'} the first"


def two_objects(trace: Trace) -> Answer:
    """Claim 4."""
    _, o1, h1 = half(trace, "out_of_place")
    objects, storages, evidence = same_object(o1.state, h1.state)
    return not objects and not storages, evidence


def unchanged(trace: Trace) -> Answer:
    """Claim 5."""
    first, second, _ = half(trace, "out_of_place")
    before, after = first.state, second.state
    same = before.values is after.values  # copies of the same bits are one object in a trace
    node = before.grad_fn == after.grad_fn
    evidence = (
        f"{second.changed} of {after.values.elements} values changed; version {before.version}, then {after.version}"
    )
    name = after.grad_fn.name if after.grad_fn else "grad_fn"
    return same and node and before.version == after.version, f"{evidence}; {'the same' if node else 'another'} {name}"


def is_relu(trace: Trace) -> Answer:
    """Claim 6."""
    before, _, h1 = half(trace, "out_of_place")
    source, result = before.state.values, h1.state.values
    right = count(lambda x, y: y == x.clamp(min=0), source.copy, result.copy)
    if right == result.elements and not source.negatives:
        return None, "o1 has no negative number: h1 can only equal it"
    return (
        right == result.elements,
        f"{right} of {result.elements} values are max(0, o1); {source.negatives} were negative",
    )


def same_result(trace: Trace) -> Answer:
    """Claim 7."""
    here, there = half(trace, "in_place")[2].state.values, half(trace, "out_of_place")[2].state.values
    equal = here.elements if here.copy is there.copy else count(torch.eq, here.copy, there.copy)
    return equal == here.elements, f"{equal} of {here.elements} values of h1 are equal"


CLAIMS = (
    Claim(1, "In place, h1 and o1 are one object with one storage.", ("in_place",), one_object),
    Claim(2, "In place, o1's negative values have become zero.", ("in_place",), overwritten),
    Claim(3, "In place, o1's grad_fn is now ReLU's.", ("in_place",), history_rewritten),
    Claim(4, "Not in place, h1 is another object with a storage of its own.", ("out_of_place",), two_objects),
    Claim(5, "Not in place, o1 is unchanged.", ("out_of_place",), unchanged),
    Claim(6, "Not in place, h1 is the ReLU of o1.", ("out_of_place",), is_relu),
    Claim(7, "Both halves give the same h1.", ("in_place", "out_of_place"), same_result),
)
"""The sentences of the article (the words are ours) that its own session can show, in its order."""
