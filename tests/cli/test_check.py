"""`check` as a user meets it: the target, the screen, the JSON, the exit code, and what is said of bad input."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import torch
from support.commands import Demo, Result, held, schema
from support.processes import COLD, ROOT, command_environment
from support.ptys import on_a_terminal, posix
from support.tiers import slow_but

NETWORKS = """
    import sys
    import torch
    from torch import nn

    class PreActivation(nn.Module):
        '''A residual unit whose first ReLU eats the skip.'''

        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.relu = nn.ReLU(inplace=True)
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x):
            x = self.stem(x)
            out = self.conv(self.relu(x))
            return out + x

    class AfterSigmoid(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(16, 16)

        def forward(self, x):
            gate = torch.sigmoid(self.linear(x))
            return nn.functional.relu(gate, inplace=True)

    class Two(nn.Module):
        def forward(self, x, y):
            return torch.relu(x @ y)

    class Chatty(nn.Module):
        def __init__(self):
            super().__init__()
            print("built")
            self.drop = nn.Dropout(0.5, inplace=True)

        def forward(self, x):
            print("ran")
            return self.drop(x * 2)

    class Raises(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            raise ValueError("no backward for you")

    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.relu = nn.Linear(4, 4), nn.ReLU(inplace=True)

        def forward(self, x):
            return Raises.apply(self.relu(self.linear(x)))

    class Embeds(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9, 4)

        def forward(self, x):
            return self.embedding(x)

    class Picks(nn.Module):
        def forward(self, x):
            return torch.ones(5)[x]

    class Needy(nn.Module):
        def forward(self, x):
            raise RuntimeError("no licence")

    class Mute(RuntimeError):
        def __str__(self):
            raise ValueError

    class Mutes(nn.Module):
        def forward(self, x):
            raise Mute

    class Leaves(nn.Module):
        def forward(self, x):
            sys.exit(3)

    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            raise ValueError("no weights here")

    class Stopped(nn.Module):
        def forward(self, x):
            raise KeyboardInterrupt

    def build():
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))

    ready = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    class Vast(nn.Module):
        '''Weights of 400 TB: more than a process can address.'''

        def __init__(self):
            super().__init__()
            self.linear, self.norm = nn.Linear(10**7, 10**7), nn.BatchNorm1d(10**7)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            x = self.norm(self.linear(x))
            return self.relu(x) + x
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with networks, in the current folder."""
    (tmp_path / "nets.py").write_text(textwrap.dedent(NETWORKS))
    (tmp_path / "broken.py").write_text("import torch\ndef (\n")
    monkeypatch.chdir(tmp_path)
    return "nets.py"


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(textwrap.dedent(NETWORKS).splitlines(), 1) if text in line)


def test_the_skip_that_is_eaten_is_the_silent_fault(demo: Demo, nets: str) -> None:
    result = demo("check", f"{nets}:PreActivation", "--shape", "2,3,8,8", "--seed", "1")
    assert (result.code, result.err) == (1, "")
    number, row = line_of("self.conv(self.relu(x))"), next(s for s in result.out.splitlines() if s.startswith("FAULT"))
    assert row == f"FAULT relu (ReLU) nets.py:{number}  out = self.conv(self.relu(x))"
    assert "the network's result is wrong, by up to " in result.out
    assert f"add (nets.py:{line_of('return out + x')})" in result.out
    document = demo("check", f"{nets}:PreActivation", "--shape", "2,3,8,8", "--seed", "1", "--json").document
    (call,) = document["calls"]
    assert call["bytes"] == 2 * 8 * 8 * 8 * 4
    assert [effect["kind"] for effect in call["effects"]] == ["changes-result"]
    assert call["effects"][0]["difference"] > 0.01
    jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
    assert document["advice"]["turn_off"] == [0]
    assert document["as_written"]["backward"] is True


@pytest.mark.parametrize("name", ["build", "ready"])
def test_a_function_and_a_module_will_do_and_what_is_safe_ends_with_0(demo: Demo, nets: str, name: str) -> None:
    result = demo("check", f"{nets}:{name}", "--shape", "3,4")
    assert result.code == 0
    doubled = demo("check", f"{nets}:{name}", "--shape", "3,4", "--dtype", "torch.float64", "--all")
    assert ("\nsafe 1 (ReLU) nets.py:" in doubled.out, doubled.code) == (name == "build", 0)
    assert ("safe" if name == "build" else "no in-place call to test") in " ".join(result.out.split())


@pytest.mark.parametrize(
    ("line", "raised", "says"),
    [
        ("AfterSigmoid --shape 2,17", "RuntimeError: mat1", "Invalid value for '--shape': with 2,17 the network's"),
        ("Breaks", "ValueError: no weights here", "an error in your own code"),
    ],
)
def test_traceback_shows_the_rest_of_the_users_error(demo: Demo, nets: str, line: str, raised: str, says: str) -> None:
    command = ("check", *f"{nets}:{line}".split())
    assert demo(*command).err.endswith("; --traceback shows the rest\n")
    result = demo(*command, "--traceback")
    assert result.code == 2
    assert result.err.startswith("Traceback (most recent call last)")
    assert raised in result.err
    assert result.err.splitlines()[-1].startswith(f"relu-demo: {says}")


@pytest.mark.parametrize(("mode", "bytes"), [("--train", 32), ("--eval", 0)])
def test_the_mode_decides_and_what_the_network_prints_is_kept_off_stdout(
    demo: Demo, nets: str, mode: str, bytes: int
) -> None:
    result = demo("check", f"{nets}:Chatty", "--shape", "2,4", mode, "--json")
    assert [call["bytes"] for call in result.document["calls"]] == [bytes]
    assert "built" in result.err
    assert "ran" in result.err
    assert mode in result.document["command"]


BAD = {
    "": "check takes a network; give for example relu-demo check my_net.py:Net --shape 1,3,8,8",
    "nets.py:build nets.py:ready": "check takes one network, not 2 (nets.py:build nets.py:ready)",
    "net.py:PreActivation": "there is no file net.py; did you mean nets.py",
    "broken.py:Net": "an error in your own code: importing broken.py raised SyntaxError",
    "nets.py:AfterSigmoid --shape 2,17": "'--shape': with 2,17 the network's forward raised RuntimeError: mat1",
    "nets.py:AfterSigmoid": "in this order, for example relu-demo check nets.py:AfterSigmoid --shape 2,16",
    "nets.py:Two --shape 2,3": "the network takes x and y; give one --shape for each",
    "nets.py:Embeds --shape 2,4": "'--shape': the network needs whole numbers, and --shape gives random fractions: the",
    "nets.py:Picks --shape 2": "the network needs whole numbers, and --shape gives",
    "nets.py:Needy --shape 2,4": "an error in your own code: the network's forward raised RuntimeError: no licence",
    "nets.py:Mutes --shape 2,4": "an error in your own code: the network's forward raised Mute",
    "torch.nnn:ReLU": "there is no module 'torch.nnn'; did you mean torch.nn?",
    "nets.py:Stubborn --shape 2,4": "the network's backward raised ValueError: no backward",
    "nets.py:Leaves --shape 2,4": "the network's forward raised SystemExit: 3",
    "nets.py:build --compare": "--compare does not go with check; it goes with relu-demo",
    "nets.py:build --shape 2,4 --device vulkan": "no vulkan on this machine; available here: cpu",
    "nets.py:build --depth 2": "--depth does not go with check; it goes with relu-demo",
    "nets.py:build --shape 2,4 --dtype int64": "int64 is not a floating-point dtype",
}


@pytest.mark.parametrize(("line", "says"), BAD.items(), ids=BAD)
def test_bad_input_is_told_in_one_line(demo: Demo, nets: str, line: str, says: str) -> None:
    result = demo("check", *shlex.split(line))
    held(result.code, result.out, result.err)
    assert says in result.err.replace(str(Path.cwd()) + "/", "")


def test_a_forward_that_is_interrupted_ends_as_ctrl_c_does(demo: Demo, nets: str) -> None:
    assert demo("check", f"{nets}:Stopped", "--shape", "2,4").code == 130


@pytest.mark.slow
def test_on_meta_nothing_is_allocated_neither_weights_nor_input(demo: Demo, nets: str) -> None:
    options = ("check", f"{nets}:Vast", "--shape", "10000000,10000000")
    result = demo(*options, "--device", "meta", "--json")
    assert (result.code, result.err) == (1, "")
    (call,) = result.document["calls"]
    assert call["bytes"] == 4 * 10**14
    assert [(effect["kind"], effect["settled"]) for effect in call["effects"]] == [("changes-result", False)]
    assert result.document["device"] == "meta"
    assert "perhaps the network's result is wrong" in demo(*options, "--device", "meta").out
    assert demo(*options).code == 2


@posix
def test_a_progress_bar_while_suspects_are_settled(nets: str) -> None:
    code, shown, piped = on_a_terminal("check", f"{nets}:PreActivation", "--shape", "2,3,8,8", "--diff", stdout=False)
    assert code == 1
    assert "Checking [" in shown
    assert piped.startswith("---")


@pytest.mark.skipif(torch.__version__ < "2", reason="PyTorch tells from 2.0 on what is registered where")
def test_the_layers_of_a_bare_sequential_have_the_lines_they_were_given_on(demo: Demo, tmp_path: Path) -> None:
    source = """
        from torch import nn
        net = nn.Sequential(
            nn.Linear(4, 4),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5, inplace=True),
        )
        net.add_module("last", nn.Hardtanh(inplace=True))
    """
    (tmp_path / "net.py").write_text(textwrap.dedent(source))
    result = demo("check", f"{tmp_path / 'net.py'}:net", "--shape", "2,4", "--seed", "1", "--json")
    assert result.code == 1
    assert [call["place"]["line"] for call in result.document["calls"]] == [5, 6, 8]
    (effect,) = result.document["calls"][1]["effects"]
    assert [place["line"] for place in effect["by"]] == [5]


PRINTING = """
import os, subprocess, sys, threading, time
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.relu = nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        print("printed")
        print("to the first stream", file=sys.__stdout__)
        os.write(1, b"to the descriptor\\n")
        subprocess.run(["echo", "from a process"], check=True)
        return self.relu(self.fc(x))

