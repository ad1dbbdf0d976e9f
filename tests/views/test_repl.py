"""--repl: the session as a transcript. Held against a real interpreter, and against doctest in a fresh process."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
from pathlib import Path

import pytest
from support.commands import Demo, doctest_of, without_addresses
from support.processes import COLD, PYTHON, command_environment
from support.ptys import ESCAPE, on_a_terminal, posix

from relu_demo.claims.report import JudgedClaim, SessionReport, Verdict
from relu_demo.replay.replay import replay
from relu_demo.replay.trace import Step, Trace
from relu_demo.request import WHOLE, Replay
from relu_demo.session.lines import Line, Part, Session
from relu_demo.session.sessions import SESSIONS
from relu_demo.views.repl import write_transcript

SCENARIOS = [[] if name == WHOLE else [f"--{name}"] for name in SESSIONS]
WITH_ARTICLE = [[*scenario, *more] for scenario in SCENARIOS for more in ([], ["--article"])]
SETUPS = [["--shape", "2,4,6,7"], ["--dtype", "float64"], ["--dtype", "bfloat16"], ["--shape", "1,2,40,50"]]

PROMPT = re.compile(r"(>>>|\.\.\.)( |$)")


def in_a_fresh_process(path: Path) -> subprocess.CompletedProcess[str]:
    """Has `python -m doctest` read a file."""
    return subprocess.run(
        [*PYTHON, "-W", "ignore", "-m", "doctest", str(path)],
        env=command_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what PyTorch says of a missing NumPy
        text=True,
        timeout=120,
    )


def interpreter(sources: list[str]) -> str:
    """What Python's own interactive interpreter prints when the lines are typed into it."""
    done = subprocess.run(
        [*COLD, "-i", "-q"],
        input="\n".join(sources) + "\n",
        env=command_environment(PYTHONWARNINGS="ignore"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the prompts
        text=True,
        timeout=120,
    )
    return done.stdout


def without_prompts(transcript: str) -> list[str]:
    """The lines that somebody typed."""
    return [line[4:] for line in transcript.splitlines() if PROMPT.match(line)]


def outputs(transcript: str) -> str:
    """All that was printed on standard output: not what was typed, what was raised, and what is empty between parts."""
    parts = re.sub(r"\n\n(?=>>>)", "\n", transcript)
    parts = re.sub(r"^Traceback .*\n  +\.\.\.\n.*\n", "", parts, flags=re.MULTILINE)
    return "".join(line for line in parts.splitlines(keepends=True) if not PROMPT.match(line))


@pytest.mark.parametrize("options", [*WITH_ARTICLE, *SETUPS], ids=" ".join)
def test_doctest_accepts_every_session(demo: Demo, options: list[str]) -> None:
    assert doctest_of(demo("--repl", "--seed", "7", *options).out) == ""


def test_doctest_accepts_it_in_a_fresh_process(demo: Demo, tmp_path: Path) -> None:
    path = tmp_path / "session.txt"
    path.write_text(demo("--repl", "--seed", "7", "--article").out, encoding="utf-8")
    done = in_a_fresh_process(path)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-0.1375", "-0.1376"),
        ("h1 = rl1(o1)", "h1 = rl2(o1)"),
        ("manual_seed(7)", "manual_seed(8)"),
        ("<ReluBackward0>", "<ReluBackward1>"),
    ],
)
def test_doctest_would_notice_what_is_not_so(demo: Demo, old: str, new: str) -> None:
    transcript = demo("--repl", "--inplace", "--seed", "7").out
    assert old in transcript
    assert "Failed example:" in doctest_of(transcript.replace(old, new, 1))


def test_the_lines_are_those_of_the_session_with_their_comments(demo: Demo) -> None:
    typed = without_prompts(demo("--repl", "--seed", "7").out)
    lines = [line for part in demo("--json", "--seed", "7").document["parts"].values() for line in part["lines"]]
    assert len(typed) == len(lines)
    for shown, line in zip(typed, lines, strict=True):
        comment = f"  # {line['comment']}" if line["comment"] else ""
        assert re.fullmatch(re.escape(line["source"] + comment) + r"(  # doctest: \+(SKIP|ELLIPSIS))?", shown)


def test_ids_stand_there_as_they_were(demo: Demo) -> None:
    """They are what the session is about, so doctest is told to skip them rather than to accept any."""
    ids = re.findall(r"^\d+$", demo("--repl", "--seed", "7").out, re.MULTILINE)
    assert len(ids) == 4
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--article"], ["--compare"], ["--branches"]], ids=" ".join)
def test_what_is_typed_again_prints_the_same_again(demo: Demo, options: list[str]) -> None:
    transcript = demo("--repl", "--seed", "7", *options).out
    printed = re.sub(r"0x[0-9a-f]+", "0x...", interpreter(without_prompts(transcript)))
    assert without_addresses(printed) == without_addresses(outputs(transcript).replace("<BLANKLINE>", ""))


