"""`relu_demo.show` and what is at hand beside it, as a user of Python meets them."""

from __future__ import annotations

import subprocess
from typing import Any

import jsonschema
import pytest
import torch
from support.commands import Demo, schema, without_addresses
from support.processes import COLD, command_environment
from support.tiers import slow_but

import relu_demo
from relu_demo.errors import BadInput

SCENARIOS = ["session", "inplace", "no-inplace", "compare", "branches"]


@pytest.mark.parametrize("scenario", slow_but(1, SCENARIOS))
def test_a_report_shows_itself_as_the_command_does(demo: Demo, scenario: str) -> None:
    report = relu_demo.show(scenario, seed=7)
    options = [] if scenario == "session" else [f"--{scenario}"]
    command = " ".join(["relu-demo", *options, "--seed 7"])
    assert report.ok
    assert without_addresses(f"{report}\n") == without_addresses(demo(*options, "--seed", "7").out)
    assert repr(report) == f"<{demo(*options, '--seed', '7', '-q').out.strip()}>"
    assert repr(report).startswith(f"<{command}: all ")
    assert command in report._repr_html_()
    document = report.to_dict()
    jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
    assert document["command"] == command


def test_memory_is_a_scenario_too() -> None:
    report = relu_demo.show("memory", shape=(1, 2, 8, 8), depth=2)
    jsonschema.validate(report.to_dict(), schema(), jsonschema.Draft202012Validator)
    assert report.to_dict()["request"]["depth"] == 2
    assert "1,2,8,8" in str(report)
    assert repr(report).startswith("<relu-demo --memory --shape 1,2,8,8 --depth 2: in place saved memory in ")


def test_without_a_scenario_it_is_the_session_with_a_seed_that_is_drawn() -> None:
    document = relu_demo.show().to_dict()
    assert document["scenario"] == "session"
    assert 0 <= document["request"]["seed"] < 10_000


def test_shape_device_and_dtype_may_be_those_of_torch() -> None:
    report = relu_demo.show(
        "inplace", seed=1, shape=torch.Size([1, 2, 4, 4]), device=torch.device("cpu"), dtype=torch.float64
    )
    assert report.to_dict()["command"] == "relu-demo --inplace --seed 1 --shape 1,2,4,4 --dtype float64"


def test_the_numbers_may_be_the_articles() -> None:
    document = relu_demo.show("inplace", article=True).to_dict()
    first = document["parts"]["in_place"]["moments"]["o1_before"]["values"][0][0][0][0]
    assert round(first, 4) == -0.1162


def test_the_random_numbers_and_no_grad_of_the_caller_are_as_before() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with torch.no_grad():
        assert relu_demo.show("branches", seed=7).ok
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)


BAD: dict[str, tuple[list[Any], dict[str, Any], type[Exception], str]] = {
    "a slip": (["compar"], {}, BadInput, "there is no scenario 'compar'; did you mean 'compare'?"),
    "an option": (["--no-inplace"], {}, BadInput, "did you mean 'no-inplace'?"),
    "an underscore": (["no_inplace"], {}, BadInput, "did you mean 'no-inplace'?"),
    "nothing alike": (["x"], {}, BadInput, "there is no scenario 'x'; give one of 'session', 'inplace', "),
    "check": (["check"], {}, BadInput, "to check a network call relu_demo.check(model, *inputs)"),
    "a network": ([torch.nn.ReLU()], {}, TypeError, "to check a network call relu_demo.check"),
    "words for a seed": ([], {"seed": "seven"}, TypeError, "'str' object cannot be interpreted as an integer"),
    "a seed too high": ([], {"seed": 2**64}, BadInput, "is out of PyTorch's range; give a number from"),
    "words for a shape": ([], {"shape": "1,3,5,5"}, TypeError, "'str' object cannot be interpreted as an integer"),
    "two sizes": ([], {"shape": (5, 5)}, BadInput, "'5,5' has 2 numbers, but 4 are needed; give N,C,H,W"),
    "a size of 0": ([], {"shape": (0, 3, 5, 5)}, BadInput, "has 0 in it, and every size is at least 1"),
    "an unknown device": ([], {"device": "gpu"}, BadInput, "unknown device 'gpu'; available here: cpu"),
    "an unknown dtype": ([], {"dtype": "floaty"}, BadInput, "unknown dtype 'floaty'; give one of bfloat16"),
    "an integer dtype": ([], {"dtype": torch.int8}, BadInput, "int8 is not a floating-point dtype"),
    "a depth": (["compare"], {"depth": 3}, BadInput, "depth does not go with 'compare'; it goes with 'memory'"),
    "a deep network": (["memory"], {"depth": 99}, BadInput, "give a number from 1 to 16"),
    "an article's memory": (["memory"], {"article": True}, BadInput, "article does not go with 'memory'"),
    "an article's dtype": ([], {"article": True, "dtype": "float64"}, BadInput, "leave shape and dtype out"),
    "an article's shape": ([], {"article": True, "shape": (1, 1, 4, 4)}, BadInput, "leave shape and dtype out"),
    "values below 0": ([], {"values": -1}, BadInput, "give 0 or more"),
}


@pytest.mark.parametrize(("given", "named", "error", "says"), BAD.values(), ids=BAD.keys())
def test_a_wrong_argument_is_told_with_what_to_give_instead(
    given: list[Any], named: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as raised:
        relu_demo.show(*given, **named)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def in_a_new_python(source: str) -> str:
    """What a Python that has imported nothing prints."""
    done = subprocess.run([*COLD, "-c", source], env=command_environment(), capture_output=True, text=True, check=True)
    return done.stdout


def test_dir_tab_and_star_have_what_is_public_and_wait_for_nothing() -> None:
    source = "import relu_demo, sys; print(*dir(relu_demo)); from relu_demo import *; print('torch' in sys.modules)"
    names, torch_is_loaded, there = in_a_new_python(f"{source}; print(callable(show), callable(check))").splitlines()
    public = [name for name in names.split() if not name.startswith("_")]
    assert public == relu_demo.__all__ == ["InplaceError", "SilentInplaceWarning", "check", "show", "watch"]
    assert (torch_is_loaded, there) == ("False", "True True")


def test_help_shows_the_functions_and_how_to_call_them_and_waits_for_nothing() -> None:
    shown = in_a_new_python("import relu_demo, sys; help(relu_demo); print('torch' in sys.modules)")
    assert 'relu_demo.show("compare", seed=7)' in shown
    together = "".join(shown.split())  # Python 3.13 gives each parameter of a long signature a line
    assert "show(scenario:'str'='session',*,seed:" in together
    assert "check(model:'nn.Module|Callable[...,Any]',/,*inputs:" in together
    assert shown.splitlines()[-1] == "False"


def test_the_report_of_a_check_is_one_line_in_python() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(inplace=True))
    assert repr(relu_demo.check(network, torch.randn(2, 4))) == "<Sequential: 1 in-place call, all safe>"


@pytest.mark.slow
def test_a_report_that_shows_itself_draws_no_random_number() -> None:
    program = (
        "import random, relu_demo\nreport = relu_demo.show('session', seed=7)\nbefore = random.getstate()\n"
        "str(report), report._repr_html_(), repr(report)\nassert random.getstate() == before"
    )
    subprocess.run([*COLD, "-c", program], env=command_environment(), check=True)
