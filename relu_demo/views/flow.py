"""The picture of branches: who reads which version of a tensor, and who overwrites it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from relu_demo.replay.trace import Step, TracedPart
from relu_demo.views.parts import CHANGED


@dataclass(frozen=True)
class Assignment:
    """A line of the form `result = operation(argument)`, or `result = operation(argument.method())`."""

    result: str
    operation: str
    argument: str


def flow(part: TracedPart, name: str, ascii_only: bool) -> Text | None:
    """Draw what a part's lines do with the tensor of that name, from the line that makes it on. None if none does."""
    dash, head, bar = ("-", ">", ":") if ascii_only else ("─", "▶", "┊")
    lines = list(branches(part, name, dash, head, bar))
    return Text("\n").join(lines) if lines else None


def branches(part: TracedPart, name: str, dash: str, head: str, bar: str) -> Iterator[Text]:
    """Yield the lines of the picture."""
    version: int | None = None
    indent, writer = "", ""
    for step, line in assignments(part):
        if line.result == name:
            version = step.tensors[name].version
            start = f"{line.argument} {dash * 2} {line.operation} {dash * 2}{head} "
            indent = " " * len(start)
            yield Text(f"{start}{name}, version {version}")
        elif version is not None and line.argument == name:
            after = step.tensors[name].version
            note = saved_note(step, line.result, name) if after == version else ""
            if writer:
                note = f"  wrong: this is what {writer} left"
            branch = f"{indent}{dash * 2} {line.operation} {dash * 2}{head} {line.result}{note}"
            yield Text(branch, style=CHANGED if writer else "")
            if after != version:
                version, writer = after, line.operation
                yield Text(f"{indent}{bar}  {writer} overwrites {name}", style=CHANGED)
                yield Text(f"{indent}{name}, version {version}", style=CHANGED)
    if any("modified by an inplace operation" in error for error in part.errors):
        yield Text(f"{indent}{bar}  backward() finds version {version} and raises", style=CHANGED)


def assignments(part: TracedPart) -> Iterator[tuple[Step, Assignment]]:
    """Yield each step whose line is an Assignment."""
    for step in part.lines:
        match ast.parse(step.line.source).body:
            case [ast.Assign([ast.Name(result)], ast.Call(ast.Name(operation), [read]))]:
                match read:
                    case ast.Name(argument):
                        yield step, Assignment(result, operation, argument)
                    case ast.Call(ast.Attribute(ast.Name(argument), method), []):
                        yield step, Assignment(result, f"{method} & {operation}", argument)


def saved_note(step: Step, result: str, name: str) -> str:
    """Return a note if the result's node saved that tensor for backward, else ""."""
    node = step.tensors[result].grad_fn
    version = next((saved.version for saved in node.saved_tensors if saved.name == name), None) if node else None
    return "" if version is None or result == name else f"  keeps {name}, version {version}, for backward()"
