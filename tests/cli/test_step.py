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
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from support.commands import Demo
from support.processes import COLD, PYTHON, command_environment
from support.tiers import slow_but

from relu_demo.machine.keys import KEYS
from relu_demo.request import Replay
from relu_demo.session.sessions import SESSIONS
from relu_demo.views.keys import ACTIONS, BINDINGS, Action

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

    def go(self, lines: int, of: int = 21) -> str:
        """Goes on until so many lines have run, a key for each step. Gives the screen."""
        while (ran := self.ran(of)) < lines:
            self.press(SPACE, partial(self.is_beyond, ran, of))
        assert ran == lines
        return self.screen

    def is_beyond(self, ran: int, of: int, screen: str) -> bool:
        """Whether the screen is that after more lines."""
        return self.ran(of) > ran

    def ran(self, of: int) -> int:
        """After how many lines the screen is, that of the verdicts after one more."""
        found = re.search(rf"(\d+) of {of}\b", self.screen)
        return int(found[1]) if found else of + 1

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
    """A desk with `relu-demo --step --seed 7` and these options on it, or with that after some Python `code`."""
    arguments = [*STEP, *options]
    if code:
        run = "from relu_demo.__main__ import main; main()"
        arguments = ["-c", f"{code}; import sys; sys.argv[1:] = {[*STEP[2:], *options]}; {run}"]
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
def test_a_key_runs_a_line_and_what_it_changed_is_marked() -> None:
    with desk() as person:
        assert "7 of 21 lines have run" in person.screen
        assert ">>>" not in person.screen  # what a prompt stands before is shown with what it printed
        made = person.go(8)
        assert re.search(r"^\*o1 +\d+ +0x\w+ +0 +ConvolutionBackward0 +16$", made, re.MULTILINE)
        assert re.search(r"^ input +\d+ ", made, re.MULTILINE)
        assert re.search(r"^>>> o1 = conv1\(input\)\n\nnext: id\(o1\)$", made, re.MULTILINE)
        printed = person.go(10)
        assert "\n*" not in printed  # to print a tensor changes nothing
        assert "grad_fn=<ConvolutionBackward0>)" in printed
        assert "next: h1 = rl1(o1)  # in place" in printed
        changed = person.go(11)
        assert re.search(r"^ o1 +(\d+) +0x\w+ +\*1 +\*ReluBackward0 +\*0\n\*h1 is o1 +the same ", changed, re.MULTILINE)
        assert "o1 was overwritten: 16 of 27 values became 0, version 1, grad_fn ReluBackward0.\n" in changed
        assert "h1 is o1: one object, two names.\n" in changed
        assert "o1: 16 of 27 below 0, now 0  (* zeroed)" in changed
        assert changed.count("*0.0000") == 16
        again = person.go(15)  # o1 = conv1(input), in the second half
        assert re.search(r"^ o1 +\*\d+ +\*0x\w+ +\*0 +\*ConvolutionBackward0 +\*16\n\*h1 +\d+ ", again, re.MULTILINE)
        assert person.leave("q") == 0, person.left_behind
        assert person.left_behind == (
            re.search(r"nn.ReLU.*\n", person.left_behind)[0]  # type: ignore[index]
            + "relu-demo --seed 7 --step\nEnded after 15 of 21 lines.\n"
        )


@posix
def test_a_line_does_not_run_before_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the screen has the same lines wherever that is
    mark = tmp_path / "ran"
    with desk("--inplace", code=session_of("o1 = 1", "open('ran', 'w').close()", "o1")) as person:
        person.go(8, of=10)
        assert "next: open('ran'" in person.screen
        time.sleep(0.3)
        assert not mark.exists()
        person.go(9, of=10)
        assert mark.exists()


