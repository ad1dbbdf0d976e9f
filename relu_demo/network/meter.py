"""Measures the bytes of the storages that a forward makes, while it runs."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from relu_demo.network.report import Memory
from relu_demo.tensors.storage import is_gone, key_of, storage_of, weak_ref


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """
    Counts the bytes of the storages that are alive after each operator, known by weak references.

    Sees the result of each operator, those that only autograd keeps too, on every device, meta included. Does not see
    the scratch memory inside a kernel. `peak`: the most bytes so far.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else the first operator imports all of torch._dynamo: a second, and 70 MB.
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._bytes: dict[int, int] = {}
        self._references: dict[int, StorageWeakRef] = {}
        self._upper = 0
        """At least as many bytes as are alive."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        inputs = {key_of(t) for t in _flat((*args, *(kwargs or {}).values()))}
        result = func(*args, **(kwargs or {}))
        for tensor in _flat(result if isinstance(result, (tuple, list)) else (result,)):
            key = key_of(tensor)
            if key is not None and key not in inputs and key not in self._references:
                self._references[key] = weak_ref(tensor)
                self._bytes[key] = storage_of(tensor).nbytes()
                self._upper += self._bytes[key]
        if self._upper > self.peak:
            # The sum counts storages that are freed by now, too. It may be a new peak, so look which are alive.
            self._upper = self._live()
            self.peak = max(self.peak, self._upper)
        return result

    def read(self) -> Memory:
        """Return the bytes that are alive now, and the most so far."""
        return Memory(self._live(), self.peak)

    def _live(self) -> int:
        for key in [key for key, reference in self._references.items() if is_gone(reference)]:
            del self._references[key], self._bytes[key]
        return sum(self._bytes.values())


def _flat(values: Any) -> list[Tensor]:
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += [item for item in value if isinstance(item, Tensor)]
    return found
