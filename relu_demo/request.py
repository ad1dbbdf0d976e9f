"""What was asked, as plain data: one request for each kind of scenario, and the command line that asks it again."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NoReturn

from relu_demo.errors import SetupError
from relu_demo.language import _, mark, plural

WHOLE = "session"
"""The scenario that runs where none is asked for."""

LISTED = 1000
"""Up to how many elements a tensor's values are listed where nobody asks for more."""

KERNEL = 3
"""Height and width of conv1's kernel, in elements: the smallest input that it can read."""

MOST_ELEMENTS = 2**63 - 1
"""More elements than this PyTorch cannot count."""

MAX_DEPTH = 16
"""The most blocks that a chain of layers can have."""

Progress = Callable[[int, int], None]
"""Is called with how many parts of some long work are done, and of how many."""

Shape = tuple[int, int, int, int]
"""Batch, channels, height, width (N, C, H, W), in elements."""


@dataclass(frozen=True)
class Replay:
    """Replay the session of a scenario. `device` and `dtype` are PyTorch's own names.

    Raise SetupError for a seed that PyTorch does not take, and for a shape that conv1 cannot read.
    """

    scenario: str
    seed: int
    """What torch.manual_seed was given."""
    shape: Shape = (1, 3, 5, 5)
    """The input's shape."""
    device: str = "cpu"
    dtype: str = "float32"
    article: bool = False
    """Whether conv1's weights are chosen to reproduce the numbers that the article prints, in that shape and dtype."""
    listed: int = LISTED
    """Values are listed of tensors of up to so many elements."""
    evidence: bool = False
    """Whether the screen shows each claim with all of its evidence."""
    part: str = ""
    """The key of the one part that is shown; empty for all."""

    def __post_init__(self) -> None:
        require_seed(self.seed)
        if self.listed < 0:
            raise SetupError("--values", _("{n} values cannot be listed; give 0 or more", n=self.listed))
        channels, *area = image(self.shape)[1:]
        if min(area) < KERNEL:
            small = mark(
                "'{shape}' is smaller than the {kernel} by {kernel} kernel of conv1; give a height and a width of at "
                "least {kernel}, for example 1,3,5,5"
            )
            refuse_shape(self.shape, small, kernel=KERNEL)
        if (channels * KERNEL) ** 2 > MOST_ELEMENTS:
            large = mark("'{shape}' makes a layer of more elements than PyTorch can count; give fewer channels")
            refuse_shape(self.shape, large)


@dataclass(frozen=True)
class Measure:
    """Measure what in place saves, in chains of blocks of layers.

    Raise SetupError, with what to give instead, for a shape or a depth that no chain can have.
    """

    scenario: ClassVar[str] = "memory"
    shape: Shape = (1, 16, 64, 64)
    """The input's shape, which is that of every activation."""
    depth: int = 8
    """How many blocks the chains have."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        batch, _channels, height, width = image(self.shape)
        if batch * height * width == 1:
            why = mark(
                "'{shape}' has one number a channel, and BatchNorm cannot train on one number; give a larger height or "
                "width"
            )
            refuse_shape(self.shape, why)
        if not 1 <= self.depth <= MAX_DEPTH:
            why = mark("{n} blocks cannot be chained; give a number from 1 to {most}")
            raise SetupError("--depth", _(why, n=self.depth, most=MAX_DEPTH))


@dataclass(frozen=True)
class Input:
    """One random input of a checked network: `2,16`, `2,16:0..999`, `ids=2,16:int32:0..999`, `8,3:0.0..1.0`.

    Raise SetupError for sizes that no tensor can have, and for bounds that leave no number between them.
    """

    shape: tuple[int, ...]
    dtype: str = ""
    """Where it is empty, whole numbers as bounds mean int64, and anything else means the dtype of the check."""
    bounds: tuple[float, float] | None = None
    """The lowest and the highest number; None for numbers of a normal distribution, or 0 and 1."""
    name: str = ""
    """The keyword argument that it is; empty where it is given by position."""

    def __post_init__(self) -> None:
        require_sizes(self.shape)
        if self.bounds is not None and not self.bounds[0] <= self.bounds[1]:
            low, high = self.bounds
            why = mark(
                "'{input}' has no number from {low:g} to {high:g}; give the lowest first, for example 2,16:0..999"
            )
            raise SetupError("--shape", _(why, input=self, low=low, high=high))

    def __str__(self) -> str:
        name = f"{self.name}=" if self.name else ""
        between = "" if self.bounds is None else "{}..{}".format(*self.bounds)
        return name + ":".join(filter(None, [sizes(self.shape), self.dtype, between]))


@dataclass(frozen=True)
class Check:
    """Check the network or function that `target` names with random inputs: one for each tensor that it takes.

    Raise SetupError for a seed that PyTorch does not take.
    """

    scenario: ClassVar[str] = "check"
    target: str
    """`file.py:name` or `package.module:name`, with constants in brackets behind it where that is called."""
    inputs: tuple[Input, ...]
    """The random inputs, as they were asked for."""
    seed: int
    """What torch.manual_seed was given."""
    device: str = "cpu"
    dtype: str = "float32"
    train: bool | None = None
    """The network's mode; None to leave it as built."""
    every_call: bool = False
    """Whether the screen lists every call, or folds those that are safe into a count."""

    def __post_init__(self) -> None:
        require_seed(self.seed)


