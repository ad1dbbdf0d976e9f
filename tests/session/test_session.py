"""The session, replayed: what runs, what is seen of it, and what the article's claims come to."""

from __future__ import annotations

from typing import Any

import torch
from support.commands import Demo

ARTICLE_LINES = ["o1 = conv1(input)", "id(o1)", "o1", "h1 = rl{}(o1)", "id(h1)", "o1", "h1"]


def sources(document: Any, part: str) -> list[str]:
    return [line["source"] for line in document["parts"][part]["lines"]]


def test_the_whole_session_runs_the_articles_lines_in_the_articles_order(demo: Demo) -> None:
    document = demo("--json", "--seed", "7").document
    assert list(document["parts"]) == ["preparation", "in_place", "out_of_place"]
    assert sources(document, "preparation") == [
        "import torch",
        "import torch.nn as nn",
        "torch.manual_seed(7)",
        "conv1 = nn.Conv2d(3, 3, kernel_size=3)",
        "rl1 = nn.ReLU(inplace=True)",
        "rl2 = nn.ReLU()",
        "input = torch.randn(1, 3, 5, 5)",
    ]
    assert sources(document, "in_place") == [line.format(1) for line in ARTICLE_LINES]
    assert sources(document, "out_of_place") == [line.format(2) for line in ARTICLE_LINES]


def test_the_lines_on_the_screen_give_the_values_on_the_screen_when_typed_again(demo: Demo) -> None:
    document = demo("--json", "--seed", "11").document
    namespace: dict[str, Any] = {}
    for part in document["parts"].values():
        for line in part["lines"]:
            exec(line["source"], namespace)
            for name, state in line["changed_tensors"].items():
                tensor = eval(name, namespace)
                assert state["values"] == tensor.tolist()
                assert state["shape"] == list(tensor.shape)
                assert state["version"] == tensor._version
                assert state["requires_grad"] == tensor.requires_grad
                name_of_node = type(tensor.grad_fn).__name__ if tensor.grad_fn else None
                assert (state["grad_fn"] and state["grad_fn"]["name"]) == name_of_node


def test_both_halves_begin_with_the_same_numbers(demo: Demo) -> None:
    parts = demo("--compare", "--json").document["parts"]
    first, second = (parts[half]["moments"]["o1_before"] for half in ("in_place", "out_of_place"))
    assert first["values"] == second["values"]
    assert first["data_ptr"] != second["data_ptr"]  # both are alive, so that an address says something


def test_the_names_that_pytorch_1_10_gave_are_told_beside_todays(demo: Demo) -> None:
    looks = demo("--compare", "--json").document["parts"]["in_place"]["moments"]
    assert [look["grad_fn_1_10"] for look in looks.values()] == ["ThnnConv2DBackward", "ReluBackward1", "ReluBackward1"]


def test_the_shape_device_and_dtype_are_in_the_lines(demo: Demo) -> None:
    document = demo("--json", "--shape", "2,4,6,7", "--dtype", "float64", "--seed", "1").document
    assert sources(document, "preparation")[3] == "conv1 = nn.Conv2d(4, 4, kernel_size=3, dtype=torch.float64)"
    assert sources(document, "preparation")[-1] == "input = torch.randn(2, 4, 6, 7, dtype=torch.float64)"
    look = document["parts"]["in_place"]["moments"]["o1_before"]
    assert (look["shape"], look["dtype"], look["device"]) == ([2, 4, 4, 5], "float64", "cpu")
    numbers = torch.tensor(look["values"], dtype=torch.float64)
    assert (look["summary"]["min"], look["summary"]["max"]) == (numbers.min(), numbers.max())