@posix
def test_an_id_is_not_known_before_the_line_that_makes_the_object() -> None:
    with desk("--no-inplace") as person:
        person.go(10, of=14)
        seen_before = person.shown
        screen = person.go(12, of=14)
        (o1,) = re.findall(r"^ o1 +(\d+) ", screen, re.MULTILINE)
        (h1,) = re.findall(r">>> id\(h1\) +# the id of o1\?\n(\d+)\n", screen)
        assert "\n h1     printed below " in screen
        assert "The id below belongs to h1 alone." in screen
        assert o1 != h1
        assert o1 in seen_before
        assert h1 not in seen_before


@posix
def test_enter_goes_on_like_space_and_other_keys_do_nothing() -> None:
    with desk("--inplace") as person:
        person.press(ENTER, " 8 of 14")
        person.press("x\x1b[1;5H" + ENTER, " 9 of 14")
        assert ">>> id(o1)" in person.screen
        person.press("  ", " 11 of 14")  # two keys at once are two keys


def sequences(action: Action) -> list[str]:
    """All that terminals send for the keys of an action."""
    names = [key for key, does in ACTIONS.items() if does is action]
    return [sent for name in names for sent in KEYS.get(name, (name,))]


@posix
@pytest.mark.versions
def test_every_key_of_the_table_goes_on_or_back() -> None:
    on, back = sequences(Action.ON), sequences(Action.BACK)
    assert {"\x1b[C", "\x1bOB", "\x1b[6~", "n", " ", "\r", "\xe0M"} <= set(on)
    assert {"\x1bOD", "\x1b[A", "\x1b[5~", "b", "\xe0K"} <= set(back)
    with desk("--inplace") as person:
        for forward in on:
            person.press(forward, "8 of 14 lines have run" if forward == on[0] else "8 of 14")
            person.press(back[0], "line 7 of 14, 8 have run")
        for backward in back:
            person.press(on[0], "8 of 14 lines have run")
            person.press(backward, "line 7 of 14, 8 have run")


@posix
def test_a_key_held_down_or_cut_in_two_is_as_many_keys_as_were_pressed() -> None:
    with desk("--inplace") as person:
        person.press("\x1b[C" * 3, " 10 of 14")
        person.press("\x1b[D\x1b[D\x1b[6~", "line 9 of 14")
        os.write(person.leader, b"\x1b[")
        time.sleep(0.3)
        person.press("C", " 10 of 14 lines have run")
        person.press("\x1bOQ\x1b[[B\x1b[15~" + SPACE, " 11 of 14")  # function keys are no letters


@posix
@pytest.mark.versions
@pytest.mark.parametrize("key", ["s", "S"])
def test_s_goes_on_to_the_end_of_the_part(key: str) -> None:
    with desk("--compare") as person:
        end = person.press(key, " 14 of 21 lines have run")
        assert end.startswith(" In place ")
        assert "next: o1 = conv1(input)" in end
        person.press("b" * 7, "line 7 of 21")
        person.press(key, " 14 of 21 lines have run")  # nothing runs again
        person.press("b" * 3, "line 11 of 21")
        person.press(key * 2, " 21 of 21 lines have run")
        person.press(key, "all 21 lines have run")
        assert person.leave("q") == 0, person.left_behind


@posix
@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (60, 20), (40, 24)])
def test_the_keys_are_listed_and_any_key_leads_back(columns: int, lines: int) -> None:
    with desk("--inplace", columns=columns, lines=lines) as person:
        before = person.press(SPACE, "8 of 14")
        assert "?: keys" in before
        listed = person.press("?", "any key: back")
        for binding in BINDINGS:
            for name in binding.keys:
                assert re.search(rf"(?:^|[ ,]){re.escape(name)}(?:$|[ ,])", listed, re.MULTILINE), name
            assert binding.action.value.split()[-1] in listed
        assert person.press("x", "next: ") == before
        person.press("?", "any key: back")
        assert person.press(SPACE, "next: ") == before
        person.press("?", "any key: back")
        person.resize(columns + 10, lines)
        assert person.leave("q") == 0, person.left_behind


