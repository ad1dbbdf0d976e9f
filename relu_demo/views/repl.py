"""The transcript: the session as the Python REPL shows it on a terminal, else ready for doctest."""

from __future__ import annotations

import re
from codeop import compile_command
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from relu_demo.claims.report import SessionReport, Verdict
from relu_demo.replay.trace import Step, Trace
from relu_demo.views.tables import write

ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
"""An address as Python's `repr` prints it."""

NUMBER = re.compile(r"\d+")


def write_transcript(report: SessionReport, out: TextIO) -> None:
    """Write the transcript. Long lines are not wrapped."""
    write(Transcript(report), out, wrap=False)


@dataclass(frozen=True)
class Transcript:
    """A report's lines behind their prompts with what they printed, byte for byte; an empty line between parts.

    Off a terminal it is ready for doctest, in the notation of doctest's documentation: an empty line of output is
    <BLANKLINE>, an address is 0x..., and a line that prints an id is skipped.
    """

    report: SessionReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        trace = self.report.trace
        changing = ids(trace)
        parts = [
            "\n".join(as_typed(step) if options.is_terminal else for_doctest(step, changing) for step in part.lines)
            for part in trace.parts.values()
        ]
        yield Text("\n\n".join(parts))
        for finding in self.report.claims:
            if finding.verdict is Verdict.FAILS:
                yield Text(f"\n# {finding.verdict.value}: {finding.says} {finding.evidence}", style="bold")


def as_typed(step: Step) -> str:
    """Return a step as the REPL shows it."""
    typing = [prompt + line for prompt, line in zip(prompts(), typed(step), strict=False)]
    return "\n".join([*typing, *step.output.splitlines()])


def for_doctest(step: Step, changing: frozenset[str]) -> str:
    """Return a step as doctest accepts it in another process, where ids and addresses differ."""
    directive, output = "", step.output
    if not changing.isdisjoint(NUMBER.findall(output)):
        directive = "  # doctest: +SKIP"
    elif ADDRESS.search(output):
        directive = "  # doctest: +ELLIPSIS"
        output = ADDRESS.sub("0x...", output)
    typing = [prompt + line for prompt, line in zip(prompts(), typed(step, directive), strict=False)]
    return "\n".join([*typing, *(line or "<BLANKLINE>" for line in output.splitlines())])


def prompts() -> Iterator[str]:
    """Return what the REPL writes before a statement's first line, and before each that follows."""
    return chain([">>> "], repeat("... "))


def typed(step: Step, directive: str = "") -> list[str]:
    """Return the lines of a step's source as one types them, with its comment and a directive behind the last.

    A compound statement ends with an empty line, for which the REPL waits.
    """
    comment = f"  # {step.line.comment}" if step.line.comment else ""
    source = step.line.source + comment + directive
    return [*source.split("\n"), ""] if compile_command(source) is None else source.split("\n")


def ids(trace: Trace) -> frozenset[str]:
    """Return every number in the trace that is an id or an address, and so differs in another process."""
    states = [state for step in trace.lines for state in step.tensors.values()]
    nodes = [node for state in states if state.grad_fn for node in state.grad_fn.walk()]
    numbers = {state.id for state in states} | {state.data_ptr for state in states} | {node.id for node in nodes}
    return frozenset(map(str, numbers - {0}))  # 0 is the address of an empty storage, in every process
