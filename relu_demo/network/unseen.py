"""What of a network the watch could not see, and so is never called safe."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from relu_demo.errors import with_article
from relu_demo.network.candidate import Candidate
from relu_demo.network.report import Unseen
from relu_demo.network.state.walk import opaque


def unseen(model: nn.Module, candidates: Iterable[Candidate], missed: Iterable[Unseen]) -> Iterator[Unseen]:
    """
    Give each part of the network whose own calls are not all in the report, with the reason.

    `candidates`, `missed`: what the watched pass saw, and what it knows that it did not see.
    """
    above = ""
    hidden = set()
    for name, module in model.named_modules():
        if above and name.startswith(above):
            continue
        why = _hidden(module)
        if why:
            above = f"{name}." if name else ""
            hidden.add(name)
            yield Unseen(name, type(module).__name__, why)
            if not name:
                break
    yield from (one for one in missed if one.module not in hidden)
    why = "runs again in backward (torch.utils.checkpoint); that second run is not watched"
    again = dict.fromkeys(candidate.place.module for candidate in candidates if candidate.again)
    yield from (Unseen(path, "checkpoint", why) for path in again)


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
