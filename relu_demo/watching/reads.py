"""
The silent fault of a forward: a variable is read again after a write in place to what it holds.

PyTorch cannot know which value was meant, and often it is the new one (`x = relu(x)`, `x.mul_(2)` as a statement). A
read counts as a fault where the source tells: the result of the write was used under another name, or went on as a part
of an expression, and then the old name is read, not assigned anew. For what a list or a dictionary keeps see `kept`.
And the values must really be others.
"""

from __future__ import annotations

import ast
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FrameType

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from relu_demo.sanitizer.frames import user_frames
from relu_demo.sanitizer.observer import Here
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import MEANT, expression_at, operands, statement_at, statements_at
from relu_demo.tensors.storage import Region, is_gone, key_of, overlap, region_of, weak_ref
from relu_demo.watching.kept import Keeper, keepers_of, kept_read

MOST = 64
"""Writes whose later reads are looked for at a time; the oldest is dropped first."""


@dataclass(frozen=True)
class Held:
    """A variable of a frame that held the tensor when it was overwritten."""

    name: str
    tensor: weakref.ref[Tensor]
    line: int
    """The line at which the frame stood."""


@dataclass(frozen=True)
class Overwrite:
    """A write in place to a tensor that a variable, a list or a dictionary still holds."""

    place: Place
    storage: StorageWeakRef
    region: Region | None
    written: weakref.ref[Tensor]
    before: Tensor
    held: dict[CodeType, tuple[Held, ...]]
    keepers: tuple[Keeper, ...]


@dataclass(frozen=True)
class Reread:
    """A read of what holds it."""

    overwrite: Overwrite
    tensor: Tensor
    name: str
    file: str
    line: int
    keeper: Keeper | None = None
    """The list or dictionary that it is read from; None for a variable."""


class Reads:
    """Remembers writes after which an old name may be read, and finds that read."""

    def __init__(self) -> None:
        self._of: dict[int, list[Overwrite]] = {}

    @property
    def pending(self) -> bool:
        """Whether any write is remembered."""
        return bool(self._of)

    def wrote(self, tensor: Tensor, here: Here, place: Place) -> None:
        """Remember a write that is about to happen, if something will hold the tensor on."""
        if here.stand.outputs is not None or here.stand.optimizer:
            return
        name = getattr(here.function, "__name__", "")
        meant = name in MEANT
        held = {} if meant and name != "__setitem__" else dict(_holders(tensor, meant))
        keepers = keepers_of(tensor, meant or _is_statement())
        key = key_of(tensor)
        if not (held or keepers) or key is None:
            return
        if sum(map(len, self._of.values())) >= MOST:
            self._of.pop(next(iter(self._of)))
        overwrite = Overwrite(
            place, weak_ref(tensor), region_of(tensor), weakref.ref(tensor), tensor.detach().clone(), held, keepers
        )
        self._of.setdefault(key, []).append(overwrite)

    def read(self, tensor: Tensor) -> Reread | None:
        """Return the fault if an old name is being read; None otherwise."""
        key = key_of(tensor)
        known = self._of.get(key) if key is not None else None
        if not known or key is None:
            return None
        if is_gone(known[0].storage):
            del self._of[key]
            return None
        region = region_of(tensor)
        for overwrite in list(known):
            if not overlap(region, overwrite.region):
                continue
            found = _reread(overwrite, tensor)
            if found is not None:
                known[:] = [other for other in known if other.place != overwrite.place]
                if not known:
                    del self._of[key]
                return found
        return None


def _is_statement() -> bool:
    """Whether the user's running line is a statement for the write alone: `x.mul_(2)`."""
    frame = next((user.frame for user in user_frames()), None)
    if frame is None:
        return False
    running = expression_at(frame.f_code, frame.f_lasti)
    return isinstance(statement_at(frame.f_code.co_filename, frame.f_lineno, running), ast.Expr)


def _holders(tensor: Tensor, meant_here: bool) -> Iterator[tuple[CodeType, tuple[Held, ...]]]:
    """
    Yield the variables that hold the tensor, by frame, where the write is not meant to change them.

    `meant_here`: where it is written, `x[mask] = 0`, it is; who has called that function, `noisy = drop(x)`, has `x`.
    """
    innermost = True
    for user in user_frames():
        frame = user.frame
        running = expression_at(frame.f_code, frame.f_lasti)
        statement = statement_at(frame.f_code.co_filename, frame.f_lineno, running)
        meant = isinstance(statement, ast.Expr) and (innermost or not user.called_module)
        meant = meant or statement is None or isinstance(statement, ast.AugAssign) or (meant_here and innermost)
        innermost = False
        if meant:
            continue
        whole = [one for one in (tensor, tensor._base if meant_here else None) if one is not None]
        held = {name: value for name, value in frame.f_locals.items() if any(value is one for one in whole)}
        if held:
            line = frame.f_lineno
            yield frame.f_code, tuple(Held(name, weakref.ref(value), line) for name, value in held.items())


def _reread(overwrite: Overwrite, tensor: Tensor) -> Reread | None:
    for user in user_frames():
        frame = user.frame
        for held in overwrite.held.get(frame.f_code, ()):
            value = frame.f_locals.get(held.name)
            if isinstance(value, Tensor) and value is held.tensor() and _reads(frame, held):
                return Reread(overwrite, value, held.name, frame.f_code.co_filename, frame.f_lineno)
    kept = kept_read(tensor, overwrite.keepers)
    return None if kept is None else Reread(overwrite, tensor, *kept)


def _reads(frame: FrameType, held: Held) -> bool:
    """Whether the frame's running expression reads the variable, and nothing has assigned it since."""
    file = frame.f_code.co_filename
    node = expression_at(frame.f_code, frame.f_lasti)
    if node is None or held.name not in _named(node) or frame.f_lineno < held.line:
        return False
    then, now = statement_at(file, held.line), statement_at(file, frame.f_lineno)
    if then is None or now is None or then is now:
        # In the statement of the write itself only a larger expression reads the old name: x + relu(x).
        return then is not None and not isinstance(node, ast.Call)
    scope = next((s for s in reversed(statements_at(file, held.line)) if isinstance(s, ast.FunctionDef)), None)
    within = ast.walk(scope) if scope is not None else iter(())
    return not any(
        then.lineno <= part.lineno < now.lineno and part.id == held.name
        for part in within
        if isinstance(part, ast.Name) and isinstance(part.ctx, (ast.Store, ast.Del))
    )


def _named(node: ast.AST) -> set[str]:
    """Return the variables that an expression itself reads, not one inside it: `x` of `x + f(y)` and of `g(x)`."""
    return {part.id for part in operands(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
