"""From what a watcher met to what is reported: sites of calls in, findings out."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import starmap
from types import FrameType
from typing import Any

from torch import Tensor, nn

from relu_demo.edits.cure import cure_of
from relu_demo.edits.edit import Cure, Scene
from relu_demo.edits.out_of_place import write_at
from relu_demo.errors import words_of
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.place import Place, line_at, shown_file
from relu_demo.sanitizer.source import (
    calls_in,
    expression_at,
    is_edited,
    is_what_runs,
    line_of,
    root,
    statement_at,
    text_of,
)
from relu_demo.tensors.storage import shape_of
from relu_demo.watching.callsite import CallSite
from relu_demo.watching.refusals import LEAF_VIEW, LOST, SLOPE, Refusal
from relu_demo.watching.report import (
    OVERWRITTEN,
    REFUSED,
    SILENT,
    STATISTICS,
    Finding,
    FindingKind,
    Overwrite,
    Overwritten,
    Site,
    rule_of,
)
from relu_demo.watching.saved_tensors import Saved, Write
from relu_demo.watching.variables import carried_names, module_path, name_of, parameter, variable_of, writes_to_an_item

BEGINNING = "one of the variables needed for gradient computation has been modified by an inplace operation"


def words_for(saved: Saved) -> str:
    """Return PyTorch's words on an overwritten tensor up to "inplace operation", and the versions."""
    alias = saved.alias
    at = f"is at version {alias._version}; expected version {saved.version} instead"
    return f"{BEGINNING}: [{alias.type()} {list(alias.shape)}] {at}"


# Both are asked while the frames of the user's code still stand as they did.


def overwritten_one(
    saved: Saved,
    writes: Sequence[Write],
    raised_at: CallSite,
    frame: FrameType | None,
    layers: Layers,
    loud: bool,
    carried: bool,
) -> Finding:
    """Return what is reported of a saved tensor that a backward found overwritten. PyTorch refuses to use it if `loud`.

    `carried`: the line had gone backward since it was saved, and its saver saved again: the graph of another step.
    """
    # One call of an nn.Sequential runs both: its line tells nothing, those of the layers do.
    lines = [line_at(*site.frames[0]) for site in (saved.site, *(w.site for w in writes[:1])) if site.frames]
    own = layers if len(lines) == 2 and lines[0] == lines[1] else None
    saver = _saving_line(saved.site) or site_of(saved.site, frame, own)
    done = [Overwrite(site, w.version, w.elsewhere) for w in writes if (site := site_of(w.site, frame, own))]
    path, state = parameter(saved.alias, frame)
    text = _written_text(writes[0].site) if done else None
    names = [(w.name, w) for w in writes] + [(text, w) for w in writes[:1]]
    # What was saved may be a view of what is written to; a view of what was saved has another name.
    whole = (name for name, write in names if name and write.elements >= saved.alias.numel())
    its = path or next(whole, None) or variable_of(saved.alias, frame, by_memory=True)
    name = its or next((name for name, _ in names if name), None)
    kind: FindingKind = OVERWRITTEN if loud else SILENT
    scene = Scene(
        kind=kind,
        saver=_place_of(saved.site),
        writers=_places_of(w.site for w in writes),
        raised_at=_place_of(raised_at),
        tensor=" and ".join(carried_names(frame)) or None if carried else name,
        is_parameter=isinstance(state, nn.Parameter),
        is_state=state is not None,
        in_container=any(w.in_container for w in writes[:1]),
        built_at=_built_at(writes[0].site, layers) if writes else None,
        carried=carried,
    )
    if saver and saved.site.function:
        scene = replace(scene, saver=Place("save_for_backward", "", os.path.abspath(saver.file), saver.line))
    cure = _cure_in(scene)
    operation = writes[0].site.operation if writes else ""
    if done and operation in STATISTICS:
        there = f"{done[0].site.file}:{done[0].site.line}"
        cure = Cure(f"go backward before {there} moves the running statistics, or call the layer in eval mode there")
    elsewhere = bool(writes) and all(w.elsewhere for w in writes)
    facts = {"carried": carried, "hooked": saved.hooked, "elsewhere": elsewhere, operation: True}
    return Finding(
        kind,
        (_overwritten(saved.alias if state is None else state, its, saved.version),),
        site_of(raised_at, frame),
        saver,
        _once(done),
        cure,
        words_for(saved) if loud else "",
        "",
        rule_of(kind, *(fact for fact, holds in facts.items() if holds)),
    )


