"""
The lists, deques and dictionaries that keep a tensor while it is overwritten, and the expression that reads it later.

An item may be the tensor itself, or a tuple or a dictionary with it.

    keepers = keepers_of(tensor, meant=False)        # just before the write
    found = kept_read(tensor, keepers)               # at a later read: what is read, and the keeper

Of a tensor with a graph each value matters, so that a keeper that is read as a whole, or at the place where it had the
tensor, is read for the old value. Other tensors, and those that a write is meant to fill (`copy_`, `x[i] = y`), are
often kept to be seen changing: there only a keeper that has one tensor twice, as after two appends, counts.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

from torch import Tensor, nn

from relu_demo.sanitizer.frames import user_frames
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import assigned, expression_at, operands, parsed, statements_at, text_of, value_of
from relu_demo.tensors.graph import is_leaf

LONGEST = 256
"""Items of a list or a dictionary that is looked through for a tensor."""

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class Keeper:
    """A list or a dictionary that had a tensor when it was overwritten."""

    container: int
    """Its `id`."""
    slots: frozenset[object]
    """The indices or the keys at which it had the tensor."""
    old_value_meant: bool
    """Whether one such slot is enough to tell that the old value was meant."""
    name: str
    """The variable or the attribute that it is, in a function of this code."""
    code: CodeType

    @property
    def filled_at(self) -> Place | None:
        """Return the line that fills it, `states.append(state)` or `last[i] = state`; None if none does."""
        tree = parsed(self.code.co_filename)
        found = list(_filling(tree, self.name)) if tree is not None else []
        # Of two that have the name, the one in the same function, or behind its beginning.
        found.sort(key=lambda pair: (pair[1] < self.code.co_firstlineno, pair[1]))
        return Place(found[0][0], "", self.code.co_filename, found[0][1]) if found else None


def keepers_of(tensor: Tensor, meant: bool) -> tuple[Keeper, ...]:
    """
    Return what keeps a tensor that is about to be overwritten, but what the write itself goes through.

    `meant`: whether the function that writes is called for nothing but that.
    """
    found: dict[int, Keeper] = {}
    through: set[int] = set()
    for user in user_frames():
        for name, container in _containers(user.frame.f_locals):
            slots = _slots(container, tensor)
            if not slots:
                continue
            if name in _leading_to(user.frame.f_code.co_filename, user.frame.f_lineno):
                through.add(id(container))
            meant_old = tensor.requires_grad and not is_leaf(tensor) and not meant
            found[id(container)] = Keeper(id(container), slots, meant_old, name, user.frame.f_code)
    return tuple(keeper for at, keeper in found.items() if at not in through)


def kept_read(tensor: Tensor, keepers: tuple[Keeper, ...]) -> tuple[str, str, int, Keeper] | None:
    """Return what is read for the tensor at this moment, as it is written, with file, line and keeper; None if none."""
    frame = next((user.frame for user in user_frames()), None)
    node = expression_at(frame.f_code, frame.f_lasti) if frame is not None and keepers else None
    if frame is None or node is None:
        return None
    known = {keeper.container: keeper for keeper in keepers}
    for part in operands(node):
        for container, slots in _reads(part, tensor, frame):
            keeper = known.get(id(container))
            now = _slots(container, tensor)
            if keeper is None or not keeper.slots & now & (now if slots is None else slots):
                continue
            if keeper.old_value_meant or len(now) > 1:
                # Of `[state for state, _ in buffer]` what is read is the buffer.
                read = keeper.name if isinstance(part, (ast.ListComp, ast.GeneratorExp)) else text_of(part)
                return read, frame.f_code.co_filename, frame.f_lineno, keeper
    return None


_FILLING = ("append", "appendleft", "insert", "extend", "setdefault", "put")
"""Methods that put something into a container."""


def _filling(tree: ast.Module, name: str) -> Iterator[tuple[str, int]]:
    """Yield the operation and the line of each statement that puts something into a container of that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING:
            if _last_name(node.func.value) == name:
                yield node.func.attr, node.lineno
        elif isinstance(node, ast.Assign):
            into = [target.value for target in node.targets if isinstance(target, ast.Subscript)]
            yield from (("__setitem__", node.lineno) for value in into if _last_name(value) == name)


def _last_name(node: ast.expr) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


Container = list[Any] | deque[Any] | dict[Any, Any]
Read = tuple[Container, frozenset[object] | None]
"""A container, and where it is read: None for the whole of it."""


