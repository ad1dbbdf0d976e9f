"""Where a tensor lies in its storage: held against what a write to other views of it changes."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relu_demo.tensors.storage import elements_at, geometry_of, is_strided, overlaps_itself

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
    own = torch.arange(SIZE).as_strided(*view)
    assert overlaps_itself(tensor) or len({*own.flatten().tolist()}) == own.numel()


def test_a_tensor_overlaps_itself_only_where_it_is_expanded_or_its_rows_are_laid_over_each_other() -> None:
    whole = torch.zeros(4, 6)
    assert not any(map(overlaps_itself, (whole, whole.T, whole[::2, 1:4], whole[0], whole[:, :1], whole[:0])))
    assert all(map(overlaps_itself, (whole[:1].expand(2, 6), whole.as_strided((3, 2), (1, 1)))))


def test_strided_is_a_plain_tensor_over_a_storage() -> None:
    class Own(Tensor):
        pass

    whole = torch.zeros(2, 3)
    assert all(map(is_strided, (whole, whole.T, torch.nn.Parameter(whole))))
    others = (whole.to_sparse(), torch.quantize_per_tensor(whole, 0.1, 0, torch.qint8), whole.as_subclass(Own))
    assert not any(map(is_strided, others))
    assert [geometry_of(each) for each in others] == [None] * 3
