"""Step by step: a person at a real terminal, one key at a time."""

from __future__ import annotations

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
from pathlib import Path
from typing import Any

import pytest
from support.commands import Demo, without_addresses
from support.processes import COLD, PYTHON, command_environment
from support.tiers import slow_but

from relu_demo.cli.stepping import BACK, ON
from relu_demo.machine.keys import KEYS
from relu_demo.request import Explain, Replay
from relu_demo.session.sessions import SESSIONS, part_names, session_for

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


def session_of(*lines: str) -> str:
    """Python code that puts lines of one's own in place of the in-place half."""
    return (
        "from relu_demo.session.article import ARTICLE; from relu_demo.session.lines import MOMENTS, Line, Part; "
        f"ARTICLE['inplace'] = ('Of our own', (Part('own', 'Own', tuple(map(Line, {list(lines)}))),), MOMENTS)"
    )


@posix
@pytest.mark.versions
def test_a_key_runs_a_step_and_what_it_changed_is_said_and_marked() -> None:
    with desk() as person:
        assert "step 1 of 9" in person.screen
        made = person.go(2)
        assert "o1 is a new tensor." in made
        assert re.search(r"^version 0\ngrad_fn ConvolutionBackward0\n", made, re.MULTILINE)
        assert re.search(r"^>>> o1 = conv1\(input\)\n\nnext: id\(o1\)$", made, re.MULTILINE)
        printed = person.go(3)
        assert "Nothing changed. The id below belongs to o1 alone." in printed
        assert re.search(r"^>>> id\(o1\)\n(\d+)\n\nnext: h1 = rl1\(o1\)  # in place$", printed, re.MULTILINE)
        assert not re.search(r"\*[\w.]", printed.rpartition("\n")[0])  # to print an id changes nothing
        changed = person.go(4)
        assert "o1 was overwritten: 16 of 27 values became 0, version 1, grad_fn ReluBackward0.\n" in changed
        assert "h1 is o1: one object, two names.\n" in changed
        assert re.search(r"^ +o1 before +o1 after\nid +\d+ +same\n", changed, re.MULTILINE)
        assert re.search(r"^version 0 +\*1\ngrad_fn ConvolutionBackward0 +\*ReluBackward0\n", changed, re.MULTILINE)
        assert re.search(r"^o1 ┬▶ tensor \d+ ─▶ storage 0x\w+  \*version 1, 16 zeroed\nh1 ┘$", changed, re.MULTILINE)
        assert changed.count("*0.0000") == 16
        again = person.go(6)  # o1 = conv1(input), in the second half
        assert "o1 is a new tensor; h1 is still the old one." in again
        beside = person.go(8)
        assert re.search(r"^ +o1 +h1\nid +(\d+) +\d+ not o1\n", beside, re.MULTILINE)
        assert re.search(r"^o1 ─▶ tensor .*\nh1 ─▶ tensor .*  ReluBackward0, 16 zeros$", beside, re.MULTILINE)
        assert "\n*" not in beside  # no name led to a tensor that is another now
        assert person.leave("q") == 0, person.left_behind
        assert person.left_behind == (
            re.search(r"nn.ReLU.*\n", person.left_behind)[0]  # type: ignore[index]
            + "relu-demo --seed 7\nEnded after 8 of 9 steps.\n"
        )


@posix
def test_a_line_does_not_run_before_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the screen has the same lines wherever that is
    mark = tmp_path / "ran"
    with desk("--inplace", code=session_of("o1 = 1", "open('ran', 'w').close()", "o1")) as person:
        person.go(2)
        assert "next: open('ran'" in person.screen
        time.sleep(0.3)
        assert not mark.exists()
        person.go(3)
        assert mark.exists()


@posix
def test_an_id_is_not_known_before_the_line_that_makes_the_object() -> None:
    with desk("--no-inplace") as person:
        person.go(3)
        seen_before = person.shown
        screen = person.go(5)
        (o1, h1) = re.findall(r"^id +(\d+) +same +(\d+) not o1$", screen, re.MULTILINE)[0]
        assert re.search(rf"^>>> id\(h1\) +# the id of o1\?\n{h1}$", screen, re.MULTILINE)
        assert "The id below belongs to h1 alone." in screen
        assert o1 != h1
        assert o1 in seen_before
        assert h1 not in seen_before


