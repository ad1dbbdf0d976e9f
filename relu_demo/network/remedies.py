"""What each call and each write that does harm is called, and what to do: a scene, and the cure of its pattern."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import replace

from torch import nn

from relu_demo.edits.cure import cure_of, written_out_of_place
from relu_demo.edits.edit import Cure, Scene, united
from relu_demo.edits.out_of_place import write_at
from relu_demo.network.report import (
    BREAKS_BACKWARD,
    CHANGES_RESULT,
    STALE_WORDS,
    WRONG_GRADIENTS,
    Call,
    Effect,
    HarmfulWrite,
)
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import is_edited, statement_at
from relu_demo.watching.refusals import LEAF, LEAF_VIEW, LOST, refusal_in
from relu_demo.watching.report import REFUSED, SILENT, rule_of


def effect_ruled(effect: Effect) -> Effect:
    """Return an effect with its rule."""
    words = effect.words or ""
    refusal = refusal_in(RuntimeError(words))
    kind = SILENT if effect.note == WRONG_GRADIENTS else BREAKS_BACKWARD if STALE_WORDS in words else effect.kind
    rule = refusal.key if refusal is not None else rule_of(kind, "outside" if effect.outside else "")
    return replace(effect, rule=rule)


def call_cured(call: Call, network: nn.Module, layers: Layers) -> Call:
    """Return a call with its cure: what it was compared with, so out of place, whoever else reads its memory."""
    module = _module_at(network, call.switch)
    line = layers.built_at(module)
    statement = statement_at(call.place.file, call.place.line)
    item = isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Subscript)
    scene = Scene(
        "overwritten",
        writers=(call.place,),
        in_container=item and not call.takes_inplace,
        built_at=None if line is None else Place(call.type or "", "", *line),
    )
    cure = _usable(written_out_of_place(scene))
    if not cure.edits:
        built = f"build {call.switch} ({call.type}) with inplace=False"
        cure = Cure("write it out of place" if call.switch is None else built)
    return replace(call, cure=cure)


def write_cured(write: HarmfulWrite, network: nn.Module | None = None, words: str = "") -> HarmfulWrite:
    """Return a write with its rule and its cure. `words`: of PyTorch, for a refused one.

    Without a network that is being built, where a leaf that requires grad is a parameter.
    """
    is_stale = write.kind == REFUSED and STALE_WORDS in words
    refusal = None
    if write.kind == REFUSED and not is_stale:
        refusal = refusal_in(RuntimeError(words)) if words else LOST
    kind = SILENT if write.kind == CHANGES_RESULT else BREAKS_BACKWARD if is_stale else write.kind
    is_of_gradient = kind == SILENT and not write.savers  # no page replays it
    write = replace(write, rule=refusal.key if refusal is not None else "" if is_of_gradient else rule_of(kind))
    if not write.place.file:
        return replace(write, cure=Cure("write to a clone() of it"))
    if is_stale:
        return replace(write, cure=Cure("run it under relu-demo watch, which names both lines"))
    writer, by = write.place, next(iter(write.savers), None)
    name, value = _state(writer, _module_at(network, write.place.module))
    scene = Scene(
        "refused" if refusal else "silent" if kind == SILENT else "overwritten",
        refusal=refusal.key if refusal else "",
        saver=by if write.kind in (BREAKS_BACKWARD, CHANGES_RESULT) else None,
        made_by=by if refusal else None,
        writers=(writer,),
        raised_at=writer,
        tensor=name,
        is_parameter=isinstance(value, nn.Parameter) or (network is None and refusal in (LEAF, LEAF_VIEW)),
        is_state=value is not None,
    )
    # Who saves it on several lines takes a clone on each.
    savers = write.savers if scene.saver else (None,)
    cures = [_usable(cure_of(replace(scene, saver=saver))) for saver in savers]
    cure = replace(cures[0], edits=united(each.edits for each in cures if each.says == cures[0].says))
    return replace(write, cure=replace(cure, says=refusal.instead) if refusal and not cure.edits else cure)


def _usable(cure: Cure) -> Cure:
    """Return the cure, as a sentence alone if a file's text is not what runs."""
    return replace(cure, edits=()) if any(is_edited(edit.file) for edit in cure.edits) else cure


def _module_at(network: nn.Module | None, path: str | None) -> nn.Module | None:
    try:
        return None if network is None or path is None else network.get_submodule(path)
    except AttributeError:  # of a module outside of the network
        return None


def _state(writer: Place, module: nn.Module | None) -> tuple[str | None, object]:
    """Return the name of what a line writes to, and the parameter or buffer of the module that it is."""
    write = write_at(writer)
    name = None if write is None else ast.unparse(write.owner)
    state = () if module is None else (*module.named_parameters(), *module.named_buffers())
    return name, next((tensor for path, tensor in state if f"self.{path}" == name), None)


def in_need(calls: Iterable[Call], turned_off: Iterable[int]) -> set[int]:
    """Return the calls that need a cure, by index: those that do harm, and those of other switches to be turned off."""
    harmful = [call for call in calls if not call.safe]
    switches = {call.switch for call in harmful} - {None}
    off = set(turned_off)
    return {call.index for call in calls if not call.safe or (call.index in off and call.switch not in switches)}
