"""The conclusion, last on a screen: what became of the tensor in plain words, and how many claims hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from relu_demo.claims.report import Finding, Verdict
from relu_demo.replay.trace import TracedPart
from relu_demo.views.claims import VERDICTS


def conclusion(parts: Sequence[TracedPart], findings: Sequence[Finding]) -> Text:
    """Return a sentence for each part with two looks or more, then how many of the claims hold."""
    sentences = [Text(sentence(part)) for part in parts if len(part.looks) > 1]
    return Text(" ").join([*sentences, *count(findings)])


def sentence(part: TracedPart) -> str:
    """Say what became of the tensor of a part's first look, and whether its last look is at another."""
    looks = tuple(part.looks.values())
    first, second, last = looks[0].state, looks[1], looks[-1].state
    name, elements = first.name, first.values.elements
    if second.changed:
        became = "became 0" if second.changed == second.zeroed else "changed"
        fate = f"{second.changed:,} of {name}'s {elements:,} numbers {became}"
    elif second.state.version == first.version:
        fate = f"{name} is unchanged"
    else:
        fate = f"{name} was overwritten with the same numbers"
    if last.name == name:
        return f"{part.title}, {fate}."
    if last.id == second.state.id:
        return f"{part.title}, {fate}, and {last.name} is {name} itself."
    shares = last.data_ptr == second.state.data_ptr
    return f"{part.title}, {fate}, and {last.name} is a {'view of it' if shares else 'new tensor'}."


def count(findings: Sequence[Finding]) -> Iterator[Text]:
    """Yield how many claims hold, how many do not, and what to try where this input cannot show one."""
    if not findings:
        return
    by_verdict = {verdict: [one for one in findings if one.verdict is verdict] for verdict in Verdict}
    holding, failing, unshown = (by_verdict[verdict] for verdict in (Verdict.HOLDS, Verdict.FAILS, Verdict.UNSHOWN))
    words = f"{len(holding)} of {len(findings)} claims hold{'s' if len(findings) == 1 else ''}."
    yield Text(words, style="bold" if failing or unshown else f"bold {VERDICTS[Verdict.HOLDS]}")
    if failing:
        yield Text(f"{len(failing)} {'does' if len(failing) == 1 else 'do'} not hold.", style=VERDICTS[Verdict.FAILS])
    if unshown:
        yield Text(f"This input cannot show {len(unshown)}: {unshown[0].advice}.", style=VERDICTS[Verdict.UNSHOWN])
