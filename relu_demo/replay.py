"""The replay: runs a session line by line and records, after each line, the state of every tensor."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from relu_demo.session import Line, Moment, Session
from relu_demo.trace import Look, Node, Step, TensorState, Trace, TracedPart, Values

LISTED = 1000
"""Up to how many elements a tensor's values are listed unless a caller asks for more."""

CORNER = 8
"""Rows and columns of the corner that is always listed, in elements."""

BLOCK = 2**22
"""How many elements are counted at a time. With fewer, PyTorch's threads wait for each other more than they count."""

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The dtype that shows an element's bits, by its size in bytes."""


class LineError(Exception):
    """A line of a session raised. `line` is the line, `__cause__` what it raised."""

    def __init__(self, line: Line, cause: Exception) -> None:
        words = str(cause).strip().splitlines()
        super().__init__(f"PyTorch cannot run '{line.source}': {words[0] if words else type(cause).__name__}")
        self.line = line
        self.__cause__ = cause


def replay(session: Session, listed: int = LISTED) -> Trace:
    """Runs every line of `session`, in order, in one namespace, and gives what was seen.

    Values are copied at the moment of looking; a tensor's values are listed in full up to `listed` elements. Every
    object that was looked at stays alive as long as the trace does, since an `id` or an address says nothing about an
    object that is gone (Python documentation, `id`).

    Raises LineError where a line raises.
    """
    *_, trace = traces(session, listed)
    return trace


def traces(session: Session, listed: int = LISTED) -> Iterator[Trace]:
    """The trace so far, before the first line and after each: a line runs when the trace after it is asked for.

    The last is what `replay` gives. Raises LineError where a line raises.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    recorder = _Recorder(listed)
    before: dict[str, TensorState] = {}
    parts: list[TracedPart] = []
    yield Trace(session, torch.__version__, (), ())
    for part in session.parts:
        steps: list[Step] = []
        looks: dict[str, Look] = {}
        so_far = TracedPart(part.key, part.title, (), looks)
        for line in part.lines:
            try:
                output = run_line(line.source, namespace)
            except Exception as error:
                raise LineError(line, error) from error
            after = recorder.look(namespace)
            steps.append(Step(line, output, after, tuple(n for n in after if after[n] != before.get(n))))
            if line.moment:
                looks[line.moment.key] = recorder.compare(line.moment, after[line.source], looks)
            before = after
            so_far = TracedPart(part.key, part.title, tuple(steps), dict(looks))
            yield Trace(session, torch.__version__, (*parts, so_far), tuple(recorder.alive))
        parts.append(so_far)


def zeroed(was: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """Where a negative number has become zero."""
    return (was < 0) & (now == 0)


def count(where: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> int:
    """For how many elements `where` is true, given tensors of one shape.

    Block by block, since the masks of a large tensor would take a quarter of its memory.
    """
    blocks = zip(*(torch.split(tensor.reshape(-1), BLOCK) for tensor in tensors), strict=True)
    return sum(int(torch.count_nonzero(where(*block))) for block in blocks)


def run_line(source: str, namespace: dict[str, Any]) -> str:
    """Runs one statement as the interactive interpreter would and gives what that would have printed."""
    printed = io.StringIO()

    def display(value: object) -> None:
        if value is not None:
            print(repr(value), file=printed)

    hook, sys.displayhook = sys.displayhook, display
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "<session>", "single"), namespace)
    finally:
        sys.displayhook = hook
    return printed.getvalue()


def named_tensors(namespace: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that a line could name: variables, and the parameters of modules as `conv1.weight`."""
    for name, value in namespace.items():
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, torch.nn.Module):
            for parameter, tensor in value.named_parameters():
                yield f"{name}.{parameter}", tensor


