"""Bad input: one clear line on stderr, exit code 2, nothing on stdout, never a traceback."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.commands import Demo, held
from support.processes import COLD, ROOT, command_environment
from support.tiers import examples

from relu_demo.cli.options import OPTIONS
from relu_demo.cli.run import run
from relu_demo.session.lines import Line, Part, Session
from relu_demo.session.sessions import SESSIONS

CONVOLVING = ", ".join(["bfloat16", *["float16"] * (torch.__version__ >= "2.2"), "float32", "float64"])
"""On a CPU; PyTorch 2.1 and older have no convolution in float16 there."""

CUDA = "cuda:99" if torch.cuda.is_available() else "cuda"

BAD = {
    "--compare --inplace": "--compare and --inplace are two scenarios; give one of them",
    "--inplace --no-inplace": "--inplace and --no-inplace are two scenarios",
    "--shape 1,3,5": "'1,3,5' has 3 numbers, but 4 are needed; give N,C,H,W",
    "--shape 1,3,5,5,5": "has 5 numbers, but 4 are needed",
    "--shape 1": "'1' has 1 number, but 4 are needed",
    "--shape 1,3,five,5": "'1,3,five,5' is not whole numbers between commas",
    "--shape 1,3,5.5,5": "not whole numbers between commas",
    "--shape ''": "'' is not whole numbers between commas",
    "--shape 1,3,5,5 --shape 1,3,6,6": "'1,3,6,6' is a second shape",
    "--compare --shape 1,3,5,5:0..9": "'1,3,5,5:0..9' is for relu-demo check; give the sizes alone, 1,3,5,5",
    "--depth 3": "--depth does not go with the session; it goes with --memory",
    "--compare --depth 3": "--depth does not go with --compare",
    "--memory --part clone": "does not go with --memory",
    "--memory --depth 17": "17 blocks cannot be chained; give a number from 1 to 16",
    "--memory --shape 1,4,1,1": "BatchNorm cannot train on one number",
    "--memory --device meta": "meta has no values to show",
    "--memory --shape 64,512,4096,4096": "64,512,4096,4096 at depth 8 needs about 59.4 TB and ",
    "--memory --shape 1,4,8": "has 3 numbers, but 4 are needed",
    "--shape 1000,3,20000,20000": "1000,3,20000,20000 in float32 needs about 138 TB and ",
    "--branches --shape 1,3,900000,900000": "in float32 needs about 693 TB",
    "--shape 1,500000,3,3 --dtype float64": "in float64 needs about 126 TB",
    f"--shape 9,9,9999,9999 --values {'9' * 20}": "needs about 15.5 TB",
    f"--branches --shape 1,1,3,{2**61} --values {'9' * 20}": "needs about 3.77e+04 EB and ",
    "--shape 0,3,5,5": "'0,3,5,5' has 0 in it, and every size is at least 1",
    "--shape 1,-3,5,5": "has -3 in it, and every size is at least 1",
    f"--shape 1,3,5,{2**62}": "more elements than PyTorch can count",
    f"--shape 1,3,5,{'9' * 400}": "more elements than PyTorch can count",
    f"--shape 1,3,5,{'9' * 9000}": "is not whole numbers between commas",
    f"--shape 1,{2**31},5,5": "makes a layer of more elements than PyTorch can count",
    "--shape 1,3,2,5": "'1,3,2,5' is smaller than the 3 by 3 kernel of conv1",
    "--shape 1,3,5,1": "smaller than the 3 by 3 kernel",
    "--device gpu": "unknown device 'gpu'; available here: cpu",
    "--device ''": "unknown device ''; available here: cpu",
    "--device meta": "meta has no values to show",
    "--device vulkan": "'--device': no vulkan on this machine; available here: cpu",  # of another build
    "--device mkldnn": "no mkldnn on this machine; available here: cpu",  # PyTorch has given it up
    f"--device {CUDA}": f"no {CUDA} on this machine",
    "--dtype floaty": f"unknown dtype 'floaty'; give one of {CONVOLVING}",
    "--dtype nn": "unknown dtype 'nn'",
    "--dtype int32": "int32 is not a floating-point dtype; give one of",
    "--dtype torch.complex64": "complex64 is not a floating-point dtype",
    "--article --shape 1,3,5,5": "relu-demo: --article has its own shape; leave --shape out\n",
    "--dtype float32 --article": "relu-demo: --article has its own dtype; leave --dtype out\n",
    "--seed seven": "relu-demo: Invalid value for '--seed': 'seven' is not a whole number; give one, for example 7\n",
    "--seed '1\n2\x1b[31m'": r"'1 2\x1b[31m' is not a whole number",
    f"--seed {2**64}": "18446744073709551616 is out of PyTorch's range; give a number from",
    f"--seed {-(2**63) - 1}": "is out of PyTorch's range",
    "--seed": "relu-demo: Option '--seed' requires an argument.\n",
    "--values -1": "-1 values cannot be listed; give 0 or more",
    "--compare --part clone": "relu-demo: Invalid value for '--part': 'clone' is no part of this session; give one of "
    "preparation, in_place, out_of_place\n",
    "--quiet --json": "--quiet and --json are two views; give one of them",
    "--json --save x.svg": "--json has no screen to save",
    "-q --save x.txt": "--quiet has no screen to save",
    "--light --compare": "--light goes with --save; give for example --save screen.svg --light",
    "--save x.TXT --light": ".TXT has no colours; save as .svg or .html",
    "compare": "there is no command 'compare'; did you mean --compare?",
    "sede": "there is no command 'sede'; did you mean --seed?",
    "chekc net.py:Net": "there is no command 'chekc'; did you mean check?",
    "xyzzy": "there is no command 'xyzzy'; relu-demo --help lists all",
    "train.py --epochs 1": "train.py alone is no command; give relu-demo watch train.py --epochs 1",
    "n.py:Net": "give relu-demo check n.py:Net or relu-demo watch n.py:Net",
    "--inplace=True --json": "relu-demo: Option '--inplace' does not take a value.\n",
    "--train": "--train does not go with relu-demo; it goes with relu-demo check",
    "--seed 1 check n.py:Net": "options go behind check; give relu-demo check --seed 1 n.py:Net",
    "--compare watch train.py": "options go behind watch; give relu-demo watch --compare train.py",
    "watch": "watch takes a program; give for example relu-demo watch train.py",
    "watch --seed 1 train.py": "--seed does not go with watch; it goes with relu-demo, relu-demo explain and relu-demo "
    "check",
    "explain leef": "there is no page 'leef'; did you mean leaf?",
    "explain Step_Before_Backward": "did you mean step-before-backward?",
    "explain nothing-alike-at-all": "relu-demo explain lists all",
    "explain leaf data": "explain takes one name, not 2 (leaf data)",
    "explain --repl": "--repl goes with one fault, and none is named; give for example relu-demo explain leaf --repl",
    "explain --seed 7": "give for example relu-demo explain leaf --seed 7",
    "explain leaf --shape 1,3,5,5": "--shape does not go with explain; it goes with relu-demo",
    "explain leaf --seed x": "'x' is not a whole number",
    f"explain leaf --seed {2**64}": "out of PyTorch's range",
}


@pytest.mark.parametrize(("line", "says"), BAD.items(), ids=lambda words: words[:40])
def test_bad_input_is_told_in_one_line(demo: Demo, line: str, says: str) -> None:
    result = demo(*shlex.split(line))
    held(result.code, result.out, result.err)
    assert says in result.err


@pytest.mark.versions
@pytest.mark.parametrize(
    ("line", "hint"),
    {
        "--inplce": "there is no option '--inplce'; did you mean --inplace?",
        "--comparee --seed 7": "there is no option '--comparee'; did you mean --compare?",
        "check n.py:Net --shpae 1,3": "there is no option '--shpae'; did you mean --shape?",
        "watch --savee x.svg train.py": "there is no option '--savee'; did you mean --save?",
        "--check net.py:Net --train": "--check is a command; give relu-demo check net.py:Net --train",
        "--seed 1 --check=net.py:Net": "--check is a command; give relu-demo check --seed 1 net.py:Net",
        "--watch train.py": "--watch is a command; give relu-demo watch train.py",
        "--inplace False": "--inplace takes no value; give --no-inplace",
        "--no-inplace False": "--no-inplace takes no value; give --inplace",
        "check n.py:Net --foo": "there is no option '--foo'; relu-demo check --help lists all",
    }.items(),
)
def test_a_misspelt_option_is_answered_with_the_nearest_one(demo: Demo, line: str, hint: str) -> None:
    result = demo(*shlex.split(line))
    held(result.code, result.out, result.err)
    assert result.err == f"relu-demo: {hint}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        *([option, "x" * 5000] for option in ("--seed", "--device", "--values", "--part", "--save")),
        *(["--shape", "1," * 2500], ["--" + "x" * 5000], ["x" * 5000]),
        *([tool, target] for tool in ("check", "watch") for target in ("x" * 5000, "x" * 5000 + ".py:f")),
    ],
    ids=lambda words: " ".join(word[:9] for word in words),
)
def test_of_a_long_value_both_ends_are_shown(demo: Demo, arguments: list[str]) -> None:
    result = demo(*arguments)
    held(result.code, result.out, result.err)
    assert len(result.err) < 400
    assert re.search(r"[x1,]{60,90}\.\.\.", result.err)


def unconvolved() -> list[str]:
    """The floating dtypes of this PyTorch that its CPU cannot convolve."""
    names = []
    for name, dtype in vars(torch).items():
        if isinstance(dtype, torch.dtype) and dtype.is_floating_point and str(dtype) == f"torch.{name}":
            try:
                input = torch.randn(1, 1, 3, 3, dtype=dtype)
                torch.nn.functional.conv2d(input, input)
            except (RuntimeError, NotImplementedError):
                names.append(name)
    return names


def test_a_dtype_that_the_device_cannot_convolve(demo: Demo) -> None:
    assert unconvolved()
    for name in unconvolved():
        result = demo("--dtype", name)
        held(result.code, result.out, result.err)
        assert f"cpu cannot convolve {name}" in result.err
        named = result.err.partition("; give one of ")[2].strip().split(", ")
        assert "float32" in named
        assert not set(named) & set(unconvolved())


MEMORY = {
    "Python": "raise MemoryError",
    "Linux": 'raise RuntimeError("[enforce fail] err == 0. DefaultCPUAllocator: can\'t allocate memory: you tried.")',
    "Windows": "raise RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.')",
    "CUDA": "raise torch.cuda.OutOfMemoryError('CUDA out of memory.')",
}


@pytest.mark.parametrize("source", MEMORY.values(), ids=MEMORY.keys())
@pytest.mark.parametrize("raises", [True, False])
def test_a_line_for_which_memory_runs_out_is_told_even_where_it_may_raise(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, source: str, raises: bool
) -> None:
    part = Part("part", "A part", (Line("import torch"), Line(source, raises=raises)))
    monkeypatch.setitem(SESSIONS, "branches", lambda request: Session(request, "", (part,)))
    result = demo("--branches")
    held(result.code, result.out, result.err)
    assert result.err.startswith("relu-demo: PyTorch cannot run 'raise ")
    assert result.err.endswith("; give a smaller shape\n")


@pytest.mark.parametrize(
    "place", ["relu_demo.replay.recorder.copy_values", "relu_demo.claims.judge.judge", "json.dumps"]
)
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")])
def test_memory_that_runs_out_elsewhere_is_told(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(place, fail)
    result = demo("--inplace", "--json")
    held(result.code, result.out, result.err)
    assert "not enough memory" in result.err


# Without `watch`, which would run what is drawn.
options = ["check", "-h", *(name for each in OPTIONS for name in each.opts)]
small = st.integers(-2, 12).map(str)
huge = st.integers(10**9, 10**25).map(str)
shapes = st.lists(small | small | small | huge, min_size=3, max_size=5).map(",".join)
junk = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
words = st.sampled_from(
    ["cpu", "cuda", "cuda:9", "meta", "float32", "float16", "int8", "torch.float64", "1,3,5,5", "-", "--", "7"]
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """An option or a word with a character dropped, replaced or put in, but none that makes a number larger."""
    text = draw(st.sampled_from(options) | words)
    at = draw(st.integers(0, max(0, len(text) - 1)))
    return (
        text[:at]
        + draw(st.sampled_from(["", "-", "=", ",", "\x00", "é", "[red]", " "]))
        + text[at + draw(st.integers(0, 1)) :]
    )


option = st.sampled_from(options)
pairs = st.tuples(st.sampled_from(["--seed", "--values", "--depth"]), small | huge | junk) | st.tuples(
    st.just("--shape"), shapes | junk
)
pairs |= st.tuples(st.sampled_from(["--device", "--dtype"]), words | junk)
arguments = st.lists(
    pairs.map(list) | option.map(lambda o: [o]) | mutated().map(lambda m: [m]) | junk.map(lambda j: [j]), max_size=4
)


@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(arguments.map(lambda groups: [word for group in groups for word in group]))
@example(["--json", "--dtype", "float16"])
@example(["--device", "cuda:99999999999999999999"])
@example(["--shape=" + "1,1,3,3"])
def test_no_arguments_ever_lead_to_a_traceback(capsys: pytest.CaptureFixture[str], given: list[str]) -> None:
    capsys.readouterr()
    code = run(given)
    said = capsys.readouterr()
    assert code in (0, 1, 2)
    if code == 2:
        held(code, said.out, said.err)
    else:
        assert said.out
        assert said.err == ""


def test_what_nobody_foresaw_is_one_line_and_70(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr("relu_demo.scenarios.report_on", fail)
    result = demo("--seed", "1")
    held(2, result.out, result.err)
    assert result.code == 70
    assert result.err.startswith("relu-demo: internal error, KeyError: 'nobody foresaw this' (")
    assert result.err.endswith("; --traceback shows the rest\n")
    monkeypatch.setattr("relu_demo.scenarios.watched", fail)  # a watch shows it without being asked
    for shown in (demo("--seed", "1", "--traceback"), demo("watch", "-m", "this")):
        assert shown.code == 70
        assert shown.err.startswith("Traceback (most recent call last):")
        assert re.search(r"^relu-demo: internal error, .*/test_bad_input\.py:\d+\)$", shown.err, re.MULTILINE)


def test_a_damaged_installation_is_one_line_and_70(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError(\"No module named 'click'\")", encoding="utf-8")
    done = subprocess.run(
        [*COLD, "-c", "from relu_demo.__main__ import main; main()"],
        env=command_environment(PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)])),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr == "relu-demo: it cannot start: No module named 'click'; install it again with pip\n"


@pytest.mark.skipif(os.name != "posix", reason="a shell closes it")
@pytest.mark.parametrize("asked", ["--help", pytest.param("--values=3", marks=pytest.mark.slow)])
def test_a_closed_standard_output_is_one_line_and_2(asked: str) -> None:
    command = ["sh", "-c", 'exec "$0" "$@" >&-', *COLD, "-m", "relu_demo", asked]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=command_environment(), check=False)
    said = "relu-demo: the output cannot be written: standard output is closed\n"
    assert (done.returncode, done.stderr) == (2, said)
