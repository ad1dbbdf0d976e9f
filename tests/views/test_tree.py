"""The autograd graph as a tree: o1's history is rewritten in place, and is not otherwise."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from support.commands import Demo

from relu_demo.replay.trace import Node
from relu_demo.views.tree import ASCII, DRAWN_ABOVE, MOST_LINES, UNICODE, Graph, tree


def rows(screen: str) -> list[str]:
    """The rows of the first table that tell of grad_fn."""
    lines = screen.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("grad_fn"))
    return lines[first : next(n for n, line in enumerate(lines) if line.startswith("article") and n > first)]


def test_in_place_o1s_own_history_is_rewritten(demo: Demo) -> None:
    assert rows(demo("--inplace", "--seed", "7").out) == [
        "grad_fn ConvolutionBackward0    *ReluBackward0",
        "        ├ conv1.weight           └ ConvolutionBackward0",
        "        └ conv1.bias               ├ conv1.weight",
        "                                   └ conv1.bias",
    ]


def test_not_in_place_it_is_not(demo: Demo) -> None:
    assert rows(demo("--no-inplace", "--seed", "7").out) == [
        "grad_fn ConvolutionBackward0     ConvolutionBackward0     ReluBackward0",
        "        ├ conv1.weight           ├ conv1.weight           └ ConvolutionBackward0",
        "        └ conv1.bias             └ conv1.bias               ├ conv1.weight",
        "                                                            └ conv1.bias",
    ]


def test_a_narrow_character_set_gets_ascii(process: Demo) -> None:
    shown = rows(process("--inplace", "--seed", "7", PYTHONIOENCODING="ascii").out)
    assert shown[1].split() == ["|-conv1.weight", "`-ConvolutionBackward0"]


@pytest.mark.parametrize("columns", ["40", "80", "250"])
def test_every_node_is_there_at_any_width(demo: Demo, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out = demo("--compare", "--seed", "7").out
    assert max(map(len, out.splitlines())) <= int(columns)
    # Of o1 before, and after in place and not: h1 has no column.
    assert len(re.findall("[├] conv1.weight", out)) == len(re.findall("[└] conv1.bias", out)) >= 3
    assert len(re.findall("└ ConvolutionBackward0", out)) >= 1


def names(graph: Any) -> list[str]:
    """The names of a graph of the JSON document, as the tree tells them."""
    behind = [name for node in graph["next_functions"] for name in names(node)]
    return [graph["variable"] or graph["name"], *behind]


def test_the_tree_and_the_document_tell_the_same(demo: Demo) -> None:
    looks = demo("--inplace", "--json", "--seed", "7").document["parts"]["in_place"]["moments"]
    shown = rows(demo("--inplace", "--seed", "7").out)
    words = [word for row in shown for word in re.findall(r"[\w.]+", row)][1:]
    shown_looks = (looks["o1_before"], looks["o1_after"])  # h1 is o1 itself
    assert sorted(words) == sorted(name for look in shown_looks for name in names(look["grad_fn"]))
    before, after = looks["o1_before"]["grad_fn"], looks["o1_after"]["grad_fn"]
    assert after["next_functions"] == [before]  # the node itself, not its like


def nodes(depth: int) -> st.SearchStrategy[Node]:
    """Any graph, up to a depth, in which a node can be reached by several ways."""
    name, id = st.sampled_from(["MulBackward0", "AddBackward0"]), st.integers(1, 12)
    behind = st.lists(nodes(depth - 1), max_size=3).map(tuple) if depth else st.just(())
    return st.builds(Node, name, id, behind, st.sampled_from(["", "w", "conv1.bias"]))


@given(nodes(4))
def test_any_graph_is_drawn_in_few_lines_with_its_true_width(node: Node) -> None:
    lines = tree(node, UNICODE)
    assert [name for _, name in lines] == [name for _, name in tree(node, ASCII)]
    assert len(lines) <= MOST_LINES + 1
    assert lines[0] == ("", node.variable or node.name)
    assert all(re.fullmatch("(?:[│ ] )*[├└] ", branches) for branches, name in lines[1:] if name != "...")
    seen = {one.variable or one.name for one in node.walk()}
    assert {name.removesuffix(DRAWN_ABOVE) for _, name in lines} <= seen | {"..."}
    console = Console(width=200)
    width = console.measure(Graph(node)).maximum
    drawn = ["".join(s.text for s in line).rstrip() for line in console.render_lines(Graph(node), pad=False)]
    assert max(map(cell_len, drawn)) == width


def test_a_node_that_two_lead_to_is_drawn_once() -> None:
    leaf = Node("AccumulateGrad", 3, variable="w")
    shared = Node("MulBackward0", 2, (leaf,))
    lines = tree(Node("AddBackward0", 1, (shared, shared)), UNICODE)
    assert ["".join(line) for line in lines] == [
        "AddBackward0",
        "├ MulBackward0",
        "│ └ w",
        "└ MulBackward0 (above)",
    ]


def test_a_large_network_is_cut() -> None:
    node = Node("Last", 0)
    for number in range(500):
        node = Node("MulBackward0", number + 1, (node,))
    lines = tree(node, UNICODE)
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == ("", "...")


def test_a_tensor_without_a_graph_says_so() -> None:
    assert tree(None, UNICODE) == [("", "None")]
