"""Tensors inside what a network takes and returns (tuples, lists, mappings, dataclasses), and the graph behind them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

_DEEPEST = 20


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each tensor, number and string in the value, with its path in it, in a fixed order."""
    yield from _leaves(value, path, 0, set())


def tensors(value: Any) -> Iterator[Tensor]:
    """Each tensor in the value."""
    return (leaf for _, leaf in leaves(value) if isinstance(leaf, Tensor))


def _leaves(value: Any, path: str, depth: int, above: set[int]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Tensor) or value is None or isinstance(value, (bool, int, float, complex, str)):
        yield path, value
        return
    if depth > _DEEPEST or id(value) in above or isinstance(value, (nn.Module, type)) or callable(value):
        return
    for name, item in _items(value):
        yield from _leaves(item, f"{path}[{name!r}]", depth + 1, above | {id(value)})


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    return list(vars(value).items()) if hasattr(value, "__dict__") else []


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """
    The value with each tensor changed, in new containers; objects of other kinds are copied shallowly first.

    A container without tensors in it is given as it is.
    """
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (nn.Module, type)) or next(tensors(value), None) is None:
        return value
    items = [(name, map_tensors(item, change)) for name, item in _items(value)]
    if isinstance(value, tuple):
        values = [item for _, item in items]
        return type(value)(*values) if hasattr(value, "_fields") else tuple(values)
    twin = copy.copy(value)
    for name, item in items:
        if isinstance(value, (Mapping, list)):
            twin[name] = item
        else:
            object.__setattr__(twin, name, item)
    return twin


def graph(outputs: Iterable[Tensor]) -> Iterator[Any]:
    """Each node of autograd's graph behind the outputs, once."""
    waiting: list[Any] = []
    for output in outputs:
        # PyTorch refuses to give the grad_fn of one of several views once its base was written to.
        with suppress(RuntimeError):
            waiting.append(output.grad_fn)
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting.extend(following for following, _ in node.next_functions)
