"""Measures the bytes of the storages that a forward makes, while it runs."""

from __future__ import annotations

from typing import Any

from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from relu_demo.network.report import Memory
from relu_demo.sanitizer.observer import operands
from relu_demo.tensors.storage import is_gone, key_of, storage_of, weak_ref


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that are alive after each operator, known by weak references.

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
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}
        """By key: each storage that was made, and its bytes."""
        self._upper = 0
        """At least as many bytes as are alive."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {key_of(tensor) for _, tensor in operands(args, kwargs or {})}
        result = func(*args, **(kwargs or {}))
        for _, tensor in operands(result if isinstance(result, tuple) else (result,), {}):
            key = key_of(tensor)
            if key is not None and key not in given and key not in self._made:
                size = storage_of(tensor).nbytes()
                self._made[key] = weak_ref(tensor), size
                self._upper += size
        if self._upper > self.peak:
            # The sum counts storages that are freed by now, too. It may be a new peak, so look which are alive.
            self._upper = self.read().live
            self.peak = max(self.peak, self._upper)
        return result

    def read(self) -> Memory:
        """Return the bytes that are alive now, and the most so far."""
        self._made = {key: each for key, each in self._made.items() if not is_gone(each[0])}
        return Memory(sum(size for _, size in self._made.values()), self.peak)
