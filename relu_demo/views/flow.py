"""The picture of branches: who reads which version of a tensor, and who writes over it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from relu_demo.replay.trace import Step, TracedPart
from relu_demo.views.parts import CHANGED


@dataclass(frozen=True)
class Call:
    """A line of the form `result = operation(argument)`, or `result = operation(argument.method())`."""

    result: str
    operation: str
    argument: str


def flow(part: TracedPart, name: str, ascii_only: bool) -> Text | None:
    """What a part's lines do with the tensor of that name, drawn from the line that makes it on. None if none does."""
    dash, head, bar = ("-", ">", ":") if ascii_only else ("─", "▶", "┊")
    drawn = list(draw(part, name, dash, head, bar))
    return Text("\n").join(drawn) if drawn else None


def draw(part: TracedPart, name: str, dash: str, head: str, bar: str) -> Iterator[Text]:
    """The lines of the picture."""
    made: int | None = None
    indent, writer = "", ""
    for step, call in calls(part):
        if call.result == name:
            made = step.tensors[name].version
            start = f"{call.argument} {dash * 2} {call.operation} {dash * 2}{head} "
            indent = " " * len(start)
            yield Text(f"{start}{name}, version {made}")
        elif made is not None and call.argument == name:
            after = step.tensors[name].version
            note = keeps(step, call.result, name) if after == made else ""
            if writer:
                note = f"  wrong: this is what {writer} left"
            branch = f"{indent}{dash * 2} {call.operation} {dash * 2}{head} {call.result}{note}"
            yield Text(branch, style=CHANGED if writer else "")
            if after != made:
                made, writer = after, call.operation
                yield Text(f"{indent}{bar}  {writer} writes over {name}", style=CHANGED)
                yield Text(f"{indent}{name}, version {made}", style=CHANGED)
    if any("modified by an inplace operation" in error for error in part.errors):
        yield Text(f"{indent}{bar}  backward() finds version {made} and raises", style=CHANGED)


def calls(part: TracedPart) -> Iterator[tuple[Step, Call]]:
    """The steps that assign what an operation makes of a tensor."""
    for step in part.steps:
        match ast.parse(step.line.source).body:
            case [ast.Assign([ast.Name(result)], ast.Call(ast.Name(operation), [ast.Name(argument)]))]:
                yield step, Call(result, operation, argument)
            case [
                ast.Assign(
                    [ast.Name(result)],
                    ast.Call(ast.Name(operation), [ast.Call(ast.Attribute(ast.Name(argument), method), [])]),
                )
            ]:
                yield step, Call(result, f"{method} & {operation}", argument)


def keeps(step: Step, result: str, name: str) -> str:
    """A note where the node of the result keeps that tensor for backward."""
    node = step.tensors[result].grad_fn
    version = dict(node.saved).get(name) if node else None
    return "" if version is None or result == name else f"  keeps {name}, version {version}, for backward()"
