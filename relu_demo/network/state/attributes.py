"""What holds a network's tensors beside PyTorch's own registers: plain attributes, and the objects in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from functools import lru_cache
from types import FunctionType
from typing import Any

from torch import Tensor, nn

from relu_demo.network.state.contents import ENDS, Parts, contents, slots, walk
from relu_demo.network.state.items import CONTAINERS, PLAIN, Looked, items_of
from relu_demo.network.state.moving import hides_state

_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_MANY = 64
"""Containers and objects from which on a walk through them is not made again for nothing."""


def attribute_tensors(network: nn.Module, looked: Looked | None = None, keep: bool = False) -> dict[str, Tensor]:
    """
    Return the tensors in plain attributes of the network's modules, by name: what a forward may leave for later.

    A module in such an attribute (a plain list of them, which PyTorch does not look into) counts as one of the
    network's, its buffers as such tensors. `looked`: knows where none are. `keep`: it is told what is where, too.
    """
    found: dict[str, Tensor] = {}
    looked = looked or Looked()
    modules = [*network.named_modules()]
    known = {id(module) for _, module in modules}
    for path, module in modules:
        for name, value in _plain_attributes(path, module):
            kept = looked.found_in(value)
            if kept is not None:
                found.update((name + place, tensor) for place, tensor in kept)
                continue
            tensors, hidden = _tensors_in(value, looked, keep)
            found.update((name + place, tensor) for place, tensor in tensors)
            for place, end in hidden:
                if id(end) not in known:
                    modules += (more := [*end.named_modules(prefix=name + place)])
                    known |= {id(each) for _, each in more}
                    found.update(end.named_buffers(prefix=name + place))
    return found


def _tensors_in(value: Any, looked: Looked, keep: bool) -> tuple[list[tuple[str, Tensor]], list[tuple[str, nn.Module]]]:
    """Return the tensors and the modules in an attribute, each with what goes after the attribute's name."""
    tensors: list[tuple[str, Tensor]] = []
    hidden: list[tuple[str, nn.Module]] = []
    passed: list[Any] = []

    def parts(value: Any) -> Parts | None:
        if keep:
            passed.append(value)
        if is_plain_object(type(value)):
            return [(f"[{name!r}]", item) for name, item in value.__dict__.items() if type(item) not in PLAIN]
        return None if looked.holds_no_tensor(value) else contents(value)

    for place, end, _ in walk(value, parts=parts):
        if isinstance(end, Tensor):
            tensors.append((f"[{len(tensors)}]" if tensors else "", end))
        elif isinstance(end, nn.Module):
            hidden.append((place, end))
    if len(passed) > _MANY and not hidden:
        _keep(looked, value, passed, tensors)
    return tensors, hidden


def _keep(looked: Looked, value: Any, passed: list[Any], tensors: list[tuple[str, Tensor]]) -> None:
    """Have it remembered what is in an attribute, if all that a walk passed there tells whether it has changed."""
    holders = []
    for each in passed:
        kind = type(each)
        if kind in CONTAINERS:
            holders.append(each)
        elif is_plain_object(kind):
            holders.append(each.__dict__)
        elif kind not in (tuple, frozenset) and not issubclass(kind, ENDS):
            return
    full = [(each, items_of(each)) for each in holders if each]
    looked.keep(value, [each for each in holders if not each], full, tensors)


def _holds_all_in_dict(kind: type) -> bool:
    """Whether all that an object of this class holds is in its `__dict__`."""
    own_way = any("__getattribute__" in vars(base) for base in kind.__mro__[:-1])
    if own_way or not kind.__dictoffset__ or slots(kind) or hides_state(kind):
        return False
    return not issubclass(kind, (*ENDS, *CONTAINERS, tuple, Mapping, Set, Iterator, FunctionType))


is_plain_object: Callable[[type], bool] = lru_cache(maxsize=10_000)(_holds_all_in_dict)
"""Returns whether all that an object of this class holds is in its `__dict__`."""


def _plain_attributes(path: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    for attribute, value in module.__dict__.items():
        if attribute not in _OF_EVERY_MODULE and not is_plain(value):
            yield f"{path}.{attribute}".lstrip("."), value


def is_plain(value: Any) -> bool:
    """Return whether a value is a number or a string, or a tuple of these."""
    return type(value) in PLAIN or (type(value) is tuple and all(type(item) in PLAIN for item in value))
