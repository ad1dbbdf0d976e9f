"""The claims: each sentence is registered on the predicate that tests it.

    @claim(1, mark("In place, h1 and o1 are one object with one storage."), needs=("in_place",))
    def one_object(half: TracedPart) -> Answer: ...

As `torch.utils.flop_counter` registers a formula on its operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from relu_demo.claims.report import JudgedClaim, Verdict

Answer = tuple[bool | None, str]
"""Whether a claim holds, or None if this input cannot show it, and the evidence."""

Predicate = TypeVar("Predicate", bound=Callable[..., Answer])


@dataclass(frozen=True)
class Claim:
    """A sentence, the keys of what has to be observed for it, and the predicate that takes those observations.

    One on a fault is of the `page` of that name; the parts of all pages have the same keys.
    """

    number: int
    says: str
    needs: tuple[str, ...]
    predicate: Callable[..., Answer]
    page: str = ""


CLAIMS: dict[int, Claim] = {}
"""Every registered claim by its number. 1 to 9 are the article's, in our words; the others are our own."""


def claim(number: int, says: str, needs: tuple[str, ...], page: str = "") -> Callable[[Predicate], Predicate]:
    """Register a predicate as the test of a claim.

    The predicate takes one argument for each key in `needs`: the part of a session, or the measured situation, of that
    key. It returns an Answer: None in place of True or False if the claim is not refuted, but this input cannot show
    it either.
    """

    def register(predicate: Predicate) -> Predicate:
        CLAIMS[number] = Claim(number, says, needs, predicate, page)
        return predicate

    return register


def findings(observed: Mapping[str, Any], hint: str = "", page: str = "") -> Iterator[JudgedClaim]:
    """Test each claim of a page, or of none, whose needs are all in `observed`, by number.

    `hint` says what to do if one is unshown.
    """
    for _, each in sorted(CLAIMS.items()):
        if each.page == page and observed.keys() >= set(each.needs):
            holds, evidence = each.predicate(*(observed[key] for key in each.needs))
            if holds is None:
                yield JudgedClaim(each.number, each.says, Verdict.UNSHOWN, evidence, hint)
            else:
                yield JudgedClaim(each.number, each.says, Verdict.HOLDS if holds else Verdict.FAILS, evidence)