def in_a_thread():
    threading.Thread(target=lambda: (time.sleep(0.5), os.write(1, b"late"))).start()
    return Net()

class Closing(Net):
    def forward(self, x):
        sys.stderr.close()
        return super().forward(x)
"""
NEIGHBOURS = ("rich", "html", "colorsys", "shlex", "fractions", "json", "traceback", "difflib")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(PRINTING, encoding="utf-8")
    for name in NEIGHBOURS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemError('{name} was run')", encoding="utf-8")
    return tmp_path


@posix
@pytest.mark.parametrize("name", ["Net", "in_a_thread"])
def test_with_json_standard_output_has_the_document_alone(process: Demo, folder: Path, name: str) -> None:
    done = process("check", f"{folder / 'net.py'}:{name}", "--shape", "2,4", "--json")
    assert done.code == 0
    assert done.document["network"] == "Net"
    assert {"printed", "to the first stream", "to the descriptor", "from a process"} <= {*done.err.splitlines()}


@posix
@pytest.mark.parametrize("view", [["--all"], ["--save", "screen.svg"]])
def test_neighbours_of_the_target_that_nobody_named_are_not_run(process: Demo, folder: Path, view: list[str]) -> None:
    if view[0] == "--save":
        view = ["--save", str(folder / view[1])]
    done = process("check", f"{folder / 'net.py'}:Net", "--shape", "2,4", *view)
    assert done.code == 0, done.err
    assert "was run" not in done.err
    assert ("safe" in done.out) is (view[0] != "--save")


@posix
def test_a_network_that_closes_standard_error_is_told_of_all_the_same(process: Demo, folder: Path) -> None:
    done = process("check", f"{folder / 'net.py'}:Closing", "--shape", "2,4")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("relu-demo: an error in your own code: ")
    assert "I/O operation on closed file" in done.err


@pytest.mark.parametrize("view", [["--all"], ["--quiet"], ["--save", ".svg"], ["--save", ".html"], ["--json"]])
def test_control_characters_in_names_are_shown_escaped(demo: Demo, tmp_path: Path, view: list[str]) -> None:
    (tmp_path / "net.py").write_text(
        textwrap.dedent("""
            import torch
            from torch import nn
            class Skip(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.add_module("re\\x1b[31mlu\\nx", nn.ReLU(inplace=True))
                def forward(self, x):
                    y = x * 1
                    return self.get_submodule("re\\x1b[31mlu\\nx")(y) + y
            Skip.__name__ = "Sk\\x1b]0;ip\\n\\u202e"
        """),
        encoding="utf-8",
    )
    if view[0] == "--save":
        view = ["--save", str(tmp_path / f"screen{view[1]}")]
    result = demo("check", f"{tmp_path / 'net.py'}:Skip", "--shape", "2,4", *view)
    assert result.code == 1
    shown = result.out if view[0] != "--save" else Path(view[1]).read_text(encoding="utf-8")
    assert not {"\x1b", "\u202e"} & {*shown}
    if view[0] in ("--all", "--save"):
        assert r"re\x1b[31mlu\nx" in shown.replace("&#x27;", "'")
    if view[-1].endswith(".svg"):
        ElementTree.fromstring(shown)


ENDING = """
import atexit, multiprocessing, sys, tempfile, threading, time
from torch import nn

def work():
    time.sleep(0.5)
    with open("child.txt", "w") as file:
        file.write("ended")

multiprocessing.get_context("fork").Process(target=work).start()
folder = tempfile.TemporaryDirectory(dir=sys.argv[0] and "folders")
notes = open("notes.txt", "w")
notes.write("in a buffer")
atexit.register(lambda: open("atexit.txt", "w").write("ran"))
threading.Thread(target=lambda: (time.sleep(0.5), open("thread.txt", "w").write("ended"))).start()

class Held:
    def __del__(self, open=open):
        open("deleted.txt", "w").write("freed")

class Net(nn.Module):
    held = Held()
    def forward(self, x):
        return nn.functional.relu(x * 2, inplace=True)
"""


@posix
@pytest.mark.parametrize(
    ("options", "code"), slow_but(0, [(["--shape", "2,4"], 0), (["--shape", "2,4", "--json"], 0), ([], 2)])
)
def test_a_check_ends_as_python_ends(
    cold: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int
) -> None:
    (tmp_path / "net.py").write_text(ENDING)
    (tmp_path / "click.py").write_text("raise SystemError")  # in the current folder, which `python -m` puts first
    (tmp_path / "folders").mkdir()
    monkeypatch.chdir(tmp_path)
    done = cold("check", "net.py:Net", *options)
    assert done.code == code, done.err
    said = {path.name: path.read_text() for path in tmp_path.glob("*.txt")}
    ended = {"thread.txt": "ended", "child.txt": "ended", "deleted.txt": "freed"}
    assert said == {"notes.txt": "in a buffer", "atexit.txt": "ran", **ended}
    assert list((tmp_path / "folders").iterdir()) == []
    assert done.err.count("\n") == (code == 2)


@posix
@pytest.mark.slow
def test_a_reader_that_goes_is_no_fault_at_the_end_either(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\nNet = lambda: nn.Sequential(*[nn.ReLU(True)] * 300)\n")
    shell = f"{shlex.join(COLD)} -m relu_demo check net.py:Net --shape 2,4 --json | head -c 1"
    environment = command_environment(PYTHONPATH=str(ROOT), PATH=os.environ["PATH"])
    done = subprocess.run(
        ["sh", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("{", "")


CURES = """
    import linecache
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            y = self.fc(x)
            {line}
            return z + y
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("z = torch.relu_(y)", "write out of place (tried: all safe with it)"),
        ("z = list(map(torch.relu_, [y]))[0]", "write it out of place"),
        (
            "z = torch.relu_(y); z = list(map(torch.relu_, [y]))[0] + z",
            "write out of place (tried: this fault is gone with it)",
        ),
        (
            "z = y.mul_(2); assert linecache.getline(__file__, 13).strip().startswith('z = y.mul_')",
            "write out of place (tried: it does not help)",
        ),
    ],
)
def test_what_became_of_a_cure_is_said_on_its_line(process: Demo, tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "net.py").write_text(textwrap.dedent(CURES.format(line=line)))
    started_as = {"RELU_DEMO_STARTED_AS": "python 'scripts/run.py'"}
    result = process("check", f"{tmp_path / 'net.py'}:Net", "--shape", "4,4", **started_as)
    said = [line.strip() for line in result.out.splitlines() if line.strip().startswith("cure")]
    assert said[0] == f"cure  {says}"


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no patch")
def test_the_patch_of_all_cures_is_alone_on_standard_output_and_cures(demo: Demo, nets: str) -> None:
    result = demo("check", f"{nets}:AfterSigmoid", "--shape", "2,16", "--diff")
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith("--- nets.py\t\n+++ nets.py\t\n@@")
    subprocess.run(["patch", "-p0"], input=result.out.encode(), check=True, capture_output=True)
    sys.modules.pop("nets", None)
    assert demo("check", f"{nets}:AfterSigmoid", "--shape", "2,16").code == 0
    assert demo("check", f"{nets}:AfterSigmoid", "--shape", "2,16", "--diff") == Result(0, "", "")