@posix
def test_enter_goes_on_like_space_and_other_keys_do_nothing() -> None:
    with desk("--inplace") as person:
        person.press(ENTER, "step 2 of 5")
        person.press("x\x1b[1;5H" + ENTER, "step 3 of 5")
        assert ">>> id(o1)" in person.screen
        person.press("  ", "step 5 of 5")  # two keys at once are two keys


def sequences(names: tuple[str, ...]) -> list[str]:
    """All that terminals send for keys."""
    both = {each for name in names for each in ((name, name.upper()) if len(name) == 1 else (name,))}
    return [sent for name in sorted(both) for sent in KEYS.get(name, (name,))]


@posix
@pytest.mark.versions
def test_every_key_of_the_table_goes_on_or_back() -> None:
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


@posix
def test_a_key_held_down_or_cut_in_two_is_as_many_keys_as_were_pressed() -> None:
    with desk("--compare") as person:
        person.press("\x1b[C" * 3, "step 4 of 9")
        person.press("\x1b[D\x1b[D\x1b[6~", "step 3 of 9, 4 have run")
        os.write(person.leader, b"\x1b[")
        time.sleep(0.3)
        person.press("C", "next: id(h1)")
        person.press("\x1bOQ\x1b[[B\x1b[15~" + SPACE, "step 5 of 9")  # function keys are no letters


@posix
@pytest.mark.versions
@pytest.mark.parametrize("key", slow_but(1, ["s", "S"]))
def test_s_goes_on_to_the_end_of_the_part(key: str) -> None:
    with desk("--compare") as person:
        end = person.press(key, "step 5 of 9")
        assert "next: o1 = conv1(input)" in end
        person.press("b" * 4, "step 1 of 9")
        person.press(key, "next: o1 = conv1(input)")  # nothing runs again
        person.press("b" * 2, "step 3 of 9")
        person.press(key * 2, "step 9 of 9")
        assert person.leave(key) == 0
        assert person.left_behind.rstrip().endswith("All 7 claims hold.")


@posix
def test_the_article_s_weights_are_solved_in_one_step_and_o1_is_pictured() -> None:
    with desk("--article", "--inplace") as person:
        assert "next: choose conv1's weights for the article's o1  (8 lines)" in person.screen
        solved = person.press(SPACE, "step 2 of 6")
        assert "conv1.weight is a new tensor." in solved
        o1 = person.press(SPACE, "step 3 of 6")
        assert "\n       -0.1162  0.5905  1.0601\n" in o1
        for number in range(4, 7):
            screen = person.press(SPACE, f"step {number} of 6")
            assert not re.search(r"\b(article|missing|seen|solved)\b", screen)
        assert person.press("b" * 4, "step 2 of 6").split("\n")[1:-3] == solved.split("\n")[1:-3]


@posix
def test_b_looks_back_and_nothing_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    line = "print(open('log', 'a').write('x'))"
    with desk("--inplace", code=session_of("o1 = conv1(input)", line, "h1 = rl1(o1)")) as person:
        now = person.go(4)
        back = person.press("b", "step 3 of 4, 4 have run")
        assert "then: h1 = rl1(o1)" in back
        assert "grad_fn ConvolutionBackward0\n" in person.press("b", "step 2 of 4")
        person.press("b", "step 1 of 4")
        person.press(SPACE + ENTER, "step 3 of 4")
        assert person.press(SPACE, "That was the last step.") == now
        person.press("b" * 12, "step 1 of 4")  # before the first step there is nothing to see
        assert log.read_text() == "x"


@posix
@pytest.mark.versions
@pytest.mark.parametrize(
    ("scenario", "article"), slow_but(1, [("compare", True), *((name, False) for name in SESSIONS)])
)
def test_every_scenario_ends_on_its_own_screen_which_stays(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, scenario: str, article: bool
) -> None:
    options = [*([] if scenario == "session" else [f"--{scenario}"]), *(["--article"] if article else [])]
    session = SESSIONS[scenario](Replay(scenario, 7, article=article))
    with desk(*options, lines=100) as person:
        person.go(len(session.steps))
        assert "That was the last step. Next: all of it on one screen." in person.screen
        assert person.leave(SPACE) == 0
        monkeypatch.setenv("COLUMNS", "80")
        there = [line.rstrip() for line in without_addresses(person.left_behind).splitlines()]
        assert there[-2:] == without_addresses(demo(*options, "--seed", "7").out).splitlines()[-2:]
        assert any(line.startswith("relu-demo ") for line in there)


