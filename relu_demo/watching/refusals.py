"""The writes in place that PyTorch refuses at once: how it words each, what makes a write forbidden, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relu_demo.errors import words_of
from relu_demo.sanitizer.observer import operands
from relu_demo.tensors.graph import is_lost


@dataclass(frozen=True)
class Refusal:
    """One reason for which PyTorch refuses a write in place."""

    key: str
    """Names its page in `relu-demo explain`."""
    words: str
    """A part of PyTorch's own words by which it is known."""
    because: str
    """What made the write forbidden, as the rest of a sentence that begins with the tensor."""
    instead: str

    def tensor_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """
        Return the tensor that a refused function was to write to: its `out`, or its first; of lost views the lost one.

        None if it has no tensor.
        """
        tensors = [tensor for _, tensor in operands((kwargs.get("out"), *args), kwargs)]
        lost = [tensor for tensor in tensors if is_lost(tensor)] if self is LOST else []
        return next(iter(lost + tensors), None)


LOST = Refusal(
    "overwritten-base",
    "its base or another view of its base has been modified inplace",
    "is a view that PyTorch gave up when its memory was written to through another tensor",
    "make the view after the write",
)
SLOPE = Refusal(
    "negative-slope",
    "backward calculation is triggered with a negative slope",
    "was overwritten in place by an activation with a slope below zero, which cannot be undone",
    "give it a slope above zero, or write out of place",
)
LEAF = Refusal(
    "leaf",
    "a leaf Variable that requires grad is being used in an in-place operation",
    "is a leaf that requires grad",
    "edit it under torch.no_grad(), or compute a new tensor",
)
LEAF_VIEW = Refusal(
    "view-of-a-leaf",
    "a view of a leaf Variable that requires grad is being used in an in-place operation",
    "is a view of a leaf that requires grad",
    "edit it under torch.no_grad(), or write to a clone()",
)
SEVERAL = Refusal(
    "several-views",
    "is the output of a function that returns multiple views",
    "is one of several views that one call made",
    "take each part by an index or a slice",
)
EXPANDED = Refusal(
    "expanded",
    "more than one element of the written-to tensor refers to a single memory location",
    "was expanded: several of its elements are one in memory",
    "clone() it after the expansion",
)
OVERLAP = Refusal(
    "overlap",
    "some elements of the input tensor and the written-to tensor refer to a single memory location",
    "has memory in common with what the write reads: an element would be read after it was overwritten",
    "clone() what is read there",
)
INFERENCE = Refusal(
    "inference-tensor",
    "Inplace update to inference tensor outside InferenceMode is not allowed",
    "was made under torch.inference_mode()",
    "move the line into the inference_mode block, or write to a clone() that is made outside of it",
)
NO_GRAD = Refusal(
    "no-grad-view",
    "mode and is being modified inplace with grad mode enabled",
    "is a view that was made without grad",
    "make the view and write to it in the same mode",
)
HOOK = Refusal(
    "backward-hook",
    "Output 0 of BackwardHookFunction",
    "passed a full backward hook",
    "turn the write off behind the hook, or register a forward hook with a tensor hook in it",
)
CUSTOM = Refusal(
    "custom-function",
    "This view was created inside a custom Function",
    "is a view that a custom autograd.Function returned",
    "clone() what the Function returns",
)
VMAP = Refusal(
    "vmap",
    "(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args",
    "has no batch dimension of vmap, and what is written has one",
    "compute a new tensor, by torch.cat or torch.stack",
)
OUT = Refusal(
    "out",
    "functions with out=... arguments don't support automatic differentiation",
    "is given as out=, and an argument requires grad",
    "leave out= away, or compute under torch.no_grad()",
)
REFUSALS = (LOST, SLOPE, LEAF_VIEW, LEAF, SEVERAL, EXPANDED, OVERLAP, INFERENCE, NO_GRAD, HOOK, CUSTOM, VMAP, OUT)
"""Every reason that is known, in the order in which PyTorch's words are looked through."""


def refusal_in(error: RuntimeError) -> Refusal | None:
    """Return why PyTorch refused a write; None for every other error."""
    words = words_of(error)
    if "doesn't match the broadcast shape" in words and _in_vmap():  # so it is worded for add_ and sub_
        return VMAP
    return next((refusal for refusal in REFUSALS if refusal.words in words), None)


def _in_vmap() -> bool:
    """Whether a transform of torch.func runs: this PyTorch tells of no other way than by a private name."""
    stack = getattr(torch._C, "_functorch", None)
    return stack is not None and stack.peek_interpreter_stack() is not None
