"""The claims of the article that its own session can show, in its order; the words are ours."""

from __future__ import annotations

import torch

from relu_demo.claims.claim import Answer, claim
from relu_demo.language import clauses, mark, plural
from relu_demo.replay.trace import TensorState, TracedPart
from relu_demo.replay.values import count
from relu_demo.session.article import IN_PLACE, OUT_OF_PLACE


def states(half: TracedPart) -> tuple[TensorState, TensorState, TensorState]:
    """Return the states of o1 before, of o1 after and of h1."""
    return half.moments["o1_before"].state, half.moments["o1_after"].state, half.moments["h1"].state


def identity(half: TracedPart) -> tuple[bool, bool, str]:
    """Return whether o1 and h1 are one object, whether they share one storage, and the evidence for both."""
    _, o1, h1 = states(half)
    evidence = mark(
        "id(o1) {o1}, id(h1) {h1}; storage {of_o1:#014x} and {of_h1:#014x}",
        o1=o1.id,
        h1=h1.id,
        of_o1=o1.data_ptr,
        of_h1=h1.data_ptr,
    )
    return o1.id == h1.id, o1.data_ptr == h1.data_ptr, evidence


@claim(1, mark("In place, h1 and o1 are one object with one storage."), needs=(IN_PLACE.key,))
def one_object(half: TracedPart) -> Answer:
    """Compare `id` and storage address of o1 and h1."""
    same_object, same_storage, evidence = identity(half)
    return same_object and same_storage, evidence


@claim(2, mark("In place, o1's negative values have become zero."), needs=(IN_PLACE.key,))
def negatives_zeroed(half: TracedPart) -> Answer:
    """Count the values that changed and those that were zeroed; the version counter goes up by one."""
    before, after, _ = states(half)
    look, negatives = half.moments["o1_after"], before.summary.negatives
    versions = mark("version {before}, then {after}", before=before.version, after=after.version)
    holds = look.zeroed == look.changed == negatives and after.version == before.version + 1
    if holds and not negatives:
        return None, clauses([mark("o1 has no negative number to zero"), versions])
    changed = plural("{n:,} value changed", "{n:,} values changed", look.changed or 0)
    of = plural("{n:,} negative", "{n:,} negatives", negatives)
    zeroed = plural(
        "{n:,} of {negatives} is now zero", "{n:,} of {negatives} are now zero", look.zeroed or 0, negatives=of
    )
    return holds, clauses([mark("{changed}: {zeroed}", changed=changed, zeroed=zeroed), versions])


@claim(3, mark("In place, o1's grad_fn is now ReLU's."), needs=(IN_PLACE.key,))
def history_rewritten(half: TracedPart) -> Answer:
    """Look for the convolution's node among the `next_functions` of ReLU's."""
    before, after, _ = states(half)
    was, now = before.grad_fn_name, after.grad_fn_name
    if after.grad_fn and before.grad_fn in after.grad_fn.next_functions:
        holds = was.startswith("Conv") and now.startswith("Relu")
        return holds, mark("{was}, then {now}, whose next_functions has the first", was=was, now=now)
    return False, mark("{was}, then {now}, whose next_functions lacks the first", was=was, now=now)


@claim(4, mark("Not in place, h1 is another object with a storage of its own."), needs=(OUT_OF_PLACE.key,))
def two_objects(half: TracedPart) -> Answer:
    """Compare `id` and storage address of o1 and h1."""
    same_object, same_storage, evidence = identity(half)
    return not same_object and not same_storage, evidence


@claim(5, mark("Not in place, o1 is unchanged."), needs=(OUT_OF_PLACE.key,))
def unchanged(half: TracedPart) -> Answer:
    """Compare the bits of o1's values, its version counter and its grad_fn."""
    before, after, _ = states(half)
    same_bits = before.summary is after.summary  # a trace holds equal bits once
    same_node = before.grad_fn == after.grad_fn
    changed = plural(
        "{changed:,} of {n:,} value changed",
        "{changed:,} of {n:,} values changed",
        after.summary.elements,
        changed=half.moments["o1_after"].changed or 0,
    )
    versions = mark("version {before}, then {after}", before=before.version, after=after.version)
    node = mark("the same {node}") if same_node else mark("another {node}")
    holds = same_bits and same_node and before.version == after.version
    return holds, clauses([changed, versions, mark(node, node=after.grad_fn_name)])


@claim(6, mark("Not in place, h1 is the ReLU of o1."), needs=(OUT_OF_PLACE.key,))
def is_relu(half: TracedPart) -> Answer:
    """Compute max(0, o1) again and count the values of h1 that equal it."""
    before, _, h1 = states(half)
    source, result = before.summary, h1.summary
    right = count(lambda x, y: y == x.clamp(min=0), source.copy, result.copy)
    if right == result.elements and not source.negatives:
        return None, mark("o1 has no negative number: h1 can only equal it")
    values = plural("{n:,} value", "{n:,} values", result.elements)
    equal = plural("{n:,} of {values} is max(0, o1)", "{n:,} of {values} are max(0, o1)", right, values=values)
    negative = plural("{n:,} was negative", "{n:,} were negative", source.negatives)
    return right == result.elements, clauses([equal, negative])


@claim(7, mark("Both halves give the same h1."), needs=(IN_PLACE.key, OUT_OF_PLACE.key))
def same_result(in_place: TracedPart, out_of_place: TracedPart) -> Answer:
    """Count the values of h1 that are equal in both halves."""
    here, there = in_place.moments["h1"].state.summary, out_of_place.moments["h1"].state.summary
    equal = count(torch.eq, here.copy, there.copy)
    values = plural("{n:,} value", "{n:,} values", here.elements)
    said = plural("{n:,} of {values} of h1 is equal", "{n:,} of {values} of h1 are equal", equal, values=values)
    return equal == here.elements, said
