"""What a step changed, in sentences, and in columns for the table of moments."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from relu_demo.language import _, enumerated, listed, mark, plural
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
            yield _("{name} is {other}: one object, two names.", name=name, other=namesake)
        elif kept:
            yield _(
                plural(
                    "{name} is a new tensor; {others} is still the old one.",
                    "{name} is a new tensor; {others} are still the old one.",
                    len(kept),
                    name=name,
                    others=enumerated(kept),
                )
            )
        else:
            new.append(name)
    if new:
        yield _(plural("{names} is a new tensor.", "{names} are new tensors.", len(new), names=enumerated(new)))
    gone = [name for name in earlier if name not in step.tensors]
    if gone:
        yield _(plural("{names} is gone.", "{names} are gone.", len(gone), names=enumerated(gone)))
    if step.error is not None:
        yield _("PyTorch refused this line.")
    elif not step.changed_tensors and not gone:
        yield nothing_changed(step)


def first_name(state: TensorState, tensors: States) -> str:
    """Return an earlier name of the same object, or an empty string if it has none."""
    first = next(other.name for other in tensors.values() if other.id == state.id)
    return first if first != state.name else ""


def overwritten(now: TensorState, was: TensorState) -> str:
    """Say what became of a tensor, the same object as before."""
    said: list[str] = []
    if now.summary is not was.summary:  # a trace holds equal bits once
        zeroed = now.summary.zeros - was.summary.zeros
        all_were_negative = zeroed == was.summary.negatives - now.summary.negatives
        if zeroed and all_were_negative:
            said.append(mark("{zeroed} of {all} values became 0", zeroed=zeroed, all=now.summary.elements))
        else:
            said.append(mark("it has other values"))
    if now.version != was.version:
        said.append(mark("version {version:,}", version=now.version))
    if now.grad_fn != was.grad_fn:
        said.append(f"grad_fn {now.grad_fn_name}")
    if now.version != was.version:
        return _("{name} was overwritten: {how}.", name=now.name, how=listed(said))
    return _("{name} changed: {how}.", name=now.name, how=listed(said)) if said else _("{name} changed.", name=now.name)


def nothing_changed(step: Step) -> str:
    """Say that a step changed nothing, and whose id it printed, if it printed one."""
    names = [name for name, state in step.tensors.items() if step.output.strip() == str(state.id)]
    if len(names) == 1:
        return _("Nothing changed. The id below belongs to {name} alone.", name=names[0])
    if names:
        return _("Nothing changed. The id below belongs to {names}: one object.", names=enumerated(names))
    return _("Nothing changed.")


def against_correct(looks: Sequence[Look]) -> Iterator[str]:
    """Yield how far each look is from the correct numbers that it is compared with."""
    if equal := [look.moment.title for look in looks if look.changed == 0]:
        yield _(plural("{names} is correct.", "{names} are correct.", len(equal), names=enumerated(equal)))
    for look in looks:
        if look.changed:
            yield _(
                "{name} is wrong: {differing:,} of {all:,} numbers differ, by up to {largest:.4g}.",
                name=look.moment.title,
                differing=look.changed,
                all=look.state.summary.elements,
                largest=look.largest,
            )


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
        before, after = _("{name} before", name=name), _("{name} after", name=name)
        columns += [Column(before, was), Column(after, look_at(step.tensors[name]), (was,))]
    for name in new:
        columns.append(Column(name, look_at(step.tensors[name]), tuple(read)))
    return distinct(columns)


def look_at(state: TensorState) -> Look:
    """Return a look at a tensor that is compared with nothing."""
    return Look(Moment(state.name, state.name), state)
