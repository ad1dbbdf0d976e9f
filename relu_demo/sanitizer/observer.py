"""Watches any code: what autograd saves and unpacks, which tensors are read, written to and viewed.

    with Observer(listener):
        loss = model(x).sum()
        loss.backward()

A TorchFunctionMode sees each function of torch before it runs. A TorchDispatchMode sees each operator, also those below
composite functions and in TorchScript, and reads from its schema what it does to its arguments. saved_tensors_hooks
see what autograd saves. The modes and hooks are those of the thread that enters; of other threads the observer knows
only that modules run there.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import FrameType
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from relu_demo.sanitizer.frames import Surroundings, operation_name, surroundings
from relu_demo.sanitizer.place import GIVING, Place

_EXPOSING = {*GIVING, "data_ptr", "storage", "untyped_storage", "_typed_storage", "tolist"}
"""Methods of a tensor that give its memory to code that no mode sees."""


Returned = TypeVar("Returned")


class Listener:
    """What an observer tells. Each method but `saved`, `unpacked`, `run` and `path_of` may be left as it is.

    Tensors may be asked anything that runs no operator: the observer does not watch the listener. A listener must not
    keep one, or it changes what is freed when.
    """

    wants_all = True
    """Whether it wants to hear of everything now, and to run the functions of torch; else of writes alone."""

    def path_of(self, module: nn.Module) -> str:
        """Return the name of a module, for `Place.module`."""
        return f"<{type(module).__name__}>"

    def line_of(self, module: nn.Module) -> tuple[str, int] | None:
        """Return the file and line for what a module does where no frame is of the user's code; None if not known."""
        return None

    def run(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], here: Here) -> Any:
        """Run a function of torch, as it was called or otherwise, and return its result."""
        return function(*args, **kwargs)

    def saved(self, tensor: Tensor, place: Place) -> Any:
        """Autograd saves a tensor. Return the object that the graph holds instead; keep no other reference to it."""
        raise NotImplementedError

    def unpacked(self, saved: Any) -> Tensor:
        """Backward asks for what `saved` returned. Return the tensor; PyTorch does not check its version counter."""
        raise NotImplementedError

    def operator(self, operator: Operator, given: Iterable[tuple[int | str, Tensor]], here: Here) -> None:
        """An operator is about to run on tensors, each with its position or name. The old values are still there."""

    def made(self, results: Iterable[Tensor]) -> None:
        """An operator has returned these."""

    def exposed(self, tensor: Tensor, here: Here) -> None:
        """The tensor's memory is about to be given to code that no mode sees (`numpy()`, `data_ptr()`)."""

    def other_thread(self, module: nn.Module) -> None:
        """A module runs in another thread, where nothing else is observed."""

    def thread_runs(self, operator: str) -> None:
        """A thread that the observed one has started runs an operator. Nothing else is told of that thread."""


class Here:
    """The function of torch that runs now, and where it stands. Ask only while it runs: the frames tell."""

    __slots__ = ("_observer", "_place", "_surroundings", "function")

    def __init__(self, observer: Observer, function: Any) -> None:
        self.function = function
        """None outside of all functions of torch: in TorchScript, in an extension, in a custom autograd.Function."""
        self._observer = observer
        self._surroundings: Surroundings | None = None
        self._place: Place | None = None

    @property
    def surroundings(self) -> Surroundings:
        """Return what the frames tell. They are walked once for a function, and each time outside of all."""
        if self._surroundings is not None:
            return self._surroundings
        found = surroundings(self._observer.outermost, self.function)
        if self.function is not None:
            self._surroundings = found
        return found

    def place(self, otherwise: str) -> Place:
        """Return the place, with the name of the running function, or `otherwise` outside of all functions.

        Where that is empty, it has the name of what saves a tensor.
        """
        if self.function is None:
            found = self.surroundings
            saver = "checkpoint" if found.in_checkpoint else found.applied or "autograd.Function"
            return self._observer.place(found, otherwise or saver)
        self._place = self._place or self._observer.place(self.surroundings, operation_name(self.function))
        return self._place