@dataclass(frozen=True)
class Watch:
    """Watch a program."""

    scenario: ClassVar[str] = "watch"
    program: tuple[str, ...]
    """The words of its command line, as they were typed: `("train.py", "--epochs", "1")`."""
    trying: bool = False
    """Whether to run it again with the cures, until nothing is found."""


@dataclass(frozen=True)
class Explain:
    """Replay the page of a fault, on the CPU.

    Raise SetupError for a seed that PyTorch does not take.
    """

    scenario: ClassVar[str] = "explain"
    listed: ClassVar[int] = LISTED
    name: str
    """The fault's, as a finding of `watch` and `check` has it in `rule`."""
    seed: int
    """What torch.manual_seed was given."""
    evidence: bool = False
    """Whether the screen shows each claim with all of its evidence."""

    def __post_init__(self) -> None:
        require_seed(self.seed)


@dataclass(frozen=True)
class Rules:
    """List the pages of all faults."""

    scenario: ClassVar[str] = Explain.scenario


# A new kind of scenario has its request here.
Request = Replay | Measure | Explain | Rules | Check | Watch

WORDS: Mapping[str, Callable[[Any], Sequence[str]]] = {
    "target": lambda target: [target],
    "name": lambda name: [name],
    "trying": lambda trying: ["--try"],
    "program": lambda program: program,
    "seed": lambda seed: ["--seed", str(seed)],
    "shape": lambda shape: ["--shape", sizes(shape)],
    "inputs": lambda inputs: [word for each in inputs for word in ("--shape", str(each))],
    "depth": lambda depth: ["--depth", str(depth)],
    "device": lambda device: ["--device", device],
    "dtype": lambda dtype: ["--dtype", dtype],
    "article": lambda article: ["--article"],
    "part": lambda part: ["--part", part],
    "train": lambda train: ["--train" if train else "--eval"],
}
"""The words for a field of a request that is not at its default, in the order of the command line.

`listed`, `evidence` and `every_call` change no number.
"""


def shell_line(*words: str) -> str:
    """Return a command line of ours, fit for a shell: `relu-demo`, or what a script has left in the environment."""
    import shlex  # --help does without

    return shlex.join([*shlex.split(os.environ.get("RELU_DEMO_STARTED_AS", "relu-demo")), *words])


def page_line(name: str) -> str:
    """Return the command line that explains a fault."""
    return shell_line(Explain.scenario, name)


def command_line(request: Request | None) -> str:
    """Return the command line, fit for a shell, that asks a request again. Empty for None: asked in Python."""
    if request is None:
        return ""
    scenario = f"--{request.scenario}" if isinstance(request, Replay | Measure) else request.scenario
    words = [] if request.scenario == WHOLE else [scenario]
    defaults = {field.name: field.default for field in fields(request)}
    for name, words_of in WORDS.items():
        if name in defaults and (given := getattr(request, name)) != defaults[name]:
            words += words_of(given)
    return shell_line(*words)


def sizes(shape: Iterable[int]) -> str:
    """Return a shape as --shape takes it: `1,3,5,5`."""
    return ",".join(map(str, shape))


def image(shape: Sequence[int]) -> Shape:
    """Return a shape of four sizes N,C,H,W. Raise SetupError for another number of sizes, and for an impossible one."""
    if len(shape) != 4:
        why = plural(
            "'{shape}' has {n} number, but 4 are needed; give N,C,H,W, for example 1,3,5,5",
            "'{shape}' has {n} numbers, but 4 are needed; give N,C,H,W, for example 1,3,5,5",
            len(shape),
            shape=sizes(shape),
        )
        refuse_shape(shape, why)
    require_sizes(shape)
    batch, channels, height, width = shape
    return batch, channels, height, width


def require_sizes(shape: Sequence[int]) -> None:
    """Raise SetupError for a shape with a size below 1, and for one of more elements than PyTorch can count."""
    if min(shape) < 1:
        why = mark("'{shape}' has {size} in it, and every size is at least 1; give for example 1,3,5,5")
        refuse_shape(shape, why, size=min(shape))
    if math.prod(shape) > MOST_ELEMENTS:
        refuse_shape(shape, mark("'{shape}' has more elements than PyTorch can count; give a smaller shape"))


def refuse_shape(shape: Sequence[int], why: str, **fields: object) -> NoReturn:
    """Raise SetupError for a shape, which has its place in the words on why, beside other fields."""
    raise SetupError("--shape", _(why, shape=sizes(shape), **fields))


def require_seed(seed: int) -> None:
    """Raise SetupError for a number that `torch.manual_seed` does not take."""
    lowest, highest = -(2**63), 2**64 - 1  # PyTorch documentation, `torch.manual_seed`
    if not lowest <= seed <= highest:
        why = mark("{seed} is out of PyTorch's range; give a number from {lowest} to {highest}")
        raise SetupError("--seed", _(why, seed=seed, lowest=lowest, highest=highest))


def drawn_seed() -> int:
    """Return a seed for a request without one."""
    import random  # --help does without

    return random.randrange(10_000)  # short enough to be typed again
