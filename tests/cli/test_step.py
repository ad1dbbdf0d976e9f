"""Step by step: what each step shows, and a person at a real terminal, one key at a time."""

from __future__ import annotations

import io
import os
import re
import select
import shlex
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.commands import Demo
from support.processes import PYTHON, command_environment
from support.tiers import slow_but

from relu_demo.cli.stepping import BACK, ON
from relu_demo.machine.keys import KEYS
from relu_demo.request import Replay
from relu_demo.scenarios import stepped
from relu_demo.session.article import ARTICLE
from relu_demo.session.lines import MOMENTS, Line, Part
from relu_demo.session.sessions import part_names
from relu_demo.views.step import StepScreen

posix = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
STEP = ["-m", "relu_demo", "--step", "--seed", "7"]
PLACED = re.compile(r"\x1b\[(\d+);(\d+)H((?:[^\x1b]|\x1b\[[\d;]*m)*)")
STYLE = re.compile(r"\x1b\[[\d;]*m")
SPACE, ENTER, CTRL_C, CTRL_D = " ", "\r", "\x03", "\x04"
PATIENCE = 60

Seen = str | Callable[[str], Any]
"""Words on the screen, or what is true of it."""


class Desk:
    """A terminal with the command on it, and somebody who presses keys and reads the screen."""

    def __init__(self, arguments: list[str], columns: int, lines: int, environment: dict[str, str]) -> None:
        import fcntl
        import pty
        import termios

        self.leader, self.follower = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.follower)
        self.raw = b""
        self.rows: dict[int, str] = {}
        self.seen = 0
        self.process = subprocess.Popen(
            [*PYTHON, *arguments],
            stdin=self.follower,
            stdout=self.follower,
            stderr=self.follower,
            env=command_environment(**{"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}),
            start_new_session=True,
            # The terminal that Ctrl-C and a change of the window's size reach this process from.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # this process has one thread
        )

    def resize(self, columns: int, lines: int) -> None:
        import fcntl
        import termios

        self.columns, self.lines = columns, lines
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def modes(self) -> list[Any]:
        import termios

        return termios.tcgetattr(self.follower)

    @property
    def shown(self) -> str:
        """All that has come on the terminal."""
        return self.raw.decode(errors="replace")

    @property
    def screen(self) -> str:
        """The screen as it stands, without colours."""
        for placed in PLACED.finditer(self.shown, self.seen):
            self.rows[int(placed[1])] = STYLE.sub("", placed[3])
            self.seen = placed.start()  # its end may not have come yet
        return "\n".join(self.rows.get(number, "").rstrip() for number in range(1, self.lines + 1))

    def read(self) -> None:
        while select.select([self.leader], [], [], 0.02)[0]:
            self.raw += os.read(self.leader, 65536)

    def wait(self, what: str, done: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            self.read()
            if done():
                return
            assert self.process.poll() is None, f"ended before {what}\n{self.shown}"
            assert time.monotonic() < deadline, f"no {what}\n{self.screen}"

    def see(self, what: Seen) -> str:
        """Waits until the screen has these words, or is so, and a key is waited for. Gives the screen."""
        import termios

        is_there = what if callable(what) else lambda screen: what in screen
        self.wait(str(what), lambda: is_there(self.screen) and not self.modes()[3] & termios.ICANON)
        return self.screen

    def press(self, keys: str, words: Seen) -> str:
        """Presses keys, then waits for words on the screen as `see` does."""
        os.write(self.leader, keys.encode())
        return self.see(words)

    def go(self, step: int) -> str:
        """Goes on to that step, a key for each. Gives the screen."""
        while self.step < step:
            self.press(SPACE, partial(self.is_beyond, self.step))
        assert self.step == step
        return self.screen

    def is_beyond(self, step: int, screen: str) -> bool:
        """Whether the screen is that of a later step."""
        return self.step > step

    @property
    def step(self) -> int:
        """The step that the screen shows, counted from 1."""
        return int(re.findall(r"step (\d+) of", self.screen)[0])

    def leave(self, keys: str = "") -> int:
        """Presses keys, if any, waits for the end, and gives the exit code."""
        os.write(self.leader, keys.encode())
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            self.read()
            assert time.monotonic() < deadline, f"does not end\n{self.screen}"
        self.read()
        return self.process.returncode

    @property
    def left_behind(self) -> str:
        """What stands on the normal screen afterwards. Fails where the terminal is not as it was."""
        assert self.modes() == self.before
        assert self.shown.count("\x1b[?1049h") == self.shown.count("\x1b[?1049l") == 1
        assert self.shown.count("\x1b[?25l") == self.shown.count("\x1b[?25h") == 1
        stepping, _, rest = self.shown.partition("\x1b[?1049l")
        assert "\x1b[?1049h" in stepping
        assert "\x1b[?25l" in stepping
        rest = STYLE.sub("", rest.replace("\x1b[?25h", "")).replace("\r\n", "\n")
        assert "\x1b" not in rest
        return rest


@contextmanager
def desk(*options: str, columns: int = 80, lines: int = 24, code: str = "", **environment: str) -> Iterator[Desk]:
    """A desk with `relu-demo --step --seed 7` and these words on it, or with that after some Python `code`."""
    arguments = [*STEP[:2], *options, *STEP[2:]]
    if code:
        run = "from relu_demo.__main__ import main; main()"
        arguments = ["-c", f"{code}; import sys; sys.argv[1:] = {arguments[2:]}; {run}"]
    person = Desk(arguments, columns, lines, environment)
    try:
        person.see("next: ")
        yield person
    finally:
        person.process.kill()
        person.process.wait()
        os.close(person.leader)
        os.close(person.follower)


Steps = Callable[..., list[str]]


@pytest.fixture
def steps(demo: Demo, tmp_path: Path) -> Steps:
    """Gives the words of each step's screen, the first at 1, as the saved lesson has them."""

    def call(*options: str) -> list[str]:
        path = tmp_path / "lesson.html"
        assert demo(*options, "--step", "--seed", "7", "--save", str(path)).code == 0
        sections = re.findall(r"<section .*?</section>", path.read_text(encoding="utf-8"), re.DOTALL)
        texts = (unescape(re.sub("<[^>]+>", "", each)) for each in sections)
        return ["", *("\n".join(map(str.rstrip, text.split("\n"))) for text in texts)]

    return call


def test_h1_is_another_tensor_in_the_second_half(steps: Steps) -> None:
    shown = steps()
    assert len(shown) == 10
    assert "o1 is a new tensor; h1 is still the old one." in shown[6]  # o1 = conv1(input), in the second half
    assert re.search(r"^ +o1 +h1\nid +(\d+) +\d+ not o1\n", shown[8], re.MULTILINE)
    assert re.search(r"^o1 ─▶ tensor .*\nh1 ─▶ tensor .*  ReluBackward0, 16 zeros$", shown[8], re.MULTILINE)
    assert "\n*" not in shown[8]  # no name led to a tensor that is another now
    (h1,) = re.findall(r"^>>> id\(h1\) +# the id of o1\?\n(\d+)$", shown[9], re.MULTILINE)
    assert "The id below belongs to h1 alone." in shown[9]
    assert h1 not in "".join(shown[:8])


def test_the_article_s_weights_are_solved_in_one_step_and_o1_is_pictured(steps: Steps) -> None:
    _, _, solved, o1, *rest = steps("--article", "--inplace")
    assert "conv1.weight is a new tensor." in solved
    assert "\n       -0.1162  0.5905  1.0601\n" in o1
    for screen in rest:
        assert not re.search(r"\b(article|missing|seen|solved)\b", screen)


def test_a_fault_that_is_explained_is_stepped_through(steps: Steps) -> None:
    shown = steps("explain", "data")
    assert "w changed: it has other values." in shown[4]
    assert "w.grad is wrong: 3 of 3 numbers differ" in shown[5]


def test_a_step_says_what_is_wrong_and_shows_it_beside_the_correct_numbers(demo: Demo, steps: Steps) -> None:
    silent, correct = (
        demo("--branches", "--json", "--seed", "7").document["parts"][key]["moments"]
        for key in ("relu_first_in_place", "relu_first_out_of_place")
    )
    shown = steps("--branches")
    assert len(shown) <= 25
    # zero_grad belongs to the step that it prepares.
    assert "conv1.weight.grad, conv1.bias.grad, conv2.weight.grad and conv2.bias.grad are" in shown[5]
    assert ">>> conv1.zero_grad(set_to_none=True)\n>>> conv2.zero_grad(set_to_none=True)\n>>> x = conv1" in shown[6]
    assert "conv2.bias.grad are gone." in shown[6].replace("\n", " ")
    assert f"x as conv2 reads it is wrong: {silent['x']['changed']} of 27 numbers differ" in shown[7]
    h2 = shown[8]
    assert "h1 is correct.\nh2 is wrong: 27 of 27 numbers differ, by up to 0.332.\n" in h2
    both = [*correct["h2"]["values"][0][0][0], *silent["h2"]["values"][0][0][0]]
    assert re.search(r"^  h2, correct +h2, wrong\n +" + r" +".join(f"{n:.4f}" for n in both), h2, re.MULTILINE)
    gradients = " ".join(shown[9].split())
    for key, name in (("conv1_grad", "conv1.weight.grad"), ("conv2_grad", "conv2.weight.grad")):
        differ = f"{silent[key]['changed']} of 81 numbers differ, by up to {silent[key]['largest']:.4g}."
        assert f"{name} is wrong: {differ}" in gradients
        assert f"{name}, correct {name}, wrong" in gradients
    assert shown[13].count("one of the variables") == 1
    assert "h1 and h2 are correct." in shown[16]


def test_one_part_alone_is_stepped_through_after_what_it_needs(steps: Steps) -> None:
    shown = steps("--branches", "--part", "relu_first_in_place")
    assert len(shown) == 6
    assert "h2 is wrong: 27 of 27 numbers differ" in shown[4]


def test_a_large_tensor_is_shown_by_a_corner(steps: Steps) -> None:
    screen = steps("--inplace", "--shape", "2,3,100,100")[4]
    assert re.search(r"^o1 was overwritten: \d+ of 57624 values became 0", screen, re.MULTILINE)
    assert re.search(r"^zeros +0 +\d", screen, re.MULTILINE)


def test_a_name_that_leads_nowhere_any_more_is_told(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("o1 = conv1(input)", "h1 = rl1(o1)", "del o1")
    own = ("Of our own", (Part("own", "Own", tuple(map(Line, lines))),), MOMENTS)
    monkeypatch.setitem(ARTICLE, "inplace", own)
    assert "o1 is gone." in steps("--inplace")[4]


def drawn(
    scenario: str, at: int, columns: int, lines: int, encoding: str = "utf-8", ran: int = -1, running: bool = False
) -> str:
    """The screen after so many steps on a terminal of that size, where so many lines ran; all of them if that is -1."""
    report = [*stepped(Replay(scenario, 7))][ran]
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=out, width=columns, height=lines, highlight=False)
    console.print(StepScreen(report, at, running), height=lines)
    out.seek(0)
    return out.read()


@pytest.mark.versions
@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 12), (20, 5), (120, 40), (60, 20), (40, 24), (30, 8)])
def test_every_screen_fits(columns: int, lines: int) -> None:
    for number in range(1, 10):
        screen = drawn("compare", number, columns, lines)
        rows = screen.removesuffix("\n").split("\n")
        assert len(rows) == lines
        assert max(map(len, rows)) <= columns
        assert "Space" in rows[-1]
        if columns >= 40:
            assert ">>> " in screen
            assert ("o1 was overwritten: 16 of 27 values" in screen) == (number == 4)


