"""The transcript: the session as the Python REPL shows it, highlighted on a terminal, ready for doctest elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from pygments.token import Comment, Keyword, Number, String  # type: ignore[import-untyped]  # comes with rich
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.text import Text

from relu_demo.report import Report, Verdict
from relu_demo.trace import Step, Trace
from relu_demo.views.screen import show as write

ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
"""An address as Python's `repr` shows it."""

COLOURS = ANSISyntaxTheme(
    {
        Comment: Style(dim=True, italic=True),
        Keyword: Style(color="magenta"),
        Number: Style(color="cyan"),
        String: Style(color="green"),
    }
)
"""How source is highlighted: by colours of the terminal's own that dark and light backgrounds both can bear."""

NUMBER = re.compile(r"\d+")


def show(report: Report, out: TextIO) -> None:
    """Writes the transcript. Its lines are as long as they are."""
    write(screen(report), out, wrap=False)


def screen(report: Report) -> RenderableType:
    """The whole transcript of a report."""
    return Transcript(report)


@dataclass(frozen=True)
class Transcript:
    """A report's lines behind their prompts with what they printed, byte for byte; each part below an empty line.

    Where it is not shown on a terminal it is ready for doctest, in the notations of doctest's own documentation: an
    empty line of output is <BLANKLINE>, an address is 0x..., and a line that prints an id is not run again.
    """

    report: Report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        trace = self.report.trace
        changing = ids(trace)
        parts = [
            [highlighted(step) if options.is_terminal else Text(for_doctest(step, changing)) for step in part.steps]
            for part in trace.parts
        ]
        yield Text("\n\n").join(Text("\n").join(part) for part in parts)
        for finding in self.report.findings:
            if finding.verdict is Verdict.FAILS:
                yield Text(f"\n# {finding.verdict.value}: {finding.says} {finding.evidence}", style="bold")


def highlighted(step: Step) -> Text:
    """A step as on the screen of the REPL, its source in colours."""
    source = Syntax("", "python", theme=COLOURS).highlight(typed(step))
    source.rstrip()
    lines = [Text.assemble((prompt, "bold"), line) for prompt, line in zip(prompts(), source.split("\n"), strict=False)]
    return Text("\n").join([*lines, *map(Text, step.output.splitlines())])


def for_doctest(step: Step, changing: frozenset[str]) -> str:
    """A step as doctest accepts it from another process, whose ids and addresses are others."""
    source, output = typed(step), step.output
    if not changing.isdisjoint(NUMBER.findall(output)):
        source += "  # doctest: +SKIP"
    elif ADDRESS.search(output):
        source += "  # doctest: +ELLIPSIS"
        output = ADDRESS.sub("0x...", output)
    lines = [prompt + line for prompt, line in zip(prompts(), source.split("\n"), strict=False)]
    return "\n".join([*lines, *(line or "<BLANKLINE>" for line in output.splitlines())])


def prompts() -> Iterator[str]:
    """What the REPL writes before a statement's first line, and before each that follows."""
    yield ">>> "
    while True:
        yield "... "


def typed(step: Step) -> str:
    """A step's source with its comment behind it."""
    return f"{step.line.source}  # {step.line.comment}" if step.line.comment else step.line.source


def ids(trace: Trace) -> frozenset[str]:
    """Every number in the trace that is an id or an address, and so another one in another process."""
    states = [state for part in trace.parts for step in part.steps for state in step.tensors.values()]
    nodes = [node for state in states if state.grad_fn for node in state.grad_fn.walk()]
    numbers = {state.id for state in states} | {state.data_ptr for state in states} | {node.id for node in nodes}
    return frozenset(map(str, numbers - {0}))  # 0 is the address of an empty storage, in every process
