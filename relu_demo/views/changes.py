"""What a step changed, in sentences, and in columns for the table of moments."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from relu_demo.claims.report import enumerated
from relu_demo.replay.trace import Look, Step, TensorState
from relu_demo.session.lines import Moment
from relu_demo.views.columns import Column, distinct

States = Mapping[str, TensorState]


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
        elif namesake := first_name(now, step.tensors):
            yield f"{name} is {namesake}: one object, two names."
        elif kept:
            yield f"{name} is a new tensor; {enumerated(kept)} {'is' if len(kept) == 1 else 'are'} still the old one."
        else:
            new.append(name)
    if new:
        yield f"{enumerated(new)} {'is a new tensor' if len(new) == 1 else 'are new tensors'}."
    gone = [name for name in earlier if name not in step.tensors]
    if gone:
        yield f"{enumerated(gone)} {'is' if len(gone) == 1 else 'are'} gone."
    if step.error is not None:
        yield "PyTorch refused this line."
    elif not step.changed_tensors and not gone:
        yield f"Nothing changed.{whose_id(step)}"


def first_name(state: TensorState, tensors: States) -> str:
    """Return an earlier name of the same object, or an empty string if it has none."""
    first = next(other.name for other in tensors.values() if other.id == state.id)
    return first if first != state.name else ""


def overwritten(now: TensorState, was: TensorState) -> str:
    """Say what became of a tensor, the same object as before."""
    said = []
    if now.summary is not was.summary:  # a trace holds equal bits once
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


def whose_id(step: Step) -> str:
    """Say whose id a step printed, if it printed one."""
    names = [name for name, state in step.tensors.items() if step.output.strip() == str(state.id)]
    alone = " alone" if len(names) == 1 else ": one object"
    return f" The id below belongs to {enumerated(names)}{alone}." if names else ""


def against_correct(looks: Sequence[Look]) -> Iterator[str]:
    """Yield how far each look is from the correct numbers that it is compared with."""
    if equal := [look.moment.title for look in looks if look.changed == 0]:
        yield f"{enumerated(equal)} {'is' if len(equal) == 1 else 'are'} correct."
    for look in looks:
        if look.changed:
            differ = f"{look.changed:,} of {look.state.summary.elements:,} numbers differ, by up to {look.largest:.4g}"
            yield f"{look.moment.title} is wrong: {differ}."


def changed_columns(step: Step, earlier: States, source: str, looked_at: Collection[str]) -> list[Column]:
    """Return the columns that show what a step changed: a tensor that it overwrote before and after, a new one alone.

    Beside a new tensor stands the one of the same shape that the step's `source` reads. The tensors of a layer are left
    out if another one changed, or if the step looks at some of them.
    """
    names = [name for name in step.changed_tensors if "." not in name]
    names = names or [name for name in step.changed_tensors if name in looked_at] or list(step.changed_tensors)
    old = [name for name in names if name in earlier and earlier[name].id == step.tensors[name].id]
    new = [name for name in names if name not in old]
    shapes = {step.tensors[name].shape for name in new}
    read = [
        look_at(earlier[name])
        for name in dict.fromkeys(re.findall(r"\w+", source))
        if name in earlier and name not in step.changed_tensors and earlier[name].shape in shapes
    ]
    columns = [Column(look.state.name, look) for look in read]
    for name in old:
        was = look_at(earlier[name])
        columns += [Column(f"{name} before", was), Column(f"{name} after", look_at(step.tensors[name]), (was,))]
    for name in new:
        columns.append(Column(name, look_at(step.tensors[name]), tuple(read)))
    return distinct(columns)


def look_at(state: TensorState) -> Look:
    """Return a look at a tensor that is compared with nothing."""
    return Look(Moment(state.name, state.name), state)
