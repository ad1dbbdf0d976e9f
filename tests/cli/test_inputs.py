"""What `check` takes: whole numbers, ranges and names in --shape, functions, and factories with constants."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path

import jsonschema
import pytest
import torch
from support.commands import Demo, held, schema

from relu_demo.api import check
from relu_demo.errors import BadInput, SetupError
from relu_demo.request import Input

SOURCE = """
import torch
import torch.nn.functional as F
from torch import nn

TABLE = nn.Embedding(5, 4)
NET = nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True))

def loss(x, y):
    z = NET(x)
    z.mul_(2)
    return F.mse_loss(z, y)

def add(x):
    y = x + 1
    y += x
    return y

class Embed(nn.Module):
    def __init__(self, rows=5):
        super().__init__()
        self.rows = nn.Embedding(rows, 4)

    def forward(self, ids, *, mask=None):
        assert ids.dtype in (torch.int64, torch.int32), ids.dtype
        print("from", int(ids.min()), "to", int(ids.max()))
        y = torch.sigmoid(self.rows(ids))
        y += 1
        return y if mask is None else y * mask.unsqueeze(-1)

class Masked(nn.Module):
    def forward(self, x, *, mask):
        assert mask.dtype == torch.bool
        return torch.relu_(x * mask)

class Images(nn.Module):
    def forward(self, x):
        assert float(x.min()) >= 0.0 and float(x.max()) <= 1.0 and len(x.unique()) > 9
        return x + 1

def build(depth, width=3):
    return nn.Sequential(*(nn.Sequential(nn.Linear(width, width), nn.ReLU(True)) for _ in range(depth)))

def make_loss(scale=1.0):
    def scaled(x):
        return (x.sigmoid().mul_(scale)).sum()
    return scaled

class Gate(nn.Module):
    def forward(self, x):
        y = torch.sigmoid(x)
        return F.relu(y, inplace=True)

class Dice(nn.Module):
    def forward(self, logits, target):
        p = torch.sigmoid(logits)
        p[target < 0] = 0
        return 1 - (p * target).sum()

class Built(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.weight += 1

    def forward(self, x):
        return x * self.weight

class BuiltByAFunction(Built):
    def __init__(self):
        super(Built, self).__init__()
        F.relu(nn.Parameter(torch.zeros(3)), inplace=True)
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "given.py"
    path.write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("given", "low", "high"), [("400:0..4", 0, 4), ("400:int32:2..3", 2, 3), ("400:int64", 0, 1)])
def test_whole_numbers_reach_from_the_first_to_the_last(demo: Demo, file: str, given: str, low: int, high: int) -> None:
    result = demo("check", f"{file}:Embed", "--shape", given, "--seed", "1", "--json")
    assert result.code == 1
    assert f"from {low} to {high}\n" in result.err
    jsonschema.validate(result.document, schema(), jsonschema.Draft202012Validator)
    assert [each["shape"] for each in result.document["request"]["inputs"]] == [[400]]
    assert f"--shape {given}" in result.document["command"]


def test_an_input_by_its_name(demo: Demo, file: str) -> None:
    result = demo("check", f"{file}:Masked", "--shape", "2,8", "--shape", "mask=2,8:bool", "--json")
    assert result.code == 0
    first, second = result.document["request"]["inputs"]
    assert first == {"name": "", "shape": [2, 8], "dtype": "", "bounds": None}
    assert second == {"name": "mask", "shape": [2, 8], "dtype": "bool", "bounds": None}


def test_fractions_between_two_numbers(demo: Demo, file: str) -> None:
    assert demo("check", f"{file}:Images", "--shape", "2,3,8,8:0.0..1.0").code == 0
    assert demo("check", f"{file}:Images", "--shape", "2,3,8,8:float32:0..1").code == 0


def test_a_function_with_the_networks_that_it_uses(demo: Demo, file: str) -> None:
    result = demo("check", f"{file}:loss", "--shape", "2,8", "--shape", "2,8", "--json")
    assert result.code == 1
    assert result.document["network"] == "loss"
    assert [call["place"]["module"] for call in result.document["calls"]] == ["NET.1"]
    (write,) = result.document["harmful_writes"]
    assert (write["place"]["line"], write["kind"]) == (11, "breaks-backward")
    assert [place["line"] for place in write["savers"]] == [10]


@pytest.mark.parametrize(("name", "inputs", "line"), [("Gate", 1, 52), ("Dice", 2, 57)])
def test_a_module_without_parameters_gets_inputs_that_require_grad(
    demo: Demo, file: str, name: str, inputs: int, line: int
) -> None:
    document = demo("check", f"{file}:{name}", *["--shape", "2,8"] * inputs, "--json").document
    found = [call["place"]["line"] for call in document["calls"]] + [
        at["place"]["line"] for at in document["harmful_writes"]
    ]
    assert found == [line]
    assert document["as_written"]["backward"] is False