SESSION = "nn.ReLU(inplace=True) and nn.ReLU(), side by side"
PREPARING = "import PyTorch, set the seed, make the layers and the input (7 lines)"
KEYS_80 = "Space or Enter: {} b: back s: end of the part q: end * changed"


@pytest.mark.parametrize(
    ("ran", "at", "running", "columns", "shown"),
    [
        (0, 0, False, 80, [f"{SESSION}: Preparation step 0 of 9", f"next: {PREPARING}", KEYS_80.format("run")]),
        (0, 0, True, 80, [f"{SESSION}: Preparation step 0 of 9", f"running: {PREPARING}", "..."]),
        (9, 2, False, 76, [f"{SESSION}: In place step 2 of 9", "next: id(o1)", KEYS_80.format("run")]),
        (9, 2, False, 65, ["In place step 2 of 9", "next: id(o1)", "Space: run b: back s: part q: end"]),
        (21, 2, False, 80, ["Looking back: In place step 2 of 9, 9 have run", "then: id(o1)", KEYS_80.format("go on")]),
        (
            *(21, 9, False, 80),
            [
                f"{SESSION}: Not in place step 9 of 9",
                "That was the last step. Next: all of it on one screen.",
                KEYS_80.format("end"),
            ],
        ),
    ],
)
def test_the_bars_tell_where_one_is_and_what_the_keys_do(
    ran: int, at: int, running: bool, columns: int, shown: list[str]
) -> None:
    rows = [" ".join(row.split()) for row in drawn("compare", at, columns, 8, ran=ran, running=running).splitlines()]
    assert [rows[0], *rows[-2:]] == shown