@posix
@pytest.mark.slow
def test_on_a_terminal_it_is_what_the_interpreter_prints_byte_for_byte() -> None:
    code, shown, _ = on_a_terminal("--repl", "--seed", "7", "--article", columns=40)
    assert code == 0
    plain = re.sub(ESCAPE + r"\[[0-9;]*m", "", shown).replace("\r\n", "\n")
    plain = plain[plain.index(">>>") :]
    assert "doctest" not in plain
    assert "BLANKLINE" not in plain
    printed = interpreter(without_prompts(plain))
    assert without_addresses(outputs(plain)) == without_addresses(printed)
    assert re.search(r"<torch\._C\.Generator object at 0x[0-9a-f]+>", plain)


def test_no_line_is_broken_however_narrow(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    narrow = demo("--repl", "--seed", "7", "--article").out
    monkeypatch.setenv("COLUMNS", "200")
    assert without_addresses(narrow) == without_addresses(demo("--repl", "--seed", "7", "--article").out)


def transcript(trace: Trace, *findings: JudgedClaim) -> str:
    out = io.StringIO()
    write_transcript(SessionReport(trace, findings), out)
    return out.getvalue()


def traced(*sources: str) -> Trace:
    part = Part("lines", "Lines", tuple(map(Line, ("import torch", *sources))))
    return replay(Session(Replay("lines", 0), "Lines", (part,)))


def with_step(trace: Trace, **changes: object) -> Trace:
    """The trace with another last step."""
    part = trace.parts["lines"]
    last: Step = dataclasses.replace(part.lines[-1], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(trace, parts={"lines": dataclasses.replace(part, lines=(*part.lines[:-1], last))})


def test_a_line_that_raises_is_accepted_by_doctest_too() -> None:
    words = "mat1 and mat2 shapes cannot be multiplied"
    trace = with_step(
        traced("x = torch.ones(2, 2)", "x"),
        line=Line(f"raise RuntimeError('{words}')", "on purpose"),
        output=f"Traceback (most recent call last):\n    ...\nRuntimeError: {words}\n",
    )
    assert f"# on purpose\nTraceback (most recent call last):\n    ...\nRuntimeError: {words}\n" in transcript(trace)
    assert doctest_of(transcript(trace)) == ""


def test_a_line_of_several_lines_goes_on_behind_the_second_prompt() -> None:
    text = transcript(traced("x = torch.tensor([\n    1.5,\n    2.5,\n])", "x"))
    assert ">>> x = torch.tensor([\n...     1.5,\n...     2.5,\n... ])\n>>> x\ntensor([1.5000, 2.5000])\n" in text
    assert doctest_of(text) == ""


@pytest.mark.slow
def test_a_compound_statement_ends_with_the_empty_line_that_the_interpreter_waits_for() -> None:
    text = transcript(traced("with torch.no_grad(): x = torch.ones(2)", "x"))
    assert ">>> with torch.no_grad(): x = torch.ones(2)\n...\n>>> x\ntensor([1., 1.])\n" in text
    assert doctest_of(text) == ""
    assert interpreter(without_prompts(text)) == outputs(text)


def test_a_number_that_is_no_id_is_compared() -> None:
    trace = traced("x = torch.ones(2)", "x.numel() - 2", "10**15")
    states = {
        name: dataclasses.replace(state, data_ptr=0) for name, state in trace.parts["lines"].lines[-1].tensors.items()
    }
    assert states  # an empty tensor's storage is at 0
    text = transcript(with_step(trace, tensors=states))
    assert "SKIP" not in text
    assert ">>> x.numel() - 2\n0\n>>> 10**15\n1000000000000000\n" in text


def test_an_address_of_a_node_or_a_storage_is_not_compared() -> None:
    text = transcript(traced("x = torch.ones(2, requires_grad=True)", "y = x * 2", "id(y.grad_fn)", "y.grad_fn"))
    assert re.search(r">>> id\(y\.grad_fn\)  # doctest: \+SKIP\n\d+\n", text)
    assert "<MulBackward0 object at 0x...>" in text
    assert doctest_of(text) == ""


def test_a_claim_that_fails_is_told_below_the_transcript() -> None:
    text = transcript(traced("1 + 1"), JudgedClaim(2, "One is two.", Verdict.FAILS, "1, then 1"))
    assert text.endswith("\n2\n\n# does not hold: One is two. 1, then 1\n")
    assert doctest_of(text) == ""
