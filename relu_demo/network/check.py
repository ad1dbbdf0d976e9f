"""The check itself, step by step: a watched pass, a real run for each suspect, the whole as written, and advice."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import starmap
from traceback import walk_tb
from typing import Any

import torch
from torch import nn

from relu_demo.edits.scene import Spot
from relu_demo.edits.write import write_at
from relu_demo.errors import BadInput, NetworkError, first_line, with_article, words_of
from relu_demo.network.advice import advise
from relu_demo.network.candidate import Candidate
from relu_demo.network.cures import call_cured, in_need, write_cured
from relu_demo.network.function import as_network, is_async, is_function
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
    unique,
)
from relu_demo.network.runs import Runs
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.state.walk import tensors
from relu_demo.network.unseen import unseen
from relu_demo.network.verdicts import Verdicts, suspicions
from relu_demo.sanitizer.frames import is_users
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.place import Place, shown_file
from relu_demo.sanitizer.source import SIGNS, called, is_what_runs, line_of, statement_at
from relu_demo.watching.refusals import refusal_in
from relu_demo.watching.report import REFUSED, Site, WorthALook


def examine(
    model: nn.Module | Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    train: bool | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    layers: Layers | None = None,
) -> CheckReport:
    """
    Check `model(*args, **kwargs)`, as `check` does.

    `progress(done, total)` is called before each run of a suspect alone, and after the last: suspects done, and all.
    `layers`: knows the lines of layers that no line of the user's code calls.
    """
    if is_function(model):
        model = as_network(model)
    _refuse_what_cannot_run(model, (args, kwargs))
    assert isinstance(model, nn.Module)
    with _mode(model, train), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch would say again in each run what it says in the user's
        runs = Runs(model, args, kwargs, layers or Layers())
        return _examined(model, runs, progress)


def _examined(model: nn.Module, runs: Runs, progress: Callable[[int, int], None]) -> CheckReport:
    verdicts = Verdicts(runs)
    try:
        runs.watched  # noqa: B018 - made here, so that it raises here
    except NetworkError:
        if runs.refused is None:
            raise
        return _refused(model, runs, runs.arguments)
    candidates = [one for one in runs.watched.candidates if one.index not in runs.meant]
    effects = _settle(verdicts, candidates, progress)
    as_written = verdicts.as_written()
    if _is_other(as_written) and not any(effects.values()):
        effects |= _settle(verdicts, candidates, progress, suspect=False)
    calls = tuple(_call(one, effects.get(one.index, ())) for one in candidates if one.inplace)
    off = tuple(_call(one, suspicions(one)) for one in candidates if not one.inplace)
    lines = {(place.file, place.line): place for place in reversed(runs.watched.over_input)}
    writes = tuple(HarmfulWrite(place, (), OVERWRITES_INPUT) for place in reversed(lines.values()))
    past, meant = runs.watched.past_autograd, list(runs.watched.maybe_meant)
    if past and not verdicts.overwrites_silently(runs.as_written):
        meant += [(written, by[0]) for written, by in past.items()]
    else:
        writes += tuple(HarmfulWrite(written, unique(by), CHANGES_RESULT) for written, by in past.items())
    if as_written.out_of_place_backward is False:
        writes += verdicts.other_writes()
    if _is_other(as_written) and all(call.safe for call in calls) and not writes:
        writes = verdicts.overwriting(as_written)
    advice, conflicts = advise(verdicts, calls, off)
    cured = in_need(calls, advice.turn_off)
    return CheckReport(
        network=type(model).__name__,
        training=model.training,
        grad=torch.is_grad_enabled(),
        device=_device(model, runs.arguments),
        calls=tuple(call_cured(call, model, runs.layers) if call.index in cured else call for call in calls),
        off=off,
        harmful_writes=tuple(_sourced(write_cured(write, model)) for write in writes),
        worth_a_look=tuple(dict.fromkeys(starmap(_look, meant))),
        as_written=replace(as_written, conflicts=conflicts),
        advice=advice,
        unseen=(*unseen(model, runs.watched.missed), *verdicts.unsteady()),
        unrestored=tuple(Unrestored(*each) for each in runs.snapshot.unrestored()),
        forwards=runs.forwards,
        backwards=runs.backwards,
        torch_version=torch.__version__,
    )


def refused_in_building(network: str, error: BaseException) -> CheckReport | None:
    """Report a write that PyTorch refused while a network was built; None if the error is no such refusal."""
    refusal = refusal_in(error) if isinstance(error, RuntimeError) else None
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if is_users(frame.f_code.co_filename)]
    if refusal is None or not frames:
        return None
    lines = [line for frame, line in walk_tb(error.__traceback__) if is_users(frame.f_code.co_filename)]
    is_what_runs(frames[-1].f_code)
    file = frames[-1].f_code.co_filename
    place = Place(_written_as(file, lines[-1]), "", file, lines[-1])
    write = HarmfulWrite(place, (), REFUSED, why=f"the tensor {refusal.because}")
    return _only_refused(network, write_cured(write, words=words_of(error)), first_line(error))


def _written_as(file: str, line: int) -> str:
    """Return how a line writes in place: the sign of `x += y`, the name of a method, or `x[...] =`."""
    statement = statement_at(file, line)
    if isinstance(statement, ast.AugAssign):
        return f"{SIGNS[type(statement.op)]}="
    calls = (
        [called(node) for node in ast.walk(statement) if isinstance(node, ast.Call)] if statement is not None else []
    )
    return next((name for name in calls if name.endswith("_") and not name.endswith("__")), "write")


def _refused(model: nn.Module, runs: Runs, arguments: Any) -> CheckReport:
    """Report a write that PyTorch refuses, whatever runs out of place."""
    assert runs.refused is not None
    return replace(
        _only_refused(type(model).__name__, write_cured(runs.refused, model, runs.refused_words), runs.refused_words),
        training=model.training,
        grad=torch.is_grad_enabled(),
        device=_device(model, arguments),
        forwards=runs.forwards,
        backwards=runs.backwards,
    )


def _only_refused(network: str, write: HarmfulWrite, words: str) -> CheckReport:
    return CheckReport(
        network=network,
        training=True,
        grad=True,
        device="cpu",
        calls=(),
        off=(),
        harmful_writes=(_sourced(write),),
        worth_a_look=(),
        as_written=AsWritten(None, False, words, None, None, None),
        advice=Advice((), (), False),
        unseen=(),
        unrestored=(),
        forwards=0,
        backwards=0,
        torch_version=torch.__version__,
    )


def _sourced(write: HarmfulWrite) -> HarmfulWrite:
    return replace(write, source=line_of(write.place.file, write.place.line))


def _look(written: Place, read: Place) -> WorthALook:
    write = write_at(Spot(written.file or "", written.line or 0, written.operation))
    return WorthALook(_site(written), _site(read), ast.unparse(write.owner) if write is not None else "that tensor")


def _site(place: Place) -> Site:
    source = line_of(place.file, place.line)
    return Site(shown_file(place.file or ""), place.line or 0, source, place.operation, place.module)


def _refuse_what_cannot_run(model: object, arguments: Any) -> None:
    if not isinstance(model, nn.Module):
        text = repr(model)
        named = text if len(text) < 60 else f"{text[:57]}..."
        raise BadInput(f"{named} is not an nn.Module; give a module, not {with_article(type(model).__name__)}")
    if is_async(model.forward):
        raise BadInput(f"{type(model).__name__} is async, and a check awaits nothing; give a forward that is not")
    if any(torch.nn.parameter.is_lazy(p) for p in (*model.parameters(), *model.buffers())):
        raise BadInput("the network has lazy parameters without a shape yet; run it once, then check it")
    if any(type(each).__name__ == "FakeTensor" for each in (*model.parameters(), *tensors(arguments))) or _is_faked():
        raise BadInput(
            "a check takes real tensors, or those of the device meta, and these are fake; leave FakeTensorMode"
        )


def _is_faked() -> bool:
    stack = getattr(torch.utils._python_dispatch, "_get_current_dispatch_mode_stack", list)
    return any(type(mode).__name__ == "FakeTensorMode" for mode in stack())


@contextmanager
def _mode(model: nn.Module, train: bool | None) -> Iterator[None]:
    if train is None:
        yield
        return
    # A network's own train() may do more than set flags: merge weights, reach into plain lists.
    before = Snapshot(model)
    before.before_any_write()
    try:
        model.train(train)
        yield
    finally:
        before.restore()


def _is_other(whole: AsWritten) -> bool:
    """Return whether the network as written does not do what it does out of place."""
    broken = whole.backward is False and whole.out_of_place_backward is not False
    return bool(whole.differs or whole.gradients_differ or whole.hooks_differ or whole.forward_error or broken)


def _settle(
    verdicts: Verdicts, candidates: list[Candidate], progress: Callable[[int, int], None], suspect: bool = True
) -> dict[int, tuple[Effect, ...]]:
    """
    Return the effects of each call that is in place and suspect, by its index.

    With `suspect=False` those of the others: where the whole is not right, the watch has missed something.
    """
    suspects = [one for one in candidates if one.inplace and one.suspect is suspect and (suspect or one.bytes)]
    if any(one.is_again_alone for one in suspects) and verdicts.is_good_as_written():
        # What a checkpoint runs again does so as written in every run: one has shown that all of it is right.
        suspects = [one for one in suspects if not one.is_again_alone]
    settled = {}
    for done, one in enumerate(suspects):
        progress(done, len(suspects))
        settled[one.index] = verdicts.effects(one)
    progress(len(suspects), len(suspects))
    return settled


def _call(found: Candidate, effects: Iterable[Effect]) -> Call:
    return Call(
        index=found.index,
        place=found.place,
        inplace=found.inplace,
        shape=found.shape,
        dtype=found.dtype,
        bytes=found.bytes,
        effects=tuple(effects),
        readers=tuple(found.readers),
        result_used=found.result_used,
        switch=found.switch,
        takes_inplace=found.takes_inplace,
        type=found.type,
        source=line_of(found.place.file, found.place.line),
    )


def _device(model: nn.Module, arguments: Any) -> str:
    known = (*model.parameters(), *model.buffers(), *tensors(arguments))
    return next((tensor.device.type for tensor in known), "cpu")