@posix
def test_the_article_s_weights_are_solved_in_one_step_and_o1_is_pictured() -> None:
    with desk("--article", "--inplace") as person:
        assert "next: choose conv1's weights for the article's o1  (8 lines)" in person.screen
        solved = person.press(SPACE, " 15 of 22 lines have run")
        assert "conv1.weight is a new tensor." in solved
        assert "below 0" not in solved
        o1 = person.press(SPACE, " 16 of 22")
        assert "o1: 13 of 27 below 0\n-0.1162  0.5905  1.0601 " in o1
        for number in range(17, 23):
            screen = person.press(SPACE, f" {number} of 22")
            assert not re.search(r"^[ *](article|missing|seen|solved)\b", screen, re.MULTILINE)
            assert not re.search(r"^(article|missing|seen|solved|conv1.weight): ", screen, re.MULTILINE)
        assert person.press("b" * 7, "line 15 of 22").split("\n")[1:-3] == solved.split("\n")[1:-3]


@posix
@pytest.mark.versions
@pytest.mark.parametrize("scenario", slow_but(1, ["--compare", "--branches", "--article"]))
def test_no_screen_has_an_address_twice(scenario: str) -> None:
    lines = {"--compare": 21, "--branches": 63, "--article": 29}[scenario]
    with desk(scenario) as person:
        while person.ran(lines) < lines:
            addresses = re.findall(r"\b(?:0x[0-9a-f]{6,}|\d{9,})\b", person.screen)
            assert addresses
            assert len(set(addresses)) == len(addresses), person.screen
            person.go(min(number for number in stops(scenario) if number > person.ran(lines)), of=lines)


def stops(scenario: str) -> list[int]:
    """After how many lines each step of a scenario ends."""
    name = "session" if scenario == "--article" else scenario[2:]
    session = SESSIONS[name](Replay(name, 7, article=scenario == "--article"))
    return [*accumulate(map(len, session.steps))]


@posix
def test_b_looks_back_and_nothing_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    line = "print(open('log', 'a').write('x'))"
    with desk("--inplace", code=session_of("o1 = conv1(input)", line, "h1 = rl1(o1)")) as person:
        person.go(10, of=10)
        now = person.screen
        back = person.press("b", "line 9 of 10, 10 have run")
        assert "then: h1 = rl1(o1)" in back
        assert re.search(r"^ o1 .* 0 +ConvolutionBackward0 ", back, re.MULTILINE)
        person.press("bb", "line 7 of 10")
        person.press(SPACE + ENTER, "line 9 of 10")
        assert person.press(SPACE, "10 of 10 lines have run") == now
        person.press("b" * 12, "line 7 of 10")  # before the first step there is nothing to see
        assert log.read_text() == "x"


@posix
@pytest.mark.versions
@pytest.mark.parametrize(
    ("scenario", "article"), slow_but(2, [("inplace", True), *((name, False) for name in SESSIONS)])
)
def test_every_scenario_ends_with_the_verdicts_and_leaves_them_behind(scenario: str, article: bool) -> None:
    options = [] if scenario == "session" else [f"--{scenario}"]
    lines = sum(len(part.lines) for part in SESSIONS[scenario](Replay(scenario, 7, article=article)).parts)
    after = ["--article"] if article else []
    with desk(*options, *after) as person:
        person.go(lines, of=lines)
        assert "That was the last line." in person.screen
        verdicts = person.press(SPACE, f"all {lines} lines have run")
        assert verdicts.count("  holds  ") == {"inplace": 3, "no-inplace": 3}.get(
            scenario, 11 if scenario == "branches" else 7
        )
        person.press("b", f"{lines} of {lines} lines have run")
        person.press(SPACE, f"all {lines} lines have run")
        assert person.leave("x") == 0
        assert person.left_behind.count("  holds  ") == verdicts.count("  holds  ")
        again = re.escape(f"relu-demo {' '.join([*options, '--seed 7', *after])} --step")
        assert re.search(rf"^{again}(  \(relu-demo .*\))?$", person.left_behind, re.MULTILINE)


