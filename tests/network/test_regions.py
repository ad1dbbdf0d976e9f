"""Which elements of a tensor are elements of others of its storage: held against what a write to these changes."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from relu_demo.tensors.storage import elements_at, geometry_of

SIZE = 64


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Give shape, strides and offset of a view into 64 elements: strided, overlapping or expanded."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    strides = tuple(draw(st.integers(0, 6)) for _ in shape)
    last = sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    return shape, strides, draw(st.integers(0, SIZE - 1 - last))


@given(views(), st.lists(views(), min_size=1, max_size=3))
def test_the_elements_in_other_views_are_those_that_a_write_there_changes(
    view: tuple[tuple[int, ...], tuple[int, ...], int], others: list[tuple[tuple[int, ...], tuple[int, ...], int]]
) -> None:
    whole = torch.zeros(SIZE)
    tensor, written = whole.as_strided(*view), [whole.as_strided(*other) for other in others]
    for each in written:
        each.fill_(1)
    found = elements_at(geometry_of(tensor), [geometry_of(each) for each in written])
    assert torch.equal(tensor == 1, torch.ones(view[0], dtype=torch.bool) if found is None else found)