def refused_one(
    refusal: Refusal,
    error: RuntimeError,
    tensor: Tensor,
    raised_at: CallSite,
    frame: FrameType | None,
    layers: Layers,
    made: CallSite | None,
    writes: Sequence[CallSite],
    name: str | None,
    gradient_is_written: bool,
) -> Finding:
    """Return what is reported of a write that PyTorch refused, at once or in a backward.

    `name`: what the user called the tensor, where that was noted at the write.
    """
    made_by = None if made is None else site_of(made, frame, layers if refusal is SLOPE else None)
    name = name or name_of(tensor, frame)
    first = (*writes, raised_at)[0]
    is_made_by_write = refusal is LEAF_VIEW and not tensor._is_view()  # w[0] = y: PyTorch makes the view itself
    if is_made_by_write or (name is None and refusal is not LOST):
        name = _written_text(first)
    scene = Scene(
        kind=REFUSED,
        refusal=refusal.key,
        saver=_place_of(made) if refusal is SLOPE else None,
        made_by=_place_of(made),
        writers=_places_of(writes),
        raised_at=_place_of(raised_at),
        tensor=name,
        is_parameter=isinstance(tensor, nn.Parameter) or isinstance(tensor._base, nn.Parameter),
        in_container=writes_to_an_item(frame),
        gradient_is_written=gradient_is_written,
        built_at=_built_at(first, layers),
    )
    cure = _cure_in(scene)
    if not cure.edits:
        cure = replace(cure, says=refusal.instead)
    return Finding(
        REFUSED,
        (_overwritten(tensor, name, 0),),
        site_of(raised_at, frame),
        None if is_made_by_write else made_by,
        _once([Overwrite(site, 0, elsewhere=False) for each in writes if (site := site_of(each, frame))]),
        cure,
        words_of(error),
        refusal.because,
        refusal.key,
    )


def _cure_in(scene: Scene) -> Cure:
    places = (scene.saver, scene.made_by, *scene.writers, scene.raised_at)
    edited = next((each.file for each in places if each is not None and each.file and is_edited(each.file)), None)
    if edited is not None:
        return Cure(f"{os.path.basename(edited)} was edited after its import: run it again to see its lines")
    return cure_of(scene)


def _place_of(where: CallSite | None) -> Place | None:
    """Return the place by which a cure is chosen; None outside of the user's code."""
    if where is None or not where.frames:
        return None
    return Place(where.operation, "", *line_at(*where.frames[0]), frames=where.frames)


def _places_of(sites: Iterable[CallSite]) -> tuple[Place, ...]:
    return tuple(place for place in map(_place_of, sites) if place is not None)


def _built_at(where: CallSite, layers: Layers) -> Place | None:
    module = where.module()
    line = layers.built_at(module)
    return None if line is None else Place(type(module).__name__, "", *line)


def _overwritten(tensor: Tensor, name: str | None, version: int) -> Overwritten:
    return Overwritten(name, shape_of(tensor), str(tensor.dtype).removeprefix("torch."), version)


def _once(writes: Iterable[Overwrite]) -> tuple[Overwrite, ...]:
    """Return the last of several writes in a row by one line: `x[i] += y` adds, and then assigns."""
    found: list[Overwrite] = []
    for write in writes:
        if found and found[-1].site == write.site and found[-1].elsewhere == write.elsewhere:
            found.pop()
        found.append(write)
    return tuple(found)


def site_of(where: CallSite, frame: FrameType | None, layers: Layers | None = None) -> Site | None:
    """Return a place with its source, and with the operation as the user wrote it; None outside of the user's code.

    With `layers` a layer of an nn.Sequential has the line on which it was given to that.
    """
    if not where.frames:
        return None
    for code, _ in where.frames:
        is_what_runs(code)
    lines, module = list(starmap(line_at, where.frames)), where.module()
    own = layers.line_of(module) if layers is not None and not where.optimizer else None
    operation = where.operation if own else _as_typed(where)
    return _site_at(own or lines.pop(0), operation, where.optimizer or module_path(module, frame), lines)


def _site_at(
    line: tuple[str, int], operation: str = "", module: str = "", outer: Iterable[tuple[str, int]] = ()
) -> Site:
    called_from = tuple(_site_at(each) for each in outer if each != line)
    return Site(shown_file(line[0]), line[1], line_of(*line), operation, module, called_from)


def _saving_line(where: CallSite) -> Site | None:
    """Return the line of a custom autograd.Function that calls `save_for_backward`; None outside of all."""
    for name in ("setup_context", "forward"):
        code: Any = getattr(getattr(where.function, name, None), "__code__", None)
        statement = statement_at(code.co_filename, code.co_firstlineno) if code is not None else None
        for call in calls_in(statement, "save_for_backward") if statement is not None else ():
            line = code.co_filename, call.lineno
            return _site_at(line, where.operation, outer=starmap(line_at, where.frames))
    return None


def _as_typed(where: CallSite) -> str:
    """Return the operation as the user wrote it: `opt.step()`, `x += y`, `h[i] = y`; else PyTorch's name."""
    code, instruction = where.frames[0]
    node = expression_at(code, instruction)
    if isinstance(node, ast.Call):
        return text_of(node) if where.operation in ("step", "backward") else where.operation
    statement = statement_at(*line_at(code, instruction), node)
    writes = node is statement or isinstance(getattr(node, "ctx", None), ast.Store)
    return text_of(statement) if writes and isinstance(statement, (ast.Assign, ast.AugAssign)) else where.operation


def _written_text(where: CallSite) -> str | None:
    """Return the expression that a line writes to: `x` of `x += y` and `x.mul_(2)`, `h[i]` of `h[i] = y`."""
    place = _place_of(where)
    write = write_at(place) if place is not None else None
    if write is None or root(write.target) is None:
        return None
    target = write.target if isinstance(write.target, ast.Subscript) else write.owner
    return text_of(target)
