"""The check itself, step by step: a watched pass, a real run for each suspect, the whole as written, and advice."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from traceback import walk_tb
from typing import Any

import torch
from torch import nn

from relu_demo.edits.out_of_place import write_at
from relu_demo.errors import BadInput, NetworkError, with_article, words_of
from relu_demo.network.advice import advise
from relu_demo.network.remedies import call_cured, effect_ruled, in_need, write_cured
from relu_demo.network.report import (
    CHANGES_RESULT,
    OVERWRITES_INPUT,
    Advice,
    AsWritten,
    Call,
    CheckReport,
    Effect,
    HarmfulWrite,
    Unrestored,
    Unseen,
    unique,
)
from relu_demo.network.runs import Runs
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.state.walk import tensors
from relu_demo.network.suspects import Candidate
from relu_demo.network.target import as_network, is_function
from relu_demo.network.verdicts import Verdicts, suspicions
from relu_demo.sanitizer.frames import code_of, is_users
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.place import Place, shown_file
from relu_demo.sanitizer.source import is_edited, is_what_runs, line_of
from relu_demo.watching.refusals import refusal_in
from relu_demo.watching.report import PAST_AUTOGRAD, REFUSED, Site, WorthALook

_WRITE = re.compile(r"([-+%@&|^]|\*\*?|//?|<<|>>)=|\b\w*[^\W_]_(?=\()")
"""The sign of `x += y` in a line, or the name of a method in place."""


def examine(
    model: nn.Module | Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    train: bool | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    layers: Layers | None = None,
) -> CheckReport:
    """Check `model(*args, **kwargs)`, as `check` does.

    `progress(done, total)` is called before each run of a suspect alone, and after the last: suspects done, and all.
    `layers`: knows the lines of layers that no line of the user's code calls.
    """
    if is_function(model):
        model = as_network(model)
    _refuse_what_cannot_run(model, (args, kwargs))
    assert isinstance(model, nn.Module)
    with _in_mode(model, train), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch would say again in each run what it says in the user's
        runs = Runs(model, args, kwargs, layers or Layers())
        try:
            runs.watched  # noqa: B018 - made here, so that it raises here
        except NetworkError:
            if runs.refused is None:
                raise
            return _refused_report(type(model).__name__, runs.refused, runs.refused_words, model, runs)
        return _examined(model, runs, progress)


def _examined(model: nn.Module, runs: Runs, progress: Callable[[int, int], None]) -> CheckReport:
    verdicts = Verdicts(runs)
    candidates = [one for one in runs.watched.candidates if one.call.index not in runs.meant]
    whole = verdicts.as_written()
    effects = _settled(verdicts, whole, candidates, progress)
    calls = tuple(_call(one, effects.get(one.call.index, ())) for one in candidates if one.call.inplace)
    off = tuple(_call(one, suspicions(one)) for one in candidates if not one.call.inplace)
    writes = tuple(HarmfulWrite(place, (), OVERWRITES_INPUT) for place in runs.watched.over_input)
    past, meant = runs.watched.past_autograd, list(runs.watched.maybe_meant)
    if past and not verdicts.overwrites_silently(runs.as_written):
        meant += [(written, by[0]) for written, by in past.items()]
    else:
        writes += tuple(HarmfulWrite(written, unique(by), CHANGES_RESULT) for written, by in past.items())
    if whole.out_of_place_backward is False:
        writes += verdicts.other_writes()
    if whole.is_other and not whole.forward_error and all(call.safe for call in calls) and not writes:
        writes = verdicts.overwriting(whole)
    writes = _once_a_line(writes)
    advice, conflicts = advise(verdicts, calls, off)
    cured = in_need(calls, advice.turn_off)
    return _report(
        type(model).__name__,
        replace(whole, conflicts=conflicts),
        model,
        runs,
        calls=tuple(call_cured(call, model, runs.layers) if call.index in cured else call for call in calls),
        off=off,
        harmful_writes=tuple(_sourced(write_cured(write, model)) for write in writes),
        worth_a_look=_worth_a_look(meant),
        advice=advice,
        unseen=(*_unseen(model, runs.watched.missed), *verdicts.unsteady()),
        unrestored=tuple(Unrestored(*each) for each in runs.snapshot.unrestored()),
    )


def _settled(
    verdicts: Verdicts, whole: AsWritten, candidates: list[Candidate], progress: Callable[[int, int], None]
) -> dict[int, tuple[Effect, ...]]:
    """Return the effects of each in-place call that had to be tried alone, by its index.

    Where the whole is right, so is what only values could tell. Where it is wrong, and the suspects do not explain
    that, the watch has missed something, and all others are tried.
    """
    could = [one for one in candidates if one.call.inplace and (one.call.bytes or one.suspect)]
    is_right = not whole.is_other and whole.difference is not None and whole.out_of_place_backward is not False
    suspects = [one for one in could if one.suspect and not (is_right and one.only_by_values)]
    effects = _effects(verdicts, suspects, progress)
    harmful = {index for index, found in effects.items() if found}
    if whole.is_other and not (harmful and verdicts.good(verdicts.runs.written - harmful)):
        effects |= _effects(verdicts, [one for one in could if not one.suspect], progress)
    return effects


def _effects(
    verdicts: Verdicts, candidates: list[Candidate], progress: Callable[[int, int], None]
) -> dict[int, tuple[Effect, ...]]:
    effects = {}
    for done, one in enumerate(candidates):
        progress(done, len(candidates))
        effects[one.call.index] = verdicts.effects(one)
    progress(len(candidates), len(candidates))
    return effects


def _report(network: str, whole: AsWritten, model: nn.Module | None, runs: Runs | None, **found: Any) -> CheckReport:
    """Return a report on a network by this name; without a model and its runs, on one that could not be built."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("calls", "off", "harmful_writes", "worth_a_look", "unseen", "unrestored"), ()
    )
    state = () if model is None else (*model.parameters(), *model.buffers())
    given = () if runs is None else tensors(runs.arguments)
    return CheckReport(
        network=network,
        training=model is None or model.training,
        grad=model is None or torch.is_grad_enabled(),
        device=next((tensor.device.type for tensor in (*state, *given)), "cpu"),
        as_written=whole,
        forwards=0 if runs is None else runs.forwards,
        backwards=0 if runs is None else runs.backwards,
        torch_version=torch.__version__,
        **{"advice": Advice((), (), False)} | nothing | found,
    )


