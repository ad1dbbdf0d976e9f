"""What a step changed, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relu_demo.replay.trace import Step, TensorState
from relu_demo.views.state import States, called


def changes(step: Step, earlier: States) -> Iterator[str]:
    """Yield a sentence for each tensor that a step changed; if it changed none, what the step shows.

    `earlier` are the tensors before the step.
    """
    new: list[str] = []
    for name in step.changed_tensors:
        now, was = step.tensors[name], earlier.get(name)
        kept = [other for other, state in step.tensors.items() if was is not None and state.id == was.id]
        if name in kept and was is not None:
            yield overwritten(now, was)
        elif called(now, step.tensors) != name:
            yield f"{called(now, step.tensors)}: one object, two names."
        elif kept:
            yield f"{name} is a new tensor; {listed(kept)} {'is' if len(kept) == 1 else 'are'} still the old one."
        else:
            new.append(name)
    if new:
        yield f"{listed(new)} {'is a new tensor' if len(new) == 1 else 'are new tensors'}."
    gone = [name for name in earlier if name not in step.tensors]
    if gone:
        yield f"{listed(gone)} {'is' if len(gone) == 1 else 'are'} gone."
    if step.error is not None:
        yield "PyTorch refused this line."
    elif not step.changed_tensors and not gone:
        yield looked(step)


def overwritten(now: TensorState, was: TensorState) -> str:
    """Say what became of a tensor, the same object as before."""
    said = []
    if now.summary is not was.summary:
        zeroed = now.summary.zeros - was.summary.zeros
        all_were_negative = zeroed == was.summary.negatives - now.summary.negatives
        others = "it has other values"
        said.append(f"{zeroed} of {now.summary.elements} values became 0" if zeroed and all_were_negative else others)
    if now.version != was.version:
        said.append(f"version {now.version}")
    if now.grad_fn != was.grad_fn:
        said.append(f"grad_fn {now.grad_fn_name}")
    did = "was overwritten" if now.version != was.version else "changed"
    return f"{now.name} {did}: {', '.join(said)}." if said else f"{now.name} {did}."


def looked(step: Step) -> str:
    """Say what a step shows that changed nothing: whose id it printed, if it printed one."""
    names = [name for name, state in step.tensors.items() if step.output.strip() == str(state.id)]
    if not names:
        return "Nothing changed."
    return f"Nothing changed. The id below belongs to {listed(names)}{' alone' if len(names) == 1 else ': one object'}."


def listed(names: Sequence[str]) -> str:
    """Return names as one says them: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
