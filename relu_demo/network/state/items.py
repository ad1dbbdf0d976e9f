"""The items of Python's own containers: copied, compared by identity, put back; and whether any can hold a tensor."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import is_
from typing import Any, TypeAlias

from torch.overrides import TorchFunctionMode

CONTAINERS = (OrderedDict, dict, list, set, deque)
PLAIN = {bool, int, float, complex, str, bytes, type(None)}
"""Classes whose instances hold nothing."""
_AT_ONCE = 1000
_FEW = 64
"""Items up to which it costs nothing to look at all of them again."""


def items_of(container: Any) -> dict[Any, Any] | list[Any]:
    """Return what is in a container, whatever its class has made of its methods."""
    if type(container) is dict:
        return container.copy()
    if isinstance(container, dict):
        return dict(_base(container).items(container))
    return [*_base(container).__iter__(container)]


def values_of(container: Any) -> Iterable[Any]:
    """Return what `items_of` has returned, without the order of keys and values."""
    return chain(container, container.values()) if isinstance(container, dict) else container


def has_items(container: Any, items: dict[Any, Any] | list[Any]) -> bool:
    """Return whether the same objects are in a container, in the same order."""
    base = _base(container)
    if base.__len__(container) != len(items):
        return False
    if not isinstance(items, dict):
        return all(map(is_, base.__iter__(container), items))
    return all(map(is_, base.keys(container), items)) and all(map(is_, base.values(container), items.values()))


Pair: TypeAlias = tuple[Any, dict[Any, Any] | list[Any]]
"""A container, and what was in it."""


def changed(pairs: list[Pair]) -> Iterator[Pair]:
    """Yield the containers that do not hold any more what they held. All are of Python's own classes themselves."""
    for i in range(0, len(pairs), _AT_ONCE):
        part = pairs[i : i + _AT_ONCE]
        if not _are_as_they_were(part):
            yield from (pair for pair in part if not has_items(*pair))


def _are_as_they_were(pairs: list[Pair]) -> bool:
    # One by one this takes ten times as long.
    now, before = zip(*pairs, strict=True)
    if [*map(len, now)] != [*map(len, before)]:
        return False
    if not all(map(is_, chain.from_iterable(now), chain.from_iterable(before))):
        return False
    dicts = [pair for pair in pairs if isinstance(pair[1], dict)]
    after = chain.from_iterable(container.values() for container, _ in dicts)
    return all(map(is_, after, chain.from_iterable(items.values() for _, items in dicts)))  # type: ignore[union-attr]


def refill(container: Any, items: dict[Any, Any] | list[Any]) -> None:
    """Put items into a container in the place of what is in it."""
    base = _base(container)
    base.clear(container)
    if isinstance(items, dict):
        for key, item in items.items():
            base.__setitem__(container, key, item)
    elif isinstance(container, set):
        base.update(container, items)
    else:
        base.extend(container, items)


def clear(container: Any) -> None:
    """Take everything out of a container."""
    _base(container).clear(container)


def holds_no_tensor(value: Any) -> bool:
    """Return whether a dict, list or tuple has nothing but numbers and strings, also in tuples.

    A vocabulary has a hundred thousand entries: nobody need enter it.
    """
    if type(value) not in (dict, list, tuple) or (type(value) is dict and not set(map(type, value)) <= PLAIN):
        return False
    items = value.values() if type(value) is dict else value
    kinds = set(map(type, items))
    if tuple in kinds:
        inner = items if len(kinds) == 1 else [item for item in items if type(item) is tuple]
        return kinds <= {*PLAIN, tuple} and set(map(type, chain.from_iterable(inner))) <= PLAIN
    return kinds <= PLAIN


class Looked:
    """
    Remembers what is in large dicts and lists that hold no tensor.

    To see that the values are still equal takes a fiftieth of the time of looking at each.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, list[list[Any]]]] = {}
        self._walked: dict[int, tuple[Any, list[Any], list[Pair], Any]] = {}

    def keep(self, value: Any, empty: list[Any], full: list[Pair], found: Any) -> None:
        """Remember what a walk has found in a value, until one of these containers holds something else."""
        self._walked[id(value)] = (value, empty, full, found)

    def found_in(self, value: Any) -> Any:
        """Return what a walk has found in a value; None if none has, or would find something else now."""
        known = self._walked.get(id(value))
        if known is None or known[0] is not value or any(known[1]) or next(changed(known[2]), None) is not None:
            return None
        return known[3]

    def holds_no_tensor(self, value: Any) -> bool:
        """Return what the function of that name does."""
        return self.remembers(value) or holds_no_tensor(value)

    def remembers(self, value: Any) -> bool:
        """Return whether a value is a large dict or list without a tensor; from then on it is remembered."""
        if type(value) not in (dict, list) or len(value) <= _FEW:
            return False
        if not self.is_as_it_was(value):
            if not holds_no_tensor(value):
                return False
            self._known.setdefault(id(value), (value, _columns(value)))
        return True

    def is_as_it_was(self, value: Any) -> bool:
        """Return whether a dict or list is known to hold no tensor, and its values are equal to those it had then."""
        known = self._known.get(id(value))
        if known is None or known[0] is not value:
            return False
        try:
            with _NoTensor():
                return known[1] == (_columns(value) if isinstance(value, dict) else [value])
        except _TensorError:
            return False

    def restore(self, value: Any) -> None:
        """Put back what was in a value that is remembered."""
        if not self.is_as_it_was(value):
            first, *values = self._known[id(value)][1]
            refill(value, dict(zip(first, values[0], strict=True)) if values else first)


def _columns(value: dict[Any, Any] | list[Any]) -> list[list[Any]]:
    return [[*value], [*value.values()]] if isinstance(value, dict) else [value.copy()]


class _TensorError(Exception):
    """A tensor was compared: with a number in its place it can be equal."""


class _NoTensor(TorchFunctionMode):
    def __torch_function__(self, *arguments: Any) -> Any:
        raise _TensorError


def _base(container: Any) -> Any:
    # A class derived from it may refuse to be cleared.
    kind = type(container)
    return kind if kind in CONTAINERS else next(kind for kind in CONTAINERS if isinstance(container, kind))