@posix
def test_the_exit_code_is_that_of_the_claims_once_all_has_run() -> None:
    lines = [("o1 = conv1(input)", ""), ("o1", "o1_before"), ("h1 = rl2(o1)", ""), ("o1", "o1_after"), ("h1", "h1")]
    code = (
        "from relu_demo.session.article import ARTICLE; "
        "from relu_demo.session.lines import MOMENTS, Line, Moment, Part; "
        "ARTICLE['inplace'] = ('Wrong', (Part('in_place', 'In place', "
        f"tuple(Line(l, '', Moment(m, m, '') if m else None) for l, m in {lines})),), MOMENTS)"
    )
    with desk("--inplace", code=code) as person:
        person.go(11, of=12)
        assert person.leave("q") == 0, person.left_behind
    with desk("--inplace", code=code) as person:
        person.go(12, of=12)
        person.press(SPACE, "does not hold")
        assert person.leave("q") == 1
        assert "does not hold" in person.left_behind


@posix
@pytest.mark.parametrize("keys", ["q", "Q", CTRL_D])
def test_q_ends(keys: str) -> None:
    with desk() as person:
        person.go(9)
        assert person.leave(keys) == 0
        assert "Ended after 9 of 21 lines." in person.left_behind


@posix
@pytest.mark.versions
@pytest.mark.parametrize("keys", [CTRL_C, "  " + CTRL_C], ids=["alone", "behind others"])
def test_ctrl_c_gives_the_terminal_back(keys: str) -> None:
    with desk() as person:
        person.go(9)
        assert person.leave(keys) == 130
        assert person.left_behind.strip() == ""


@posix
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_gives_the_terminal_back(sent: signal.Signals, code: int) -> None:
    with desk() as person:
        person.go(9)
        person.process.send_signal(sent)
        assert person.leave() == code
        assert person.left_behind.strip() == ""


@posix
@pytest.mark.parametrize("end", ["key", "signal"])
def test_a_line_that_is_running_can_be_left(end: str) -> None:
    with desk("--inplace", code=session_of("import time", "time.sleep(100)")) as person:
        person.go(8, of=9)
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
        person.go(8, of=10)
        os.write(person.leader, SPACE.encode())
        person.wait("running", lambda: "running: time.sleep(1)" in person.screen)
        os.write(person.leader, b"zzzz")
        person.see(" 9 of 10")
        assert "zzzz" not in person.shown


@posix
def test_a_line_that_raises_gives_the_terminal_back_and_is_one_line_on_stderr() -> None:
    with desk("--inplace", code=session_of("o1 = conv1(input)", "o1 @ torch.ones(7)")) as person:
        person.go(8, of=9)
        assert person.leave(SPACE) == 2
        assert re.fullmatch(r"relu-demo: PyTorch cannot run 'o1 @ torch.ones\(7\)': .*\n", person.left_behind)


@posix
@pytest.mark.versions
@pytest.mark.parametrize(
    ("columns", "lines"), slow_but(3, [(80, 24), (40, 12), (20, 5), (120, 40), (60, 20), (40, 24), (30, 8)])
)
def test_every_screen_fits(columns: int, lines: int) -> None:
    with desk("--compare", columns=columns, lines=lines) as person:
        for number in range(7, 22):
            screen = person.press(SPACE, f" {number} of 21") if number > 7 else person.screen
            assert "of 21" in screen.split("\n")[0]
            assert "Space" in screen.split("\n")[-1]
            if number == 11 and lines >= 12:
                assert re.search(r"\*ReluBackward0", screen)
                assert "*h1 is o1" in screen
            if columns >= 40 and number > 7:
                assert ">>> " in screen
        person.press(SPACE, "all" if columns < 30 else "holds")
        places = [(int(row), int(column), STYLE.sub("", text)) for row, column, text in PLACED.findall(person.shown)]
        assert max(row for row, _, _ in places) == lines
        assert {column + len(text) - 1 for _, column, text in places if text} <= set(range(columns + 1))
        assert person.leave("q") == 0, person.left_behind


