"""A real notebook: its cells run in a kernel, and their outputs are looked at."""

from __future__ import annotations

from typing import Any

import nbclient
import nbformat
import pytest

from relu_demo import __version__

pytestmark = pytest.mark.slow  # a kernel of its own

TAB = """
import relu_demo, sys
from IPython.core.completer import provisionalcompleter
with provisionalcompleter():
    print(*sorted(each.text for each in get_ipython().Completer.completions("relu_demo.", 10) if each.text[0] != "_"))
print("torch" in sys.modules)
"""

CELLS = {
    "tab": TAB,
    "show": "import relu_demo\nrelu_demo.show('compare', seed=7)",
    "print": "print(relu_demo.show('inplace', seed=7))",
    "assigned": "report = relu_demo.show('memory', shape=(1, 2, 8, 8), depth=2)",
    "repr": "print(repr(report))",
    "check": (
        "import torch\n"
        "net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(inplace=True))\n"
        "relu_demo.check(net, torch.randn(2, 4))"
    ),
    "watch": ("with relu_demo.watch() as w:\n    torch.ones(2, requires_grad=True).exp().sum().backward()\nw"),
    "run": "%run -m relu_demo -- --version",
    "run compare": "%run -m relu_demo -- --compare --seed 7",
    "run wrong": "%run -m relu_demo -- --nope",
    "alive": "1 + 1",
}


@pytest.fixture(scope="module")
def outputs() -> dict[str, list[Any]]:
    """The outputs of each of CELLS, all run in one kernel, one after the other."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    cells[list(CELLS).index("run wrong")].metadata.tags = ["raises-exception"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    return {name: relevant(cell.outputs) for name, cell in zip(CELLS, notebook.cells, strict=True)}


def relevant(outputs: list[Any]) -> list[Any]:
    """Without what PyTorch itself says where NumPy is missing."""
    return [output for output in outputs if "NumPy" not in output.get("text", "")]


def test_tab_offers_what_there_is_and_waits_for_nothing(outputs: dict[str, list[Any]]) -> None:
    assert (
        "".join(output.text for output in outputs["tab"])
        == "InplaceError SilentInplaceWarning check show watch\nFalse\n"
    )


@pytest.mark.parametrize("cell", ["show", "check", "watch"])
def test_a_report_at_the_end_of_a_cell_is_displayed_once(outputs: dict[str, list[Any]], cell: str) -> None:
    (output,) = outputs[cell]
    assert output.output_type == "execute_result"
    style = output.data["text/html"].partition(">")[0]
    assert style.startswith("<pre")
    assert "background-color:#" in style, "the colours are for this ground, whatever the page's"
    assert output.data["text/plain"].startswith("<")
    assert "\n" not in output.data["text/plain"]


def test_print_prints_the_screen_and_adds_no_empty_output(outputs: dict[str, list[Any]]) -> None:
    (output,) = outputs["print"]
    assert (output.output_type, output.name) == ("stream", "stdout")
    assert "relu-demo --inplace --seed 7" in output.text


def test_a_report_that_is_kept_displays_nothing_and_its_repr_is_one_line(outputs: dict[str, list[Any]]) -> None:
    assert outputs["assigned"] == []
    (output,) = outputs["repr"]
    assert output.text.count("\n") == 1
    assert output.text.startswith("<relu-demo --memory --shape 1,2,8,8 --depth 2: in place saved memory in ")


def test_the_command_runs_in_a_cell_and_the_kernel_lives_on(outputs: dict[str, list[Any]]) -> None:
    assert f"relu-demo {__version__}, PyTorch " in outputs["run"][0].text
    assert "relu-demo --compare --seed 7" in outputs["run compare"][0].text
    said = "".join(output.get("text", "") for output in outputs["run wrong"])
    assert "relu-demo: there is no option" in said
    assert ("SystemExit", "2") in [(output.get("ename"), output.get("evalue")) for output in outputs["run wrong"]]
    assert [output.data["text/plain"] for output in outputs["alive"]] == ["2"]
