"""What --check was asked, and its answer: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relu_demo.request import command_line, other_than_default

if TYPE_CHECKING:
    from relu_demo.network.report import Report


@dataclass(frozen=True)
class Asked:
    """The network as `file.py:name` or `package.module:name`, and what it is run on.

    One shape for each tensor that it takes; `train` None leaves its mode as built.
    """

    target: str
    shapes: tuple[tuple[int, ...], ...]
    seed: int
    device: str = "cpu"
    dtype: str = "float32"
    train: bool | None = None

    @property
    def command(self) -> str:
        """The command line that checks the same again."""
        options = {"seed": self.seed, "shape": list(self.shapes), **other_than_default(self, ("device", "dtype"))}
        mode = {"train": self.train, "eval": self.train is False}
        return command_line(["--check", self.target], options | mode)


@dataclass(frozen=True)
class Answer:
    """The report on the network, with the question and PyTorch's version."""

    asked: Asked
    torch_version: str
    report: Report

    @property
    def command(self) -> str:
        """The command line that checks the same again."""
        return self.asked.command

    @property
    def ok(self) -> bool:
        """Whether all is safe."""
        return self.report.ok
