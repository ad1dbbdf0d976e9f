"""Which elements of a tensor lie in a region of its storage: held against what a write to the region changes."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relu_demo.tensors.storage import Region, elements_in, region_of

SIZE = 64


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Give shape, strides and offset of a view into 64 elements: strided, overlapping or expanded."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    strides = tuple(draw(st.integers(0, 6)) for _ in shape)
    last = sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    return shape, strides, draw(st.integers(0, SIZE - 1 - last))


@given(views(), st.lists(views(), max_size=3), st.sampled_from([torch.int8, torch.float32]))
def test_the_elements_in_any_regions_are_those_that_a_write_there_changes(
    view: tuple[tuple[int, ...], tuple[int, ...], int],
    others: list[tuple[tuple[int, ...], tuple[int, ...], int]],
    dtype: torch.dtype,
) -> None:
    whole = torch.zeros(SIZE, dtype=dtype)
    tensor = whole.as_strided(*view)
    regions: list[Region] = []
    for shape, strides, offset in others:
        other: Tensor = whole.as_strided(shape, strides, offset)
        region = region_of(other)
        assert region is not None
        regions.append(region)
        numbers = torch.arange(SIZE).as_strided(shape, strides, offset)
        whole[numbers.reshape(-1)] = 1
    assert torch.equal(elements_in(tensor, regions), tensor == 1)
