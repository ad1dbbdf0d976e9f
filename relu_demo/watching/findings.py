"""From what a watcher met to what is reported: faults in, findings out."""

from __future__ import annotations

import ast
from dataclasses import replace

import torch
from torch import Tensor, nn

from relu_demo.sanitizer.frames import is_users, user_frames
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import calls_in, statement_at, statements_at, value_of
from relu_demo.tensors.storage import apart, overlaps_itself, region_of, shape_of
from relu_demo.watching.case import Case
from relu_demo.watching.cures import cure_of
from relu_demo.watching.faults import Fault, Overwriting, Refused
from relu_demo.watching.hooks import Hooked
from relu_demo.watching.names import overwritten, site, target_of, variable_of
from relu_demo.watching.reads import Reread
from relu_demo.watching.refusals import EXPANDED, LEAF_VIEW, LOST, SEVERAL, SLOPE
from relu_demo.watching.report import OVERWRITTEN, REFUSED, SILENT, Cure, Finding, Overwritten, Write
from relu_demo.watching.watcher import Watcher

_TELLS_OF_ITEMS = torch.__version__ >= "2.4"  # a TorchVersion compares numbers
"""Whether PyTorch tells a mode of each `x[i] = y`."""


def findings_of(faults: tuple[Fault, ...], watcher: Watcher) -> tuple[Finding, ...]:
    """Return a finding for each fault that a watcher has met, in the same order."""
    return tuple(_finding(fault, watcher) for fault in faults)


def _finding(fault: Fault, watcher: Watcher) -> Finding:
    if isinstance(fault, Refused):
        return _refused(fault, watcher)
    if isinstance(fault, Hooked):
        return _hooked(fault)
    return _reread(fault, watcher) if isinstance(fault, Reread) else _overwriting(fault, watcher)


def _reread(fault: Reread, watcher: Watcher) -> Finding:
    writer, read = fault.overwrite.place, Place("read", "", fault.file, fault.line)
    dtype = str(fault.tensor.dtype).removeprefix("torch.")
    where = site(writer)
    says = cure_of(_seen(Case(read, writer, read, fault.name, False, False, True), fault.tensor, watcher))
    if fault.keeper is not None:
        says = f"{says}; or keep a clone()" if fault.keeper.old_value_meant else "keep a clone(), not the tensor itself"
    return Finding(
        SILENT,
        Overwritten(fault.name, shape_of(fault.tensor), dtype),
        site(read),
        site(fault.keeper.filled_at) if fault.keeper is not None else None,
        (Write(where, 0),) if where is not None else (),
        Cure(says),
        why=f"reads {fault.name} after it was overwritten",
    )


def _overwriting(fault: Overwriting, watcher: Watcher) -> Finding:
    saver, writers = fault.saved.by.place, [write.place for write in fault.writes]
    region = region_of(fault.tensor)
    elsewhere = [apart(write.region, region) for write in fault.writes]
    version = fault.saved.version
    item = bool(writers) and _is_of_container(writers[0], watcher)
    tensor = overwritten(fault.tensor, version, saver.module, watcher.modules, writers, any(elsewhere[:1]), item)
    is_state = any(tensor.name and tensor.name.startswith(f"{name}.") for _, name in watcher.modules.values())
    loud = bool(fault.words)
    first = writers[0] if writers else None
    case = Case(saver, first, fault.raised_at, tensor.name, is_state, fault.earlier_step, not loud)
    case = _seen(case, fault.tensor, watcher)
    if first is not None and (first.file, first.line) == (saver.file, saver.line):
        # One call of an nn.Sequential runs both: its line tells nothing, those of the layers do.
        saver, writers = _own_line(saver, watcher), [_own_line(writer, watcher) for writer in writers]
    saver = _line_that_saves(saver, fault.function)
    sites = [(site(writer), other) for writer, other in zip(writers, elsewhere, strict=True)]
    return Finding(
        OVERWRITTEN if loud else SILENT,
        tensor,
        site(fault.raised_at),
        site(saver),
        tuple(Write(where, version + number, other) for number, (where, other) in enumerate(sites, 1) if where),
        Cure(cure_of(case), True if loud and fault.values_kept else None),
        fault.words,
    )


def _seen(case: Case, tensor: Tensor, watcher: Watcher) -> Case:
    """Return a case with what was seen of its tensor and of its writer's line."""
    line = (case.writer.file, case.writer.line) if case.writer is not None else (None, None)
    return replace(
        case,
        is_parameter=isinstance(tensor, nn.Parameter) or isinstance(tensor._base, nn.Parameter),
        mask_lacks=watcher.lines.writing_parts.get(line),
        in_container=case.writer is not None and _is_of_container(case.writer, watcher),
        through_data=line in watcher.lines.asking_data,
    )