class Observer:
    """Tells a listener what the code inside the block does.

    Frames outside the one that has the `with` statement do not count for a `Place`.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.quiet = False
        """Whether the listener itself asks tensors, which is not watched."""
        self.here = Here(self, None)
        """What runs now."""
        self.outermost: FrameType | None = None
        """The frame that has the block; None outside of it."""
        self._thread = 0
        self._stack = ExitStack()

    def __enter__(self) -> Observer:
        self.outermost = sys._getframe(1)
        self._thread = threading.get_ident()
        with ExitStack() as stack:
            stack.enter_context(saved_tensors_hooks(self.unseen(self._pack), self.unseen(self.listener.unpacked)))
            stack.enter_context(_Functions(self))
            stack.enter_context(_Operators(self))
            # The modes are of one thread; a hook on all modules is of every thread.
            stack.callback(register_module_forward_pre_hook(self._before_module).remove)
            stack.callback(threading.setprofile, threading.getprofile())
            threading.setprofile(self._begin_thread)
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Using `torch.compile")  # "when there are global hooks on modules"
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        # The frame holds this observer: a circle, which would keep the frame's other variables alive.
        self.outermost = None
        self._stack.close()

    def unseen(self, function: Callable[..., Returned]) -> Callable[..., Returned]:
        """Return a function that asks tensors without being observed."""

        def asking(*args: Any) -> Returned:
            before, self.quiet = self.quiet, True
            try:
                return function(*args)
            finally:
                self.quiet = before

        return asking

    def _begin_thread(self, *event: object) -> None:
        """See the operators of a thread from its first call on: threading calls this as its profiler."""
        sys.setprofile(None)
        _Elsewhere(self).__enter__()  # type: ignore[no-untyped-call]

    def place(self, found: Surroundings, operation: str) -> Place:
        """Return the place of an operation that stands there."""
        module = "" if found.module is None else self.listener.path_of(found.module)
        line = found.file, found.line
        if found.file is None and found.module is not None:
            line = self.listener.line_of(found.module) or line
        return Place(operation, module, *line, found.hook, tuple(found.frames))

    def _pack(self, tensor: Tensor) -> Any:
        return self.listener.saved(tensor, self.here.place(""))

    def _before_module(self, module: nn.Module, inputs: Any) -> None:
        if threading.get_ident() != self._thread:
            self.listener.other_thread(module)


class _Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that an observer looks through."""

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else the first operator imports all of torch._dynamo: a second, and 70 MB.
        return False

    def __init__(self, observer: Observer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._observer = observer


class _Elsewhere(_Dispatch):  # type: ignore[no-untyped-call]
    """Sees that operators run in another thread."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self._observer.listener.thread_runs(operator_of(func).name)
        return func(*args, **(kwargs or {}))


class _Functions(TorchFunctionMode):
    """Knows which function of torch runs, for the names of places, and lets the listener run it."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        observer, kwargs = self._observer, kwargs or {}
        listener = observer.listener
        if observer.quiet or not listener.wants_all:
            return func(*args, **kwargs)
        outer = observer.here
        here = observer.here = Here(observer, func)
        try:
            if operation_name(func) in _EXPOSING and args and isinstance(args[0], Tensor):
                listener.exposed(args[0], here)
            return listener.run(func, args, kwargs, here)
        finally:
            observer.here = outer


class _Operators(_Dispatch):  # type: ignore[no-untyped-call]
    """Sees every operator that reaches a kernel."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self._tell, self._made = observer.unseen(observer.listener.operator), observer.unseen(observer.listener.made)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        observer, operator, kwargs = self._observer, operator_of(func), kwargs or {}
        if not operator.writes and not observer.listener.wants_all:
            return func(*args, **kwargs)
        self._tell(operator, operands(args, kwargs), observer.here)
        result = func(*args, **kwargs)
        if observer.listener.wants_all and not operator.is_view:
            self._made(tensor for _, tensor in operands((result,), {}))
        return result


def operands(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[int | str, Tensor]]:
    """Yield each tensor in the arguments of an operator, in its lists too, with its position or name."""
    named: Any = [*enumerate(args), *kwargs.items()] if kwargs else enumerate(args)
    for name, value in named:
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, Tensor):
                    yield name, item


class Operator:
    """What an operator does to its arguments, from its schema (torch/library: `Tensor(a!)` is written to)."""

    def __init__(self, func: Any) -> None:
        schema = getattr(func, "_schema", None)
        self.name = operation_name(func).split(".")[0]
        """Without its namespace and overload: `add_`."""
        self.writes: set[int | str] = set()
        """Positions and names of the arguments that it writes to."""
        self.is_view = False
        """Whether its result shares the memory of an argument that it does not write to."""
        self.reads = True
        """Whether it reads elements of its arguments: no view, and not what takes only a shape (`zeros_like`)."""
        if schema is None:
            return
        for i, argument in enumerate(schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.writes |= {i, argument.name}
        self.is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
        namespace, _, name = schema.name.partition("::")
        only_shape = name.endswith("_like") or name.startswith(("new_", "sym_")) or name == "is_same_size"
        # An operator of another library may be called anything.
        self.reads = not (self.is_view or (namespace == "aten" and only_shape))


_operators: dict[int, tuple[Any, Operator]] = {}
"""By `id`, beside the operator itself: its own hash is computed in Python, at each call."""


def operator_of(func: Any) -> Operator:
    """Return what an operator (torch.ops.aten.add_.Tensor) does to its arguments."""
    known = _operators.get(id(func))
    if known is None:
        known = _operators[id(func)] = func, Operator(func)
    return known[1]
