"""What a session is made of: lines, moments and parts, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from relu_demo.request import Explain, Replay


@dataclass(frozen=True)
class Moment:
    """A moment at which one tensor is shown."""

    key: str
    """Names it in JSON and in the claims."""
    title: str
    """Names it on the screen."""
    grad_fn_1_10: str = ""
    """The name of its `grad_fn` in the article, whose PyTorch was 1.10; empty where the article does not show it."""


@dataclass(frozen=True)
class Line:
    """One line of a session."""

    source: str
    """The Python that runs."""
    comment: str = ""
    """What it is for."""
    moment: Moment | None = None
    """Shows a tensor after the line, whose source is the tensor's name."""
    raises: bool = False
    """Whether it may raise; the session goes on."""
    step: str = ""
    """What the lines in a row with these words do, which are one step of the stepping."""
    prepares: bool = False
    """Whether it belongs to the step of the next line. One with a moment belongs to that of the line before."""

    @property
    def only_looks(self) -> bool:
        """Whether the line does nothing but print: a tensor with a moment, or an id."""
        return self.moment is not None or self.source.startswith("id(")


@dataclass(frozen=True)
class Part:
    """Lines of a session that belong together, under a title. `key` names the part in JSON and in the claims.

    `reference` is the key of the part that its moments are compared with: an earlier part's moments of the same keys,
    or, if it is the part's own key, its own first moment. Empty if they are not compared. A `cure` makes right again
    what another part gets wrong.
    """

    key: str
    title: str
    lines: tuple[Line, ...]
    reference: str = ""
    cure: bool = False


ANSWER, MOMENTS, BESIDE, DIFFERENCES, EXPLAINED = "answer", "moments", "beside", "differences", "explained"
"""The layouts of a session."""


@dataclass(frozen=True)
class Session:
    """The parts that answer a request, whose lines run in order in one namespace.

    `layout` tells the views what to show: the ANSWER alone, the MOMENTS of each part, the parts BESIDE each other, or
    the DIFFERENCES of each part from its reference, or a fault EXPLAINED. `helpers` are the names of tensors that only
    serve to make others. `alone` is the key of the one part that is shown, or empty. `documentation` is a page of
    PyTorch's own, or empty.
    """

    request: Replay | Explain
    title: str
    parts: tuple[Part, ...]
    layout: str = MOMENTS
    helpers: tuple[str, ...] = ()
    alone: str = ""
    documentation: str = ""

    @property
    def lines(self) -> list[Line]:
        """All lines in order."""
        return [line for part in self.parts for line in part.lines]

    @property
    def steps(self) -> list[tuple[Line, ...]]:
        """The lines in order, those of one step together; what runs before the part that is shown alone is one step."""
        before = [] if not self.alone else [line for part in self.parts[:-1] for line in part.lines]
        steps = [tuple(before)] if before else []
        for line in self.lines[len(before) :]:
            last = steps[-1][-1] if steps else Line("")
            joins = bool(steps) and (last.prepares or line.moment or (line.step and line.step == last.step))
            steps[-1:] = [(*steps[-1], line)] if joins else [*steps[-1:], (line,)]
        return steps
