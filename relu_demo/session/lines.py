"""The sessions: the lines that are run, as data. Knows no tensors."""

from __future__ import annotations

from dataclasses import dataclass

from relu_demo.request import Replay


@dataclass(frozen=True)
class Moment:
    """A look at one tensor that the views show. `key` names it in JSON and in the claims, `title` on the screen.

    `grad_fn_1_10` is the name of the tensor's `grad_fn` at that moment in the article, whose PyTorch was 1.10; empty
    where the article does not show it.
    """

    key: str
    title: str
    grad_fn_1_10: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a session: Python source, and a short comment on what it is there for.

    A line with a `moment` is the bare name of a tensor: that tensor, after the line, is what the moment shows. One
    that `raises` may do so, and the session goes on.
    """

    source: str
    comment: str = ""
    moment: Moment | None = None
    raises: bool = False


@dataclass(frozen=True)
class Part:
    """Some lines of a session that belong together, under a title. `key` names the part in JSON and in the claims.

    `reference` says what its moments are held against: where it is the part's own key, its own first moment; where it
    is that of an earlier part, the moments of that with the same keys; where it is empty, nothing.
    """

    key: str
    title: str
    lines: tuple[Line, ...]
    reference: str = ""


MOMENTS, BESIDE, DIFFERENCES = "moments", "beside", "differences"
"""The layouts of a session."""


@dataclass(frozen=True)
class Session:
    """The lines that answer a request, in the order in which they run, all in one namespace.

    `layout` tells the views what the session is about: each part's MOMENTS, its parts BESIDE each other, or the
    DIFFERENCES of each part from another, with a picture of who reads and who writes the tensor named `pictured`.
    """

    request: Replay
    title: str
    parts: tuple[Part, ...]
    layout: str = MOMENTS
    pictured: str = ""