@posix
def test_a_large_tensor_is_shown_by_a_corner() -> None:
    with desk("--inplace", "--shape", "2,3,100,100") as person:
        screen = person.go(11, of=14)
        assert re.search(r"^o1: \d+ of 57624 below 0, now 0", screen, re.MULTILINE)
        assert "*0.0000" in screen
        assert "\n ..." in screen


@posix
def test_the_screen_follows_the_window() -> None:
    with desk() as person:
        person.go(11)
        seen = len(person.raw)
        person.resize(40, 20)
        person.wait("smaller screen", lambda: b"\x1b[20;1H" in person.raw[seen:])
        narrow = person.see("Space: run  b: back  q: end")
        assert "*h1 is o1" in narrow
        assert max(map(len, narrow.split("\n"))) <= 40
        assert "next: id(h1)" in person.see("11 of 21")
        seen = len(person.raw)
        person.resize(100, 30)
        person.wait("larger screen", lambda: b"\x1b[30;1H" in person.raw[seen:])
        assert "shape" in person.see("Space or Enter: run")
        assert "11 of 21 lines have run" in person.press("x", "next: id(h1)")


@posix
def test_without_colours_the_marks_say_it() -> None:
    with desk(NO_COLOR="1") as person:
        screen = person.go(11)
        assert person.leave("q") == 0, person.left_behind
    assert "*ReluBackward0" in screen
    assert not re.search(r"\x1b\[[0-9;]*\b(3|4|9|10)[0-7]m", person.shown)


@posix
def test_a_narrow_character_set_gets_ascii() -> None:
    with desk(PYTHONIOENCODING="ascii") as person:
        person.go(11)
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
def test_a_name_that_leads_nowhere_any_more_is_marked() -> None:
    with desk("--inplace", code=session_of("o1 = conv1(input)", "h1 = rl1(o1)", "del o1")) as person:
        screen = person.go(10, of=10)
        assert re.search(r"^\*o1 +gone\n\*h1 +\d+ ", screen, re.MULTILINE)


@posix
def test_the_gradients_of_a_layer_are_shown_when_they_come_and_when_they_go() -> None:
    with desk("--branches") as person:
        came = person.go(15, of=63)
        assert re.search(r"^\*conv1.weight.grad +\d+ ", came, re.MULTILINE)
        assert "conv1.weight.grad" not in person.go(17, of=63).partition(">>>")[0]
        went = person.go(18, of=63)
        assert re.search(r"^\*conv1.weight.grad +gone$", went, re.MULTILINE)
        assert "conv1.weight.grad and conv1.bias.grad are gone." in went


@posix
@pytest.mark.slow
def test_what_a_line_raises_where_it_may_is_shown_once() -> None:
    with desk("--branches") as person:
        screen = person.go(37, of=63)
        assert screen.count("Traceback (most recent call last):\n  ...\nRuntimeError: one of the variables") == 1
        assert screen.count("one of the variables") == 1
        assert "next: conv1.zero_grad(set_to_none=True)" in screen
        assert "next: with torch.no_grad(): x" in person.go(57, of=63)


@pytest.mark.parametrize("order", [["--step", "--json"], ["--json", "--step"]], ids=" ".join)
def test_beside_json_it_is_a_usage_error(demo: Demo, order: list[str]) -> None:
    result = demo(*order)
    assert result.code == 2
    assert result.out == ""
    assert result.err == f"relu-demo: {order[0]} and {order[1]} are two views; give one of them\n"


def test_with_save_it_is_a_usage_error(demo: Demo) -> None:
    result = demo("--step", "--save", "screen.svg")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("relu-demo: --step ")


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
