"""What a user sees when the network is not there, or is not one."""

from __future__ import annotations

import copy
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from relu_demo.api import check
from relu_demo.errors import BadInput, NetworkError
from relu_demo.network.target import load

SOURCE = """
import torch
from torch import nn
from neighbour import WIDTH

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(WIDTH, WIDTH)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.fc(x))

class Sized(nn.Module):
    def __init__(self, width, *, depth):
        super().__init__()

def build():
    return Net()

def broken():
    raise OSError("no weights\\nsecond line")

class Holder:
    inner = Net()

made = Net()
number = 3
not_one = lambda: "text"

def parsed():
    import json
    return json.loads("{")
"""

TRAINS = """
import torch
y = torch.ones(3, requires_grad=True).exp()
y.add_(1)
y.sum().backward()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "my_net.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "neighbour.py").write_text("WIDTH = 4\n", encoding="utf-8")
    (tmp_path / "bad_syntax.py").write_text("x = 1\ndef f(:\n", encoding="utf-8")
    (tmp_path / "bad_import.py").write_text("import not_there_at_all\n", encoding="utf-8")
    (tmp_path / "trains.py").write_text(TRAINS, encoding="utf-8")
    (tmp_path / "quits.py").write_text("import sys\nsys.exit(3)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name in ("my_net", "neighbour", "bad_import"):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["Net", "build", "made", "Holder.inner"])
@pytest.mark.parametrize("source", ["my_net.py", "my_net"])
def test_class_function_or_module_in_a_file_or_a_package(folder: Path, source: str, name: str) -> None:
    network = load(f"{source}:{name}")
    assert type(network).__name__ == "Net"
    assert check(network, torch.randn(2, 4)).ok


def test_the_report_names_the_users_file(folder: Path) -> None:
    report = check(load("my_net.py:Net"), torch.randn(2, 4))
    place = report.calls[0].place
    assert Path(str(place.file)).name == "my_net.py"
    assert place.line == 13


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("my_nett:Net", "there is no module 'my_nett'; did you mean my_net?"),
        ("torchvisions:Net", "the package 'torchvisions' is not installed in this Python; install it, or give file.py"),
        ("my_net.py:net", "my_net.py has no 'net'; did you mean Net"),
        ("my_net.py:Holder.iner", "my_net.py has no 'Holder.iner'; did you mean inner?"),
        ("my_net.py:Sized", "Sized cannot be called without arguments (missing a required argument: 'width')"),
        ("my_net.py:number", "number is not an nn.Module or something that builds one; it is 3"),
        ("my_net.py:not_one", "calling not_one in my_net.py returned a str, not an nn.Module"),
    ],
)
def test_one_clear_line(folder: Path, target: str, message: str) -> None:
    with pytest.raises(BadInput) as raised:
        load(target)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert not isinstance(raised.value, NetworkError)


@pytest.mark.parametrize(
    ("target", "message", "line"),
    [
        ("my_net.py:broken", "building broken() raised OSError: no weights", "my_net.py:23)"),
        ("bad_syntax.py:Net", "importing bad_syntax.py raised SyntaxError: ", "bad_syntax.py:2)"),
        (
            "bad_import.py:Net",
            "importing bad_import.py raised ModuleNotFoundError: No module named",
            "bad_import.py:1)",
        ),
        ("bad_import:Net", "importing bad_import raised ModuleNotFoundError: No module named", "bad_import.py:1)"),
        ("quits.py:Net", "importing quits.py raised SystemExit: 3", "quits.py:2)"),
        ("my_net.py:parsed", "building parsed() raised JSONDecodeError: ", "my_net.py:34)"),
        ("trains.py:Net", "importing trains.py raised RuntimeError: ", "; relu-demo watch trains.py names both lines"),
        ("trains:Net", "importing trains raised RuntimeError: ", "; relu-demo watch FILE names both lines"),
    ],
)
def test_the_users_own_error_is_marked_as_theirs(folder: Path, target: str, message: str, line: str) -> None:
    with pytest.raises(NetworkError) as raised:
        load(target)
    assert str(raised.value).startswith(message)
    assert str(raised.value).endswith(line)
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is not None
    assert "Traceback" in "".join(traceback.format_exception(raised.value.__cause__))


def test_a_shape_that_the_network_does_not_take(folder: Path) -> None:
    with pytest.raises(NetworkError) as raised:
        check(load("my_net.py:Net"), torch.randn(2, 5))
    assert str(raised.value).startswith("the network's forward raised RuntimeError: ")
    assert "my_net.py:13)" in str(raised.value)


class Copies(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x).detach()
        y = self.act(h) + copy.copy(h)
        both: Tensor = y + copy.deepcopy(h)  # by way of Python's own code
        return both


def test_pythons_own_library_is_not_the_users_code() -> None:
    (call,) = check(Copies(), torch.randn(2, 4)).calls
    assert {reader.file for reader in call.readers} == {__file__}


def test_what_is_no_network_or_has_no_shape_yet_is_told_so() -> None:
    with pytest.raises(BadInput, match=r"^3 is not an nn\.Module; give a module, not an int$"):
        check(3)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="run it once"):
        check(nn.LazyLinear(4), torch.randn(2, 4))


def test_a_shape_in_the_place_of_a_tensor_is_said_to_be_one() -> None:
    with pytest.raises(BadInput) as raised:
        check(nn.Conv2d(3, 3, 3), (1, 3, 8, 8))
    assert str(raised.value) == "(1, 3, 8, 8) is a shape; give a tensor, torch.randn(1, 3, 8, 8)"
    with pytest.raises(BadInput, match=r"^\(2, 4\) is a shape; give a tensor, torch.randn\(2, 4\)$"):
        check(nn.Linear(4, 4), input=torch.Size([2, 4]))
    assert check(lambda x, size: torch.relu_(x.reshape(size) * 2), torch.randn(4, requires_grad=True), (2, 2)).ok