class Normed(torch.nn.BatchNorm1d):
    def loss(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.sigmoid(self(x))
        y *= 2
        return y.sum()


@pytest.mark.parametrize("as_method", [False, True])
def test_a_function_in_python_and_its_state_as_before(as_method: bool) -> None:
    state = Normed(4)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return state.loss(x)

    report = check(state.loss if as_method else loss, torch.randn(3, 4))
    (call,) = report.calls
    assert [effect.kind for effect in call.effects] == ["breaks-backward"]
    assert call.cure
    assert "+        y = y * 2\n" in (call.cure.diff or "")
    assert state.running_mean is not None
    assert state.running_mean.tolist() == [0.0] * 4
    assert state.num_batches_tracked == 0


def test_a_class_is_no_function() -> None:
    with pytest.raises(BadInput, match=r"is not an nn\.Module; give a module"):
        check(torch.nn.Linear, torch.randn(3, 4))


@pytest.mark.parametrize("name", ["build(depth=3, width=8)", "build(3,8)"])
def test_a_factory_with_constants(demo: Demo, file: str, name: str) -> None:
    result = demo("check", f"{file}:{name}", "--shape", "2,8", "--json")
    assert result.code == 0
    assert len(result.document["calls"]) == 3
    assert result.document["request"]["target"] == f"{file}:{name}"


def test_a_factory_of_a_function(demo: Demo, file: str) -> None:
    result = demo("check", f"{file}:make_loss(scale=2.0)", "--shape", "2,8", "--json")
    (call,) = result.document["calls"]
    assert [effect["kind"] for effect in call["effects"]] == ["breaks-backward"]


@pytest.mark.parametrize(("name", "line", "written"), [("Built", 64, "+="), ("BuiltByAFunction", 72, "write")])
def test_a_write_that_is_refused_while_the_network_is_built_is_an_answer(
    demo: Demo, file: str, name: str, line: int, written: str
) -> None:
    target = f"{file}:{name}"
    result = demo("check", target, "--shape", "2,3")
    assert (result.code, result.err) == (1, "")
    assert "PyTorch raises while the network is built" in result.out
    assert "Building it raises: a leaf Variable that requires grad" in result.out
    document = demo("check", target, "--shape", "2,3", "--json").document
    jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
    (write,) = document["harmful_writes"]
    assert (write["kind"], write["place"]["line"], write["place"]["operation"]) == ("refused", line, written)


@pytest.mark.slow
def test_its_cure_is_tried_too(process: Demo, file: str) -> None:
    (write,) = process("check", f"{file}:Built", "--shape", "2,3", "--json").document["harmful_writes"]
    assert (write["cure"]["says"], write["cure"]["works"]) == ("edit it under torch.no_grad()", True)


BAD = {
    "add --shape 2,8:0..": "'2,8:0..' has no range behind its colon; give for example 2,16:0..999",
    "add --shape 2,8:5..4": "'2,8:5..4' has no number from 5 to 4; give the lowest first",
    "add --shape 2,8:int63": "unknown dtype 'int63' in '2,8:int63'; give for example int64, bool",
    "Embed --shape 2,8:0..4 --shape nask=2,8:bool": "unexpected keyword argument 'nask': the network takes ids",
    "Embed --shape 2:0..4 --shape ids=2:0..4": "multiple values for argument 'ids': the network takes ids and mask",
    "Masked --shape 2,8": "the network takes x and mask; give one --shape for each",
    "TABLE --shape 99:0..5": "with 99:0..5 the network's forward raised IndexError: index out of range in self",
    "add": "a function to be checked needs a --shape for each input",
    "build(print(1)) --shape 2": "has more than constants in its brackets",
    "build(*[1]) --shape 2": "has more than constants in its brackets",
    "'build(3, hight=2)' --shape 2": "build cannot be called so (got an",
    "build(3 --shape 2": "names no network; give file.py:name or package.module:name",
}


@pytest.mark.parametrize(("line", "words"), BAD.items(), ids=BAD)
def test_bad_input_is_one_line(demo: Demo, file: str, line: str, words: str) -> None:
    result = demo("check", *shlex.split(f"{file}:{line} --seed 1"))
    held(result.code, result.out, result.err)
    assert words in result.err


def test_an_input_is_written_as_it_was_given() -> None:
    assert str(Input((2, 16), "int32", (0, 999), "ids")) == "ids=2,16:int32:0..999"
    assert str(Input((8, 3), bounds=(0.0, 1.5))) == "8,3:0.0..1.5"
    with pytest.raises(SetupError, match="has 0 in it"):
        Input((2, 0))
