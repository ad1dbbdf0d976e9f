"""What --check was asked, and its answer: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        import shlex  # --help does without

        words = ["relu-demo", "--check", self.target, "--seed", str(self.seed)]
        for shape in self.shapes:
            words += ["--shape", ",".join(map(str, shape))]
        if self.device != Asked.device:
            words += ["--device", self.device]
        if self.dtype != Asked.dtype:
            words += ["--dtype", self.dtype]
        if self.train is not None:
            words.append("--train" if self.train else "--eval")
        return shlex.join(words)


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
