"""What of a network the watch could not see, and so is never called safe."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from relu_demo.network.report import Unseen
from relu_demo.network.suspects import Watched


def unseen(model: nn.Module, watched: Watched) -> Iterator[Unseen]:
    """Each part of the network whose own calls are not all in the report, with the reason."""
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
    yield from (missed for missed in watched.missed if missed.module not in hidden)
    why = "runs again in backward (torch.utils.checkpoint); that second run is not watched"
    again = dict.fromkeys(s.place.module for s in watched.calls if s.again)
    yield from (Unseen(path, "checkpoint", why) for path in again)


def _hidden(module: nn.Module) -> str | None:
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript: its own in-place calls are not listed"
    if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
        return "compiled: the plain code it was made from was watched, not the compiled code"
    return None