@posix
def test_a_fault_that_is_explained_is_stepped_through() -> None:
    session = session_for(Explain("data", 7))
    with desk("explain", "data", lines=50) as person:
        assert "step 1 of 9" in person.screen
        assert "w changed: it has other values." in person.go(4)
        assert "w.grad is wrong: 3 of 3 numbers differ" in person.go(5)
        person.go(len(session.steps))
        assert "That was the last step. Next: all of it on one screen." in person.screen
        assert person.leave(SPACE) == 0
        assert "All 3 claims hold." in person.left_behind


@posix
def test_comparing_ends_on_the_table_before_and_after() -> None:
    with desk("--compare") as person:
        person.go(9)
        assert person.leave(ENTER) == 0
        last = person.left_behind.splitlines()[-23:]
        assert any(re.match(r" +o1 before +o1 after, in place +o1 after, not in place", line) for line in last)
        assert last[-1].endswith("All 7 claims hold.")


@posix
def test_branches_take_at_most_25_keys() -> None:
    with desk("--branches") as person:
        keys = 0
        while "That was the last step." not in person.screen:
            person.press(SPACE, partial(person.is_beyond, person.step))
            keys += 1
        assert person.leave(SPACE) == 0
    assert keys + 1 <= 25


@posix
def test_a_step_says_what_is_wrong_and_shows_it_beside_the_correct_numbers(demo: Demo) -> None:
    silent, correct = (
        demo("--branches", "--json", "--seed", "7").document["parts"][key]["moments"]
        for key in ("relu_first_in_place", "relu_first_out_of_place")
    )
    with desk("--branches") as person:
        x = person.go(7)
        assert f"x as conv2 reads it is wrong: {silent['x']['changed']} of 27 numbers differ" in x
        h2 = person.go(8)
        assert "h1 is correct.\nh2 is wrong: 27 of 27 numbers differ, by up to 0.332.\n" in h2
        both = [*correct["h2"]["values"][0][0][0], *silent["h2"]["values"][0][0][0]]
        assert re.search(
            r"^  h2, correct +h2, wrong\n +" + r" +".join(f"{number:.4f}" for number in both), h2, re.MULTILINE
        )
        gradients = " ".join(person.go(9).split())
        for key, name in (("conv1_grad", "conv1.weight.grad"), ("conv2_grad", "conv2.weight.grad")):
            differ = f"{silent[key]['changed']} of 81 numbers differ, by up to {silent[key]['largest']:.4g}."
            assert f"{name} is wrong: {differ}" in gradients
            assert f"{name}, correct {name}, wrong" in gradients
        loud = person.go(13)
        assert loud.count("one of the variables") == 1
        assert "h1 and h2 are correct." in person.go(16)


@posix
@pytest.mark.slow
def test_zero_grad_belongs_to_the_step_that_it_prepares() -> None:
    with desk("--branches") as person:
        assert "conv1.weight.grad, conv1.bias.grad, conv2.weight.grad and conv2.bias.grad are" in person.go(5)
        assert "next: x = conv1(input)" in person.screen
        went = person.go(6)
        assert ">>> conv1.zero_grad(set_to_none=True)\n>>> conv2.zero_grad(set_to_none=True)\n>>> x = conv1" in went
        assert "x is a new tensor." in went
        assert "conv2.bias.grad are\ngone." in went


@posix
@pytest.mark.slow
def test_one_part_alone_is_stepped_through_after_what_it_needs() -> None:
    with desk("--branches", "--part", "relu_first_in_place") as person:
        assert "next: x = conv1(input)" in person.screen
        assert "h2 is wrong: 27 of 27 numbers differ" in person.go(4)
        person.go(5)
        assert person.leave(SPACE) == 0
        assert "relu-demo --branches --seed 7 --part relu_first_in_place" in person.left_behind
        assert "the loud fault" not in person.left_behind


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
@pytest.mark.parametrize("keys", ["q", "Q", CTRL_D])
def test_q_ends(keys: str) -> None:
    with desk() as person:
        person.go(3)
        assert person.leave(keys) == 0
        assert "Ended after 3 of 9 steps." in person.left_behind