def test_a_title_that_is_cut_ends_in_dots() -> None:
    assert re.match(r" Looking .*…  step 2 of 24, 24 have run", drawn("branches", 2, 40, 24))


def test_with_large_letters_the_picture_is_there_and_the_numbers_are_cut() -> None:
    screen = "\n".join(line.rstrip() for line in drawn("session", 4, 60, 18).split("\n"))
    assert re.search(r"more lines\n+o1 ┬▶ tensor \S+ ─▶ storage \S+  \*version 1, 16 zeroed\nh1 ┘\n", screen)
    assert ">>> h1 = rl1(o1)" in screen


def test_a_narrow_character_set_gets_ascii() -> None:
    screen = drawn("session", 4, 80, 24, "ascii")
    assert "o1 +> tensor" in screen
    assert "?" not in screen.replace("o1?", "")


def session_of(*lines: str) -> str:
    """Python code that puts lines of one's own in place of the in-place half."""
    return (
        "from relu_demo.session.article import ARTICLE; from relu_demo.session.lines import MOMENTS, Line, Part; "
        f"ARTICLE['inplace'] = ('Of our own', (Part('own', 'Own', tuple(map(Line, {list(lines)}))),), MOMENTS)"
    )


def sequences(names: tuple[str, ...]) -> list[str]:
    """All that terminals send for keys."""
    both = {each for name in names for each in ((name, name.upper()) if len(name) == 1 else (name,))}
    return [sent for name in sorted(both) for sent in KEYS.get(name, (name,))]


