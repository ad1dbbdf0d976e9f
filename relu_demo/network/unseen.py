"""What of a network the watch could not see, and so is never called safe."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from relu_demo.errors import with_article
from relu_demo.network.report import Unseen
from relu_demo.network.state.walk import opaque
from relu_demo.sanitizer.frames import is_users
from relu_demo.sanitizer.hooks import code_of
from relu_demo.sanitizer.source import is_edited, is_what_runs


def unseen(model: nn.Module, missed: Iterable[Unseen]) -> Iterator[Unseen]:
    """
    Give each part of the network whose own calls are not all in the report, with the reason.

    `missed`: what the watched pass knows that it did not see.
    """
    above = ""
    edited: dict[str, tuple[str, str]] = {}
    hidden = set()
    for name, module in model.named_modules():
        if above and name.startswith(above):
            continue
        why = _hidden(module)
        code = None if why else code_of(module.forward)
        if code is not None and code.co_filename not in edited and is_users(code.co_filename):
            is_what_runs(code)
            edited[code.co_filename] = name, type(module).__name__
        if why:
            above = f"{name}." if name else ""
            hidden.add(name)
            yield Unseen(name, type(module).__name__, why)
            if not name:
                break
    yield from (one for one in missed if one.module not in hidden)
    for file, module_of in edited.items():
        if is_edited(file):
            why = f"{file} is not what runs: it was edited since its import, so its lines were not read"
            yield Unseen(*module_of, why)


def without_a_look(network: str, arguments: Any, result: Any, own: Container[int]) -> Iterator[Unseen]:
    """
    Give each kind of object in the arguments and the result in which tensors cannot be found.

    `network`: its class. `own`: the `id` of each object that belongs to the network, and is found there.
    """
    given = {("input", type(thing)): None for thing in opaque(arguments) if not isinstance(thing, nn.Module)}
    gives = {("result", type(thing)): None for thing in opaque(result) if id(thing) not in own}
    for what, kind in (*given, *gives):
        why = f"its {what} holds {with_article(kind.__name__)}, in which tensors cannot be found"
        yield Unseen("", network, why)


def _hidden(module: nn.Module) -> str | None:
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript: its own in-place calls are not listed"
    if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
        return "compiled: the plain code it was made from was watched, not the compiled code"
    return None