@posix
@pytest.mark.versions
@pytest.mark.parametrize("keys", [CTRL_C, "  " + CTRL_C], ids=["alone", "behind others"])
def test_ctrl_c_gives_the_terminal_back(keys: str) -> None:
    with desk() as person:
        person.go(3)
        assert person.leave(keys) == 130
        assert person.left_behind.strip() == ""


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_gives_the_terminal_back(name: str) -> None:
    sent = getattr(signal, name)
    with desk() as person:
        person.go(3)
        person.process.send_signal(sent)
        assert person.leave() == 128 + sent
        assert person.left_behind.strip() == ""


@posix
@pytest.mark.parametrize("end", ["key", "signal"])
def test_a_line_that_is_running_can_be_left(end: str) -> None:
    with desk("--inplace", code=session_of("import time", "time.sleep(100)")) as person:
        person.go(2)
        os.write(person.leader, SPACE.encode())
        person.wait("running", lambda: "running: time.sleep(100)" in person.screen)
        if end == "key":
            time.sleep(0.3)
            assert person.leave(CTRL_C) == 130
        else:
            person.process.send_signal(signal.SIGTERM)
            assert person.leave() == 143
        assert person.left_behind.strip() == ""


@posix
def test_keys_that_are_pressed_while_a_line_runs_do_not_spoil_the_screen() -> None:
    with desk("--inplace", code=session_of("import time", "time.sleep(1)", "o1 = 1")) as person:
        person.go(2)
        os.write(person.leader, SPACE.encode())
        person.wait("running", lambda: "running: time.sleep(1)" in person.screen)
        os.write(person.leader, b"zzzz")
        person.see("step 3 of 4")
        assert "zzzz" not in person.shown


@posix
def test_a_line_that_raises_gives_the_terminal_back_and_is_one_line_on_stderr() -> None:
    with desk("--inplace", code=session_of("o1 = conv1(input)", "o1 @ torch.ones(7)")) as person:
        person.go(2)
        assert person.leave(SPACE) == 2
        assert re.fullmatch(r"relu-demo: PyTorch cannot run 'o1 @ torch.ones\(7\)': .*\n", person.left_behind)


@posix
@pytest.mark.versions
@pytest.mark.parametrize(
    ("columns", "lines"), slow_but(1, [(80, 24), (40, 12), (20, 5), (120, 40), (60, 20), (40, 24), (30, 8)])
)
def test_every_screen_fits(columns: int, lines: int) -> None:
    with desk("--compare", columns=columns, lines=lines) as person:
        for number in range(1, 10):
            screen = person.go(number)
            assert "Space" in screen.split("\n")[-1]
            if number == 4 and columns >= 40:
                assert "o1 was overwritten: 16 of 27 values" in screen
            if columns >= 40:
                assert ">>> " in screen
        places = [(int(row), int(column), STYLE.sub("", text)) for row, column, text in PLACED.findall(person.shown)]
        assert max(row for row, _, _ in places) == lines
        assert {column + len(text) - 1 for _, column, text in places if text} <= set(range(columns + 1))
        assert person.leave("q") == 0, person.left_behind


@posix
def test_a_title_that_is_cut_ends_in_dots() -> None:
    with desk("--branches", columns=40) as person:
        assert re.match(r" ReLU first, not in .*…  step 2 of 24$", person.go(2).split("\n")[0])


@posix
def test_with_large_letters_the_picture_is_there_and_the_numbers_are_cut() -> None:
    with desk(columns=60, lines=18) as person:
        screen = person.go(4)
        assert re.search(r"more lines\no1 ┬▶ tensor \S+ ─▶ storage \S+  \*version 1, 16 zeroed\nh1 ┘\n", screen)
        assert ">>> h1 = rl1(o1)" in screen


@posix
def test_a_large_tensor_is_shown_by_a_corner() -> None:
    with desk("--inplace", "--shape", "2,3,100,100") as person:
        screen = person.go(4)
        assert re.search(r"^o1 was overwritten: \d+ of 57624 values became 0", screen, re.MULTILINE)
        assert re.search(r"^zeros +0 +\d", screen, re.MULTILINE)


@posix
def test_the_screen_follows_the_window() -> None:
    with desk() as person:
        person.go(4)
        seen = len(person.raw)
        person.resize(40, 20)
        person.wait("smaller screen", lambda: b"\x1b[20;1H" in person.raw[seen:])
        narrow = person.see("Space: run  b: back")
        assert "h1 is o1: one object" in narrow
        assert max(map(len, narrow.split("\n"))) <= 40
        assert "next: id(h1)" in person.see("step 4 of 9")
        seen = len(person.raw)
        person.resize(100, 30)
        person.wait("larger screen", lambda: b"\x1b[30;1H" in person.raw[seen:])
        assert "o1 after" in person.see("Space or Enter: run")
        assert "step 4 of 9" in person.press("x", "next: id(h1)")


