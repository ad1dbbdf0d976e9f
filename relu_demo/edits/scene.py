"""What a cure is chosen by: where a tensor was saved, made, written to and read, as a watch or a check has seen it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from relu_demo.sanitizer.place import Place


@dataclass(frozen=True)
class Scene:
    """One fault: every field that is not known is left as it is."""

    kind: Literal["overwritten", "refused", "silent"]
    refusal: str = ""
    """The key of the reason for which PyTorch refused a write: `leaf`, `several-views`, `expanded`."""
    saver: Place | None = None
    made_by: Place | None = None
    """Where the view, the expanded tensor, the several views or the inference tensor was made."""
    writers: tuple[Place, ...] = ()
    raised_at: Place | None = None
    """The backward, or the refused write."""
    tensor: str | None = None
    is_parameter: bool = False
    """Whether it is a parameter, or a view of one."""
    is_state: bool = False
    """Whether it is a parameter or a buffer of a module."""
    in_container: bool = False
    """Whether the line writes to an item of a list or of a dictionary, and not to a part of a tensor."""
    gradient_is_written: bool = False
    """Whether what is written requires grad, so that nothing may be written under no_grad()."""
    built_at: Place | None = None
    """Where the module that wrote is built: `nn.ReLU(inplace=True)`; its operation is the class."""
    carried: bool = False
    """Whether the backward goes on into the graph of an earlier step."""