def _is_of_container(writer: Place, watcher: Watcher) -> bool:
    """Whether a line writes to an item of a list or dictionary, `features[i] += y`, and not to a part of a tensor."""
    augmented = isinstance(statement_at(writer.file, writer.line), ast.AugAssign)
    is_item = augmented and isinstance(target_of(writer), ast.Subscript)
    return _TELLS_OF_ITEMS and is_item and (writer.file, writer.line) not in watcher.lines.writing_parts


def _hooked(fault: Hooked) -> Finding:
    read, where = Place("read", "", *fault.read_at), site(fault.writer)
    cure = cure_of(Case(read, fault.writer, read, None, False, False, True))
    other = "keep a clone() in the hook" if fault.kept_at else "a forward pre-hook sees the input before"
    return Finding(
        SILENT,
        Overwritten(fault.name, shape_of(fault.tensor), str(fault.tensor.dtype).removeprefix("torch.")),
        site(read),
        site(fault.kept_at),
        (Write(where, 0),) if where is not None else (),
        Cure(f"{cure}; or {other}"),
        why=f"reads {fault.name} after it was overwritten",
    )


def _refused(fault: Refused, watcher: Watcher) -> Finding:
    at, made_by = fault.raised_at, fault.made_by
    # What is refused is not written to: the list or dictionary is there to be looked at.
    target, frame = target_of(at), next((user.frame for user in user_frames()), None)
    held = value_of(target.value, frame) if isinstance(target, ast.Subscript) and frame is not None else None
    item = isinstance(held, (list, dict))
    tensor = overwritten(fault.tensor, 0, at.module, watcher.modules, [at], item=item)
    if fault.refusal is LOST:  # the line reads it, and writes to another
        tensor = replace(tensor, name=variable_of(fault.tensor))
    writer = fault.to_be_cured
    found = ""
    if writer is not None:
        case = _seen(Case(writer, writer, at, tensor.name, False, False, False), fault.tensor, watcher)
        found = cure_of(replace(case, in_container=item))
    if fault.refusal is SLOPE and made_by is not None:
        made_by = _own_line(made_by, watcher)
    return Finding(
        REFUSED,
        tensor,
        site(at),
        site(made_by),
        tuple(Write(where, 0) for place in fault.writes for where in [site(place)] if where is not None),
        Cure("; or ".join(filter(None, _in_order(fault, found))), fault.runs_out_of_place),
        fault.words,
        fault.refusal.because,
    )


def _in_order(fault: Refused, found: str) -> tuple[str, str]:
    """Return the cure that was found for the write, and that of the refusal; what helps first."""
    if fault.refusal is SEVERAL and fault.made_by is not None and _iterates(fault.made_by):
        # What is assigned to the variable of a loop is in none of the items.
        return fault.refusal.cure, found
    if fault.refusal is SEVERAL:
        return found, "clone() the view first"
    return found, (EXPANDED if fault.refusal is LEAF_VIEW and overlaps_itself(fault.tensor) else fault.refusal).cure


def _iterates(place: Place) -> bool:
    """Whether a `for` statement begins at a place."""
    around = statements_at(place.file, place.line)
    return any(isinstance(part, (ast.For, ast.AsyncFor)) and part.lineno == place.line for part in around)


def _own_line(place: Place, watcher: Watcher) -> Place:
    """Return the place with the line on which PyTorch's layer was given to an nn.Sequential, if that was seen."""
    module = watcher.module_named(place.module)
    line = watcher.layers.line_of(module)
    if line is None or place.hook is not None or _is_users_module(module):
        return place
    return replace(place, file=line[0], line=line[1])


def _is_users_module(module: nn.Module | None) -> bool:
    code = getattr(type(module).forward, "__code__", None) if module is not None else None
    return code is not None and is_users(code.co_filename)


def _line_that_saves(place: Place, function: type | None) -> Place:
    """Return the line of a custom autograd.Function that calls `save_for_backward`, else the place as it is."""
    for name in ("setup_context", "forward"):
        code = getattr(getattr(function, name, None), "__code__", None)
        if code is None:
            continue
        statement = statement_at(code.co_filename, code.co_firstlineno)
        for call in calls_in(statement, "save_for_backward") if statement is not None else ():
            return replace(place, file=code.co_filename, line=call.lineno)
    return place