@posix
def test_a_terminal_that_goes_away_ends_it() -> None:
    with desk() as person:
        os.dup2(os.open(os.devnull, os.O_RDWR), person.leader)  # nobody holds the other side any more
        os.close(person.follower)
        person.follower = os.open(os.devnull, os.O_RDWR)
        assert person.process.wait(PATIENCE) != 0


@posix
def test_without_colours_the_marks_say_it() -> None:
    with desk(NO_COLOR="1") as person:
        screen = person.go(4)
        assert person.leave("q") == 0, person.left_behind
    assert "*ReluBackward0" in screen
    assert not re.search(r"\x1b\[[0-9;]*\b(3|4|9|10)[0-7]m", person.shown)


@posix
def test_a_narrow_character_set_gets_ascii() -> None:
    with desk(PYTHONIOENCODING="ascii") as person:
        person.go(4)
        assert person.leave("q") == 0, person.left_behind
        assert person.shown.isascii()
        assert "\\u" not in person.shown


@pytest.mark.parametrize("closed", ["", "<&-", ">&-", "| cat"])
@posix
def test_without_a_terminal_it_is_a_usage_error(closed: str) -> None:
    shell = f"set -o pipefail; {shlex.join([*PYTHON, *STEP])} {closed}"
    done = subprocess.run(
        ["bash", "-c", shell], env=command_environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(
        r"relu-demo: --step waits for keys on a terminal, and standard input is not one; .*\n", done.stderr
    )


@posix
@pytest.mark.parametrize(
    ("redirected", "reason"), [("> {}", "standard output is not one"), ("< {}", "standard input is not one")]
)
def test_with_half_a_terminal_it_is_a_usage_error(tmp_path: Path, redirected: str, reason: str) -> None:
    import pty

    file = tmp_path / "file"
    file.touch()
    leader, follower = pty.openpty()
    shell = f"{shlex.join([*PYTHON, *STEP])} {redirected.format(file)}"
    done = subprocess.run(
        ["bash", "-c", shell],
        stdin=follower,
        stdout=follower,
        stderr=subprocess.PIPE,
        env=command_environment(TERM="xterm"),
        text=True,
    )
    os.close(leader)
    os.close(follower)
    assert done.returncode == 2
    assert reason in done.stderr
    assert file.read_text() == ""


@posix
def test_a_dumb_terminal_is_a_usage_error() -> None:
    person = Desk(STEP, 80, 24, {"TERM": "dumb"})
    assert person.leave() == 2
    assert "TERM is dumb" in person.shown
    assert "\x1b" not in person.shown


def test_what_is_no_session_has_no_steps(demo: Demo) -> None:
    result = demo("--memory", "--step")
    assert result.code == 2
    assert result.err.startswith("relu-demo: --step does not go with --memory; it goes with ")


@posix
def test_a_name_that_leads_nowhere_any_more_is_told() -> None:
    with desk("--inplace", code=session_of("o1 = conv1(input)", "h1 = rl1(o1)", "del o1")) as person:
        assert "o1 is gone." in person.go(4)


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


def test_a_part_that_is_none_is_told_with_those_that_are(demo: Demo) -> None:
    result = demo("--compare", "--part", "clone")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "relu-demo: Invalid value for '--part': 'clone' is no part of this session; "
        "give one of preparation, in_place, out_of_place\n"
    )
    assert "does not go with --memory" in demo("--memory", "--part", "clone").err


@pytest.mark.parametrize("order", [["--step", "--json"], ["--json", "--step"]], ids=" ".join)
def test_beside_json_it_is_a_usage_error(demo: Demo, order: list[str]) -> None:
    result = demo(*order)
    assert result.code == 2
    assert result.out == ""
    assert result.err == f"relu-demo: {order[0]} and {order[1]} are two views; give one of them\n"


def test_a_usage_error_does_without_torch_and_rich(process: Demo) -> None:
    done = subprocess.run(
        [*COLD, "-X", "importtime", *STEP],
        env=command_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    modules = {
        line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "import time:" in line
    }
    assert done.returncode == 2
    assert not modules & {"torch", "rich"}