@posix
@pytest.mark.slow
@pytest.mark.versions
def test_every_key_of_the_table_goes_on_or_back_and_others_do_nothing() -> None:
    on, back = sequences(ON), sequences(BACK)
    assert {"\x1b[C", "\x1bOB", "\x1b[6~", "n", "N", " ", "\r", "\xe0M"} <= set(on)
    assert {"\x1bOD", "\x1b[A", "\x1b[5~", "b", "B", "\xe0K"} <= set(back)
    with desk("--inplace") as person:
        for forward in on:
            person.press(forward, "next: id(o1)" if forward == on[0] else "step 2 of 5")
            person.press(back[0], "step 1 of 5, 2 have run")
        for backward in back:
            person.press(on[0], "next: id(o1)")
            person.press(backward, "step 1 of 5, 2 have run")
        person.press("x\x1b[1;5H\x1bOQ\x1b[[B\x1b[15~" + ENTER, "step 2 of 5")  # function keys are no letters
        person.press("  ", "step 4 of 5")  # two keys at once are two keys
        os.write(person.leader, b"\x1b[")
        time.sleep(0.3)
        person.press("D", "step 3 of 5, 4 have run")  # a key that is cut in two


@posix
@pytest.mark.versions
def test_s_goes_on_to_the_end_of_the_part_and_the_whole_screen_stays() -> None:
    with desk("--compare") as person:
        assert "next: o1 = conv1(input)" in person.press("s", "step 5 of 9")
        person.press("b" * 4, "step 1 of 9")
        person.press("S", "next: o1 = conv1(input)")  # nothing runs again
        person.press("b" * 2, "step 3 of 9")
        person.press("ss", "step 9 of 9")
        assert "That was the last step. Next: all of it on one screen." in person.screen
        assert person.leave(ENTER) == 0
        last = person.left_behind.splitlines()
        assert any(re.match(r" +o1 before +o1 after, in place +o1 after, not in place", line) for line in last)
        assert last[-1].endswith("All 7 claims hold.")


