"""The sessions: the lines that are run, as data. Knows no tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relu_demo.article import solving
from relu_demo.command import command_line, other_than_default


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


@dataclass(frozen=True)
class Setup:
    """What a session runs on: seed, shape of the input (N, C, H, W), device and dtype, as PyTorch names them.

    With `article` conv1 is solved for the numbers that the article prints, which have the default shape and dtype.
    """

    seed: int
    shape: tuple[int, int, int, int] = (1, 3, 5, 5)
    device: str = "cpu"
    dtype: str = "float32"
    article: bool = False

    @property
    def placement(self) -> str:
        """The arguments, after others, that make a tensor or a layer on this device with this dtype."""
        device = f', device="{self.device}"' if self.device != Setup.device else ""
        dtype = f", dtype=torch.{self.dtype}" if self.dtype != Setup.dtype else ""
        return device + dtype


MOMENTS, BESIDE, DIFFERENCES = "moments", "beside", "differences"
"""The layouts of a session."""


@dataclass(frozen=True)
class Session:
    """The lines of one scenario, in the order in which they run, all in one namespace.

    `layout` tells the views what the session is about: each part's MOMENTS, its parts BESIDE each other, or the
    DIFFERENCES of each part from another, with a picture of who reads and who writes the tensor named `pictured`.
    """

    scenario: str
    title: str
    setup: Setup
    parts: tuple[Part, ...]
    layout: str = MOMENTS
    pictured: str = ""

    @property
    def command(self) -> str:
        """The command line that replays this session with the same numbers."""
        scenario = [] if self.scenario == WHOLE else [f"--{self.scenario}"]
        others = other_than_default(self.setup, ("shape", "device", "dtype", "article"))
        return command_line(scenario, {"seed": self.setup.seed, **others})


LISTED = 1000
"""Up to how many elements a tensor's values are listed where nobody asks for more."""

KERNEL = 3
"""Height and width of conv1's kernel, in elements: the smallest input that it can read."""


def preparation(setup: Setup) -> Part:
    """The lines that both halves share: seed, layers and input. Defaults are left out, as one would in a REPL."""
    channels, placement = setup.shape[1], setup.placement
    shape = ", ".join(map(str, setup.shape))
    return Part(
        "preparation",
        "Preparation",
        (
            Line("import torch"),
            Line("import torch.nn as nn"),
            Line(f"torch.manual_seed({setup.seed})", "with this seed, these numbers"),
            Line(f"conv1 = nn.Conv2d({channels}, {channels}, kernel_size={KERNEL}{placement})"),
            Line("rl1 = nn.ReLU(inplace=True)", "will write over what it is given"),
            Line("rl2 = nn.ReLU()", "will leave what it is given alone"),
            Line(f"input = torch.randn({shape}{placement})"),
            *(Line(*line) for line in solving(setup.device, placement) if setup.article),
        ),
    )


IN_PLACE = Part(
    "in_place",
    "In place",
    (
        Line("o1 = conv1(input)"),
        Line("id(o1)"),
        Line("o1", "before", Moment("o1_before", "o1 before", "ThnnConv2DBackward")),
        Line("h1 = rl1(o1)", "in place"),
        Line("id(h1)", "the id of o1?"),
        Line("o1", "the same name: the same numbers?", Moment("o1_after", "o1 after", "ReluBackward1")),
        Line("h1", "", Moment("h1", "h1", "ReluBackward1")),
    ),
    reference="in_place",
)

OUT_OF_PLACE = Part(
    "out_of_place",
    "Not in place",
    (
        Line("o1 = conv1(input)", "the same layer, the same input"),
        Line("id(o1)"),
        Line("o1", "before", Moment("o1_before", "o1 before", "ThnnConv2DBackward")),
        Line("h1 = rl2(o1)", "not in place"),
        Line("id(h1)", "the id of o1?"),
        Line("o1", "the same numbers?", Moment("o1_after", "o1 after", "ThnnConv2DBackward")),
        Line("h1", "", Moment("h1", "h1", "ReluBackward0")),
    ),
    reference="out_of_place",
)

WHOLE = "session"
"""The scenario that runs where none is asked for."""

ARTICLE: Mapping[str, tuple[str, tuple[Part, ...]]] = {
    WHOLE: ("The whole session", (IN_PLACE, OUT_OF_PLACE)),
    "inplace": ("The in-place half", (IN_PLACE,)),
    "no-inplace": ("The half that is not in place", (OUT_OF_PLACE,)),
    "compare": ("In place and not, side by side", (IN_PLACE, OUT_OF_PLACE)),
}
"""The scenarios that replay the article's session, by name: a title, and the halves that run after the preparation."""


def article(scenario: str, setup: Setup) -> Session:
    """The article's session as `scenario`, a key of ARTICLE, wants it. Raises KeyError for any other scenario."""
    title, halves = ARTICLE[scenario]
    layout = BESIDE if scenario == "compare" else MOMENTS
    return Session(scenario, title, setup, (preparation(setup), *halves), layout)
