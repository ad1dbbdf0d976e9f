"""Who saved a tensor for backward and who overwrote it then, read from a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relu_demo.replay.trace import Step, TensorState, TracedPart


@dataclass(frozen=True)
class Clash:
    """A line whose node saved a tensor, and a later line that overwrote it."""

    saver: Step
    node: str
    """The class of the node that saved it."""
    saved: TensorState
    """The tensor when it was saved."""
    writer: Step
    overwritten: TensorState
    """The tensor after the write."""


def clashes(part: TracedPart) -> Iterator[Clash]:
    """Yield the first write over each tensor that an earlier line of the part has saved, for each node that did."""
    kept: dict[tuple[int, str], tuple[Step, str, TensorState]] = {}
    known: set[int] = set()
    for step in part.lines:
        for key, (saver, node_name, saved) in list(kept.items()):
            now = step.tensors.get(saved.name)
            if now is not None and now.id == saved.id and is_overwritten(saved, now):
                del kept[key]
                yield Clash(saver, node_name, saved, step, now)
        nodes = [node for state in step.changed_tensors.values() if state.grad_fn for node in state.grad_fn.walk()]
        for node in nodes:
            names = [saved.name for saved in node.saved_tensors] if node.id not in known else []
            known.add(node.id)
            kept |= {(node.id, name): (step, node.name, step.tensors[name]) for name in names if name in step.tensors}


def is_overwritten(before: TensorState, after: TensorState) -> bool:
    """Return whether a tensor was written to in between, whether its version counter has seen it or not."""
    return before.version != after.version or before.summary is not after.summary  # a trace holds equal bits once