@posix
def test_a_line_runs_at_its_key_and_never_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the screen has the same lines wherever that is
    log = tmp_path / "log"
    line = "print(open('log', 'a').write('x'))"
    with desk("--inplace", code=session_of("o1 = conv1(input)", line, "h1 = rl1(o1)")) as person:
        person.go(2)
        time.sleep(0.3)
        assert not log.exists()
        now = person.go(4)
        assert "then: h1 = rl1(o1)" in person.press("b", "step 3 of 4, 4 have run")
        assert "grad_fn ConvolutionBackward0\n" in person.press("b", "step 2 of 4")
        person.press("b" * 12, "step 1 of 4")  # before the first step there is nothing to see
        person.press(SPACE + ENTER, "step 3 of 4")
        assert person.press(SPACE, "That was the last step.") == now
        assert log.read_text() == "x"


@posix
def test_the_exit_code_is_that_of_the_claims_once_all_has_run() -> None:
    lines = [("o1 = conv1(input)", ""), ("o1", "o1_before"), ("h1 = rl2(o1)", ""), ("o1", "o1_after"), ("h1", "h1")]
    code = (
        "from relu_demo.session.article import ARTICLE; "
        "from relu_demo.session.lines import MOMENTS, Line, Moment, Part; "
        "ARTICLE['inplace'] = ('Wrong', (Part('in_place', 'In place', "
        f"tuple(Line(l, '', Moment(m, m, '') if m else None) for l, m in {lines})),), MOMENTS)"
    )
    for last, ended in ((2, 0), (3, 1)):
        with desk("--inplace", code=code) as person:
            person.go(last)
            assert person.leave("q") == ended
            assert ("does not hold" in person.left_behind) == bool(ended)


@posix
@pytest.mark.parametrize("keys", slow_but(1, ["q", "Q", CTRL_D]))
def test_q_ends(keys: str) -> None:
    with desk() as person:
        person.go(3)
        assert person.leave(keys) == 0
        assert re.fullmatch(r"nn.ReLU.*\nrelu-demo --seed 7  .*\nEnded after 3 of 9 steps\.\n", person.left_behind)