def storage_address(tensor: torch.Tensor) -> int:
    """The address of the tensor's storage, in bytes, whatever part of it the tensor views."""
    if hasattr(tensor, "untyped_storage"):
        return tensor.untyped_storage().data_ptr()
    return int(tensor.storage().data_ptr())  # type: ignore[no-untyped-call]  # PyTorch before 2.0


class _Recorder:
    """Looks at tensors and keeps them, and all that their ids speak of, alive."""

    def __init__(self, listed: int) -> None:
        self.listed = listed
        self.alive: list[Any] = []
        self.seen: dict[tuple[int, int], Values] = {}
        self.compared: dict[tuple[int, int], tuple[int, int]] = {}

    def look(self, namespace: dict[str, Any]) -> dict[str, TensorState]:
        tensors = dict(named_tensors(namespace))
        leaves = {id(tensor): name for name, tensor in tensors.items()}
        return {name: self.state(name, tensor, leaves) for name, tensor in tensors.items()}

    def state(self, name: str, tensor: torch.Tensor, leaves: dict[int, str]) -> TensorState:
        return TensorState(
            name=name,
            id=id(tensor),
            data_ptr=storage_address(tensor),
            version=tensor._version,
            grad_fn=self.node(tensor.grad_fn, leaves),
            requires_grad=tensor.requires_grad,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            device=str(tensor.device),
            values=self.values(tensor),
        )

    def node(self, grad_fn: Any, leaves: dict[int, str]) -> Node | None:
        if grad_fn is None:
            return None
        self.alive.append(grad_fn)
        behind = tuple(
            node for function, _ in grad_fn.next_functions if (node := self.node(function, leaves)) is not None
        )
        variable = leaves.get(id(getattr(grad_fn, "variable", None)), "")
        return Node(type(grad_fn).__name__, id(grad_fn), behind, variable)

    def values(self, tensor: torch.Tensor) -> Values:
        """A copy of the values, made once for each version of each tensor, and once for the same numbers."""
        key = (id(tensor), tensor._version)
        if key not in self.seen:
            self.alive.append(tensor)
            now = tensor.detach()
            same = (old for old in self.seen.values() if same_bits(old.copy, now))
            self.seen[key] = next(same, None) or copy_values(now, self.listed)
        return self.seen[key]

    def compare(self, moment: Moment, state: TensorState, earlier: Mapping[str, Look]) -> Look:
        """The look at a tensor, with the elements counted that differ from those of the part's first look."""
        if not earlier:
            return Look(moment, state, None, None)
        was, now = next(iter(earlier.values())).state.values.copy, state.values.copy
        pair = (id(was), id(now))
        if pair not in self.compared:
            self.compared[pair] = (count(torch.ne, was, now), count(zeroed, was, now)) if was is not now else (0, 0)
        return Look(moment, state, *self.compared[pair])


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have the same shape and dtype and, element for element, the same bits."""
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    bits = INTEGERS[a.element_size()]
    return torch.equal(a.contiguous().view(bits), b.contiguous().view(bits))


def copy_values(tensor: torch.Tensor, listed: int) -> Values:
    """A copy of the tensor's values with their summary. Lists them in full up to `listed` elements."""
    copy = tensor.clone()
    elements = copy.numel()
    # Half precision lacks some of these reductions on some devices.
    numbers = copy.float() if copy.element_size() < 4 else copy
    low, high = (extreme.item() for extreme in torch.aminmax(numbers)) if elements else (None, None)
    matrix = copy.reshape(-1, *copy.shape[-2:])[0] if copy.dim() > 2 else copy
    corner = matrix.reshape(-1, matrix.shape[-1] if matrix.dim() else 1)[:CORNER, :CORNER]
    return Values(
        copy=copy,
        elements=elements,
        negatives=count(lambda x: x < 0, numbers),
        zeros=elements - int(torch.count_nonzero(numbers)),
        minimum=low,
        maximum=high,
        nested=copy.tolist() if elements <= listed else None,
        corner=corner.tolist(),
    )
