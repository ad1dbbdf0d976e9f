"""A network's state as it was, to be put back after each run: a check leaves no trace."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.attributes import attribute_tensors
from relu_demo.network.state.copies import not_copied
from relu_demo.network.state.holders import Holders
from relu_demo.network.state.items import Looked
from relu_demo.network.state.moving import PutBack
from relu_demo.network.state.recorded import Recorded, has_no_graph, restore_versions, with_inner
from relu_demo.network.state.storages import Saved, is_as_it_was, put_back, saved
from relu_demo.tensors.storage import key_of, storage_of, version_of


class Snapshot:
    """
    The state of a network and of the random generators. `restore()` puts both back, bit for bit.

    Recorded of the network: each module's class and attributes (parameters, buffers, submodules, hooks, training
    flags, plain Python attributes), those of its class, the built-in containers, NumPy arrays, functions and the plain
    objects in them, whatever modules these hold, the values, hooks and attributes of all their tensors, and the
    gradients. Of the user's functions in them: closures, defaults, attributes, and what is in the containers among
    their globals. Of the caller's arguments: the same, but for tensors, of which every pass gets copies. Of the
    process: the generators of Python, NumPy and PyTorch on every device in use, the grad mode and the default dtype.
    Of tensors outside the network: the values of those that `adopt` was told of. Not recorded: other state outside (a
    global counter).

    Buffers are copied at once. Other tensors are as large as the network, so they are copied only when a write is
    about to reach them: `before_write`.
    """

    def __init__(self, network: nn.Module, arguments: Any = ()) -> None:
        self.looked = Looked()
        self._network = network
        self._holders = Holders(network, arguments, self.looked)
        self.parameters = [p for module in self._holders.modules for p in module.parameters(recurse=False)]
        """The parameters of the network, those of modules in plain lists and objects too."""
        buffers = [
            buffer
            for module in (*self._holders.modules, *self._holders.beside)
            for buffer in module.buffers(recurse=False)
        ]
        self.attributes = attribute_tensors(network, self.looked, keep=True)
        """The tensors in plain attributes of the network's modules, by name, as they were."""
        found = [*self.parameters, *buffers, *self.attributes.values(), *self._holders.class_tensors]
        found = [*with_inner([*found, *not_copied(arguments)])]
        grads = [tensor.grad for tensor in found if has_no_graph(tensor) and tensor.grad is not None]
        self._state = [Recorded(tensor) for tensor in with_inner([*found, *grads])]
        self._holders.follow([held for state in self._state for held in state.held])
        self._by_key: dict[int, Tensor] = {state.key: state.alias for state in self._state if state.key is not None}
        self._saved: dict[int, Saved] = {}
        """A copy of each storage, by its key, as it was before the first write."""
        self._overwritten: set[int] = set()
        self._without_bytes: set[int] = set()
        """The storages, by their keys, that cannot be copied: of a tensor that wraps others."""
        self._adopted: list[tuple[Tensor, int]] = []
        """Tensors outside the network, each with its version before the first write."""
        for state in self._state:
            # Nobody announces a write to one that has no storage of its own.
            for tensor in state.inner:
                self.adopt(tensor)
                self.before_write(key_of(tensor))
        for buffer in buffers:
            self.before_write(key_of(buffer))
        self._random: list[PutBack] = [*_random_states(), *self._holders.random]
        self._lending = False
        self._grad, self._dtype = torch.is_grad_enabled(), torch.get_default_dtype()

    def __enter__(self) -> Snapshot:
        """Until the end of the block, each pass uses up a copy of what can be copied and not be put back: a counter."""
        self._lending = True
        self._holders.lend()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lending = False
        self._holders.give_back()

    @property
    def own(self) -> Mapping[int, Any]:
        """The modules, containers and objects in the network, by id."""
        return self._holders.own

    def holds(self, key: int | None) -> bool:
        """Return whether the storage with this key belongs to the network's state."""
        return key in self._by_key

    def before_write(self, key: int | None) -> None:
        """Copy the storage with this key, if it belongs to the network's state and has not been copied yet."""
        if key is not None and key in self._by_key and key not in self._saved:
            alias = self._by_key[key]
            if alias.device.type != "meta" and key not in self._without_bytes:
                copied = saved(storage_of(alias))
                if copied is None:
                    self._without_bytes.add(key)
                else:
                    self._saved[key] = copied

    def adopt(self, tensor: Tensor) -> None:
        """Copy a storage that is neither the network's nor the arguments', before the first write: a global's."""
        key = key_of(tensor)
        if key is not None and key not in self._by_key:
            self._by_key[key] = tensor.detach()
            self._adopted.append((self._by_key[key], version_of(tensor)))
            self.before_write(key)

    def before_any_write(self) -> None:
        """Copy every storage of the network's state that has not been copied yet."""
        for key in self._by_key:
            self.before_write(key)

    def overwritten(self) -> dict[int, Tensor]:
        """Return the tensors that a run has overwritten, as they are now, by their number in the state."""
        return {i: self._state[i].tensor for i in sorted(self._overwritten)}

    def note_overwritten(self) -> dict[int, Tensor]:
        """Return the tensors that are not as they were, and those of which that is not seen at once, by number."""
        same = {key for key, each in self._saved.items() if is_as_it_was(each)}
        found = {
            i: state.tensor
            for i, state in enumerate(self._state)
            if (state.key in self._saved and state.key not in same) or state.inner or state.values is not None
        }
        self._overwritten |= found.keys()
        return found

    def restore(self) -> None:
        """Put everything back. Raise RuntimeError if a tensor was overwritten that was not copied before."""
        self._holders.restore()
        for state in self._state:
            state.restore()
        for each in self._saved.values():
            put_back(each)
        written = [state for state in self._state if state.is_overwritten()]
        for state in written:
            self._look_for_loss(state)
        kept = [(state.tensor, state.first_version) for state in written if not state.is_lost]
        restore_versions([*kept, *self._adopted])
        for state in written:
            state.mark()
        self.restore_random()
        self.restore_modes()
        if self._lending:
            self._holders.lend()

    def unrestored(self) -> list[tuple[str, str, str]]:
        """Return what could not be put back: of each object its name in the network, its class, and why."""
        names = {id(tensor): name for name, tensor in self.attributes.items()}
        for path, module in self._network.named_modules():
            own = {**module._parameters, **module._buffers}
            names.update({id(t): f"{path}.{name}".lstrip(".") for name, t in own.items() if t is not None})
        lost = [(state.tensor, why) for state in self._state if (why := state.unrestored()) is not None]
        tensors = [(names.get(id(tensor), ""), type(tensor).__name__, why) for tensor, why in lost]
        return [*self._holders.unrestored(), *tensors]

    def _look_for_loss(self, state: Recorded) -> None:
        if state.key in self._saved or state.inner or state.values is not None:
            return
        if state.key is None or state.key in self._without_bytes:
            state.is_lost = True
        elif state.alias.device.type != "meta":
            raise RuntimeError("a parameter was written to in one pass and not in another; its old values are lost")

    def restore_modes(self) -> None:
        """Put PyTorch's grad mode and default dtype back."""
        if torch.is_grad_enabled() != self._grad:
            torch.set_grad_enabled(self._grad)
        if torch.get_default_dtype() != self._dtype:
            torch.set_default_dtype(self._dtype)

    def restore_random(self) -> None:
        """Put the random generators back, so that every pass draws the same numbers."""
        for restore in self._random:
            restore()


def _random_states() -> Iterator[PutBack]:
    yield partial(random.setstate, random.getstate())
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        yield partial(numpy.random.set_state, numpy.random.get_state())
    yield partial(torch.set_rng_state, torch.get_rng_state())
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        yield partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
    mps = getattr(torch, "mps", None)
    if mps is not None and torch.backends.mps.is_available():
        yield partial(mps.set_rng_state, mps.get_rng_state())