@posix
@pytest.mark.versions
@pytest.mark.parametrize("name", slow_but(2, ["keys", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"]))
def test_ctrl_c_and_a_signal_give_the_terminal_back(name: str) -> None:
    with desk() as person:
        person.go(3)
        if name != "keys":
            person.process.send_signal(getattr(signal, name))
        assert person.leave("  " + CTRL_C if name == "keys" else "") == 128 + getattr(signal, name, signal.SIGINT)
        assert person.left_behind.strip() == ""


@posix
@pytest.mark.parametrize("end", slow_but(1, ["key", "signal"]))
def test_a_line_that_is_running_can_be_left_and_keys_do_not_spoil_the_screen(end: str) -> None:
    with desk("--inplace", code=session_of("import time", "time.sleep(100)")) as person:
        person.go(2)
        os.write(person.leader, SPACE.encode())
        person.wait("running", lambda: "running: time.sleep(100)" in person.screen)
        os.write(person.leader, b"zzzz")
        time.sleep(0.3)
        if end == "signal":
            person.process.send_signal(signal.SIGTERM)
        assert person.leave(CTRL_C if end == "key" else "") == (130 if end == "key" else 143)
        assert "zzzz" not in person.shown
        assert person.left_behind.strip() == ""


@posix
def test_a_line_that_raises_gives_the_terminal_back_and_is_one_line_on_stderr() -> None:
    with desk("--inplace", code=session_of("o1 = conv1(input)", "o1 @ torch.ones(7)")) as person:
        person.go(2)
        assert person.leave(SPACE) == 2
        assert re.fullmatch(r"relu-demo: PyTorch cannot run 'o1 @ torch.ones\(7\)': .*\n", person.left_behind)


@posix
def test_the_screen_follows_the_window_and_without_colours_the_marks_say_it() -> None:
    with desk(NO_COLOR="1") as person:
        assert "*ReluBackward0" in person.go(4)
        assert not re.search(r"\x1b\[[0-9;]*\b(3|4|9|10)[0-7]m", person.shown)
        seen = len(person.raw)
        person.resize(40, 20)
        person.wait("smaller screen", lambda: b"\x1b[20;1H" in person.raw[seen:])
        narrow = person.see("Space: run  b: back")
        assert "h1 is o1: one object" in narrow
        assert max(map(len, narrow.split("\n"))) <= 40
        seen = len(person.raw)
        person.resize(100, 30)
        person.wait("larger screen", lambda: b"\x1b[30;1H" in person.raw[seen:])
        assert "o1 after" in person.see("Space or Enter: run")
        places = [(int(row), int(column), STYLE.sub("", text)) for row, column, text in PLACED.findall(person.shown)]
        assert max(row for row, _, _ in places) == 30
        assert {column + len(text) - 1 for _, column, text in places if text} <= set(range(101))


@posix
def test_a_terminal_that_goes_away_ends_it() -> None:
    with desk() as person:
        os.dup2(os.open(os.devnull, os.O_RDWR), person.leader)  # nobody holds the other side any more
        os.close(person.follower)
        person.follower = os.open(os.devnull, os.O_RDWR)
        assert person.process.wait(PATIENCE) != 0


@pytest.mark.parametrize("closed", slow_but(1, ["", "<&-", ">&-", "| cat"]))
@posix
def test_without_a_terminal_it_is_a_usage_error(closed: str) -> None:
    shell = f"set -o pipefail; {shlex.join([*PYTHON, *STEP])} {closed}"
    done = subprocess.run(
        ["bash", "-c", shell], env=command_environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"relu-demo: --step waits for keys on a terminal, and standard input is not one; .*\n", done.stderr
    )


@posix
def test_a_dumb_terminal_is_a_usage_error() -> None:
    person = Desk(STEP, 80, 24, {"TERM": "dumb"})
    assert person.leave() == 2
    assert "TERM is dumb" in person.shown
    assert "\x1b" not in person.shown


@pytest.mark.parametrize("part", part_names("branches"))
def test_one_part_alone_is_a_screen_of_few_lines_and_its_transcript_is_whole(
    demo: Demo, tmp_path: Path, part: str
) -> None:
    path = tmp_path / "slide.txt"
    assert demo("--branches", "--part", part, "--seed", "7", "--save", str(path)).code == 0
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 32
    document = demo("--branches", "--part", part, "--seed", "7", "--json").document
    assert part in document["parts"]
    assert len(document["parts"]) <= 3
    typed = demo("--branches", "--part", part, "--seed", "7", "--repl").out
    assert typed.count("import torch\n") == 1
