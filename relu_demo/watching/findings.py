"""From what a watcher met to what is reported: faults in, findings out."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import starmap
from types import FrameType

from torch import Tensor, nn

from relu_demo.edits.cure import cure_of
from relu_demo.edits.edit import Cure, Scene
from relu_demo.edits.out_of_place import write_at
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
from relu_demo.watching.aliases import AliasRead
from relu_demo.watching.callsite import CallSite
from relu_demo.watching.refusals import LEAF_VIEW, LOST, SLOPE
from relu_demo.watching.report import (
    OVERWRITTEN,
    REFUSED,
    SILENT,
    Finding,
    FindingKind,
    Overwrite,
    Overwritten,
    Site,
    WorthALook,
)
from relu_demo.watching.rules import ALIAS_READ, STATISTICS, rule_of
from relu_demo.watching.variables import carried_names, module_path, name_of, parameter, variable_of, writes_to_an_item
from relu_demo.watching.watcher import Fault, Overwriting, Refused, words_for


def finding_of(fault: Fault, layers: Layers) -> Finding:
    """Return what is reported of a fault, while the frames of the user's code still stand as they did."""
    return _refusal(fault, layers) if isinstance(fault, Refused) else _overwriting(fault, layers)


def look_of(read: AliasRead) -> WorthALook:
    """Return what is reported of a read through another name."""
    written, at = site_of(read.written, None), site_of(read.read, None)
    assert written is not None
    assert at is not None
    settle = f"relu-demo check {at.file}:{read.network}" if read.network and at.file.endswith(".py") else ""
    return WorthALook(written, at, read.name, ALIAS_READ, settle)


def _overwriting(fault: Overwriting, layers: Layers) -> Finding:
    saved, frame = fault.saved, fault.frame
    # One call of an nn.Sequential runs both: its line tells nothing, those of the layers do.
    lines = [line_at(*site.frames[0]) for site in (saved.site, *(w.site for w in fault.writes[:1])) if site.frames]
    own = layers if len(lines) == 2 and lines[0] == lines[1] else None
    saver = _saving_line(saved.site) or site_of(saved.site, frame, own)
    writes = [
        Overwrite(site, write.version, write.elsewhere)
        for write in fault.writes
        for site in [site_of(write.site, frame, own)]
        if site is not None
    ]
    path, state = parameter(saved.alias, frame)
    name = path or next((write.name for write in fault.writes if write.name), None) or name_of(saved.alias, frame)
    name = name or variable_of(saved.alias, frame, by_memory=True)
    if name is None and writes:
        name = _written_text(fault.writes[0].site)
    tensor = _overwritten(saved.alias if state is None else state, name, saved.version)
    at = site_of(fault.raised_at, frame)
    scene = Scene(
        kind=OVERWRITTEN if fault.loud else SILENT,
        saver=_place_of(saved.site) if saver is None or not saved.site.function else _saving_place(saver),
        writers=_places_of(write.site for write in fault.writes),
        raised_at=_place_of(fault.raised_at),
        tensor=" and ".join(carried_names(frame)) or None if fault.carried else name,
        is_parameter=isinstance(state, nn.Parameter),
        is_state=state is not None,
        in_container=any(write.in_container for write in fault.writes[:1]),
        built_at=_built_at(fault.writes[0].site, layers) if fault.writes else None,
        carried=fault.carried,
    )
    kind: FindingKind = OVERWRITTEN if fault.loud else SILENT
    words = words_for(fault) if fault.loud else ""
    cure = _cure_in(scene)
    operation = fault.writes[0].site.operation if fault.writes else ""
    elsewhere = bool(fault.writes) and all(write.elsewhere for write in fault.writes)
    facts = {"carried": fault.carried, "hooked": saved.hooked, "elsewhere": elsewhere}
    if writes and operation in STATISTICS:
        there = f"{writes[0].site.file}:{writes[0].site.line}"
        cure = Cure(f"go backward before {there} moves the running statistics, or call the layer in eval mode there")
    rule = rule_of(kind, facts, operation)
    return Finding(kind, (tensor,), at, saver, _once(writes), cure, words, rule=rule)


def _refusal(fault: Refused, layers: Layers) -> Finding:
    frame, refusal = fault.frame, fault.refusal
    at = site_of(fault.raised_at, frame)
    made_by = None if fault.made_by is None else site_of(fault.made_by, frame, layers if refusal is SLOPE else None)
    name = fault.name or (variable_of if refusal is LOST else name_of)(fault.tensor, frame)
    is_made_by_write = refusal is LEAF_VIEW and not fault.tensor._is_view()  # w[0] = y: PyTorch makes the view itself
    if is_made_by_write or (name is None and refusal is not LOST):
        name = _written_text((fault.writes or (fault.raised_at,))[0])
    writes = [Overwrite(site, 0) for each in fault.writes for site in [site_of(each, frame)] if site is not None]
    tensor = _overwritten(fault.tensor, name, 0)
    scene = Scene(
        kind="refused",
        refusal=refusal.key,
        saver=_place_of(fault.made_by) if refusal is SLOPE else None,
        made_by=_place_of(fault.made_by),
        writers=_places_of(fault.writes),
        raised_at=_place_of(fault.raised_at),
        tensor=name,
        is_parameter=isinstance(fault.tensor, nn.Parameter) or isinstance(fault.tensor._base, nn.Parameter),
        in_container=writes_to_an_item(frame),
        gradient_is_written=fault.gradient_is_written,
        built_at=_built_at((fault.writes or (fault.raised_at,))[0], layers),
    )
    cure = _cure_in(scene)
    if not cure.edits:
        cure = replace(cure, says=f"{refusal.instead}; or {cure.says}")
    made_by = None if is_made_by_write else made_by
    return Finding(REFUSED, (tensor,), at, made_by, _once(writes), cure, fault.words, refusal.because, refusal.key)


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


def _saving_place(site: Site) -> Place:
    return Place("save_for_backward", "", os.path.abspath(site.file), site.line)


def _built_at(where: CallSite, layers: Layers) -> Place | None:
    module = where.module() if where.module is not None else None
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
    """
    Return a place with its source, and with the operation as the user wrote it; None outside of the user's code.

    With `layers` a layer of an nn.Sequential has the line on which it was given to that.
    """
    module = where.module() if where.module is not None else None
    path = where.optimizer or module_path(module, frame)
    if not where.frames:
        return None
    for code, _ in where.frames:
        is_what_runs(code)
    lines = list(starmap(line_at, where.frames))
    (file, line), outer = lines[0], lines[1:]
    own = layers.line_of(module) if layers is not None and not where.optimizer else None
    if own is not None:
        outer, (file, line) = lines, own
        operation = where.operation
    else:
        operation = _as_typed(where)
    return Site(
        shown_file(file),
        line,
        line_of(file, line),
        operation,
        path,
        tuple(Site(shown_file(f), n, line_of(f, n), "") for f, n in outer if (f, n) != (file, line)),
    )


def _saving_line(where: CallSite) -> Site | None:
    """Return the line of a custom autograd.Function that calls `save_for_backward`; None outside of all."""
    for name in ("setup_context", "forward"):
        code = getattr(getattr(where.function, name, None), "__code__", None)
        if code is None:
            continue
        statement = statement_at(code.co_filename, code.co_firstlineno)
        for call in calls_in(statement, "save_for_backward") if statement is not None else ():
            file = code.co_filename
            called = tuple(Site(shown_file(f), n, line_of(f, n), "") for f, n in starmap(line_at, where.frames))
            return Site(shown_file(file), call.lineno, line_of(file, call.lineno), where.operation, "", called)
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
