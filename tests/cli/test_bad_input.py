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
from support.bad_input import BAD
from support.commands import Demo, held
from support.processes import COLD, ROOT, command_environment
from support.tiers import examples

from relu_demo.cli.options import OPTIONS
from relu_demo.cli.run import run
from relu_demo.session.lines import Line, Part, Session
from relu_demo.session.sessions import SESSIONS


@pytest.mark.versions
@pytest.mark.parametrize(("line", "says"), BAD.items(), ids=lambda words: words[:40])
def test_bad_input_is_told_in_one_line(demo: Demo, line: str, says: str) -> None:
    result = demo(*shlex.split(line))
    held(result.code, result.out, result.err)
    assert says in result.err


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


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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