def refused_in_building(network: str, error: BaseException) -> CheckReport | None:
    """Report a write that PyTorch refused while a network was built; None if the error is no such refusal."""
    refusal = refusal_in(error) if isinstance(error, RuntimeError) else None
    found = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)]
    found = [(code, line) for code, line in found if is_users(code.co_filename)]
    if refusal is None or not found:
        return None
    code, line = found[-1]
    is_what_runs(code)
    written = _WRITE.search(line_of(code.co_filename, line))
    place = Place(written[0] if written is not None else "write", "", code.co_filename, line)
    write = HarmfulWrite(place, (), REFUSED, why=f"the tensor {refusal.because}")
    return _refused_report(network, write, words_of(error).strip())


def _refused_report(
    network: str, write: HarmfulWrite, words: str, model: nn.Module | None = None, runs: Runs | None = None
) -> CheckReport:
    """Report a write that PyTorch refuses, whatever runs out of place."""
    whole = AsWritten(None, False, words.partition("\n")[0], None, None, None)
    return _report(network, whole, model, runs, harmful_writes=(_sourced(write_cured(write, model, words)),))


def _sourced(write: HarmfulWrite) -> HarmfulWrite:
    return replace(write, source=line_of(write.place.file, write.place.line))


def _once_a_line(writes: Iterable[HarmfulWrite]) -> tuple[HarmfulWrite, ...]:
    """Return the first of several writes of one line that do the same harm: `x[i] += y` adds, and then assigns."""
    found = dict[object, HarmfulWrite]()
    for write in writes:
        where = (write.place.file, write.place.line) if write.place.file else write.place
        found.setdefault((where, write.kind, write.savers), write)
    return tuple(found.values())


def _worth_a_look(pairs: Iterable[tuple[Place, Place]]) -> tuple[WorthALook, ...]:
    """Return what is worth a look of writes, each with who uses that memory: two lines once."""
    found = dict[object, WorthALook]()
    for written, read in pairs:
        write = write_at(written)
        name = ast.unparse(write.owner) if write is not None else "that tensor"
        look = WorthALook(_site_of(written), _site_of(read), name, PAST_AUTOGRAD)
        found.setdefault((written.file, written.line, read.file, read.line), look)
    return tuple(found.values())


def _site_of(place: Place) -> Site:
    source = line_of(place.file, place.line)
    return Site(shown_file(place.file or ""), place.line or 0, source, place.operation, place.module)


def _refuse_what_cannot_run(model: object, arguments: Any) -> None:
    if not isinstance(model, nn.Module):
        text = repr(model)
        named = text if len(text) < 60 else f"{text[:57]}..."
        raise BadInput(f"{named} is not an nn.Module; give a module, not {with_article(type(model).__name__)}")
    if any(torch.nn.parameter.is_lazy(p) for p in (*model.parameters(), *model.buffers())):
        raise BadInput("the network has lazy parameters without a shape yet; run it once, then check it")
    if any(type(each).__name__ == "FakeTensor" for each in (*model.parameters(), *tensors(arguments))):
        raise BadInput(
            "a check takes real tensors, or those of the device meta, and these are fake; leave FakeTensorMode"
        )


@contextmanager
def _in_mode(model: nn.Module, train: bool | None) -> Iterator[None]:
    if train is None:
        yield
        return
    # A network's own train() may do more than set flags: merge weights, reach into plain lists.
    before = Snapshot(model)
    try:
        model.train(train)
        yield
    finally:
        before.restore()


def _call(found: Candidate, effects: Iterable[Effect]) -> Call:
    return replace(
        found.call,
        effects=tuple(map(effect_ruled, effects)),
        readers=found.readers,
        source=line_of(found.call.place.file, found.call.place.line),
    )


def _unseen(model: nn.Module, missed: Iterable[Unseen]) -> Iterator[Unseen]:
    """Yield each part of the network whose calls are not all in the report; `missed`: those that the watch knows of."""
    hidden: list[str] = []
    edited: dict[str, tuple[str, str]] = {}
    for name, module in model.named_modules():
        if any(f"{name}.".startswith(f"{above}." if above else "") for above in hidden):
            continue
        if why := _hidden(module):
            hidden.append(name)
            yield Unseen(name, type(module).__name__, why)
        elif (code := code_of(module.forward)) is not None and is_users(code.co_filename):
            is_what_runs(code)
            edited.setdefault(code.co_filename, (name, type(module).__name__))
    yield from (one for one in missed if one.module not in hidden)
    for file, module_of in edited.items():
        if is_edited(file):
            why = f"{file} is not what runs: it was edited since its import, so its lines were not read"
            yield Unseen(*module_of, why)


def _hidden(module: nn.Module) -> str | None:
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript: its own in-place calls are not listed"
    if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
        return "compiled: the plain code it was made from was watched, not the compiled code"
    return None