def _containers(variables: Mapping[str, object]) -> Iterator[tuple[str, Container]]:
    """Yield the lists and dictionaries that variables, and attributes of modules and of `self`, are: name and value."""
    for name, value in variables.items():
        if name.startswith("__"):
            continue
        if isinstance(value, (list, deque, dict)):
            yield name, value
        elif name == "self" or isinstance(value, nn.Module):
            for attribute, held in getattr(value, "__dict__", {}).items():
                if isinstance(held, (list, deque, dict)) and attribute not in _OF_EVERY_MODULE:
                    yield attribute, held


def _slots(container: Container, tensor: Tensor) -> frozenset[object]:
    """Return the indices or keys at which a container has the tensor itself."""
    if len(container) > LONGEST:
        return frozenset()
    items = container.items() if isinstance(container, dict) else enumerate(container)
    return frozenset(slot for slot, value in items if value is tensor or _is_in(value, tensor))


def _is_in(value: object, tensor: Tensor) -> bool:
    """Whether an item is a tuple or a dictionary with the tensor: `(state, reward)`."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return any(part is tensor for part in parts)


def _reads(part: ast.expr, tensor: Tensor, frame: FrameType) -> Iterator[Read]:
    """Yield the containers that an operand reads."""
    whole = _container(part, frame)
    if whole is not None:
        yield whole, None
    elif isinstance(part, ast.Subscript):
        container, index = _container(part.value, frame), _index(part.slice, frame)
        if isinstance(container, (list, deque)) and isinstance(index, int):
            index %= max(len(container), 1)
        if container is not None and isinstance(index, (int, str)):
            yield container, frozenset((index,))
    elif isinstance(part, (ast.ListComp, ast.GeneratorExp)):
        for each in part.generators:
            yield from () if each.ifs else ((container, None) for container in _all_in(each.iter, frame))
    elif isinstance(part, ast.Name) and frame.f_locals.get(part.id) is tensor:
        yield from ((container, None) for container in _iterated(part.id, frame))


def _iterated(name: str, frame: FrameType) -> Iterator[Container]:
    """Yield the containers whose items a variable is in turn, if it is all of them: no condition picks some."""
    yield from _behind(frame.f_locals.get(".0"))  # what a generator expression goes through, in a frame of its own
    around = statements_at(frame.f_code.co_filename, frame.f_lineno)
    for i, statement in enumerate(around):
        if isinstance(statement, (ast.For, ast.AsyncFor)) and name in _names_in(statement.target):
            picks = any(isinstance(inner, ast.If) for inner in around[i:])
            yield from () if picks else _all_in(statement.iter, frame)
    for part in ast.walk(around[-1]) if around else ():
        if isinstance(part, ast.comprehension) and name in _names_in(part.target) and not part.ifs:
            yield from _all_in(part.iter, frame)


def _all_in(node: ast.expr, frame: FrameType) -> Iterator[Container]:
    """Yield the containers in `features`, `zip(features, targets)`, `enumerate(features)`, `features.values()`."""
    container = _container(node, frame)
    if container is not None:
        yield container
    elif isinstance(node, ast.Call):
        for argument in node.args:
            yield from _all_in(argument, frame)


def _behind(iterator: object) -> Iterator[Container]:
    """Yield the lists that an iterator of Python's own goes through, alone or zipped."""
    if type(iterator) in (type(iter([])), zip, enumerate):
        for part in iterator.__reduce__()[1]:
            if isinstance(part, list):
                yield part
            else:
                yield from _behind(part)


def _container(node: ast.expr, frame: FrameType) -> Container | None:
    """Return the list or dictionary that an expression is, without running anything; None if it is none."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("list", "tuple", "reversed"):
        return _container(node.args[0], frame) if len(node.args) == 1 else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("values", "items"):
        return _container(node.func.value, frame)
    value = value_of(node, frame)
    return value if isinstance(value, (list, deque, dict)) else None


def _index(node: ast.expr, frame: FrameType) -> object:
    """Return a constant index or key, or that of a variable."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return value_of(node, frame)


@lru_cache(maxsize=1024)
def _leading_to(file: str, line: int) -> frozenset[str]:
    """
    Return the names that a statement is about: its own, and those that have given it its variables.

    Of `for x in xs: x += 1` and of `x = xs[0]` before `x += 1` that is `xs`, too.
    """
    around = statements_at(file, line)
    loops = (s.iter for s in around[:-1] if isinstance(s, (ast.For, ast.AsyncFor)))
    names = {name for node in (*around[-1:], *loops) for name in _names_in(node)}
    for value in (value for name in tuple(names) for value in assigned(name, file, line)):
        names |= {name for part in ast.walk(value) if isinstance(part, ast.Subscript) for name in _names_in(part)}
    return frozenset(names)


def _names_in(node: ast.AST) -> set[str]:
    """Return the variables and the attributes that a statement or an expression names."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return names | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
