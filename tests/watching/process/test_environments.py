"""The watch runs in the user's own Python, whatever that has installed; where it cannot, that is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest
import torch
from support.processes import ROOT
from support.ptys import posix
from support.watched_program import FAULT, plainly, screen_of, watch, watch_in

pytestmark = [posix, pytest.mark.skipif(torch.__version__ < "2.6", reason="watching takes PyTorch 2.6")]

BARE = ("click", "rich", "relu_demo")
LOOKS = """
import importlib.util, sys
print(*[name for name in ("click", "rich", "relu_demo") if importlib.util.find_spec(name)])
"""


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment that has torch and what that needs, and neither click nor rich nor relu_demo."""
    folder = tmp_path_factory.mktemp("bare") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    ours = Path(torch.__file__).parents[1]
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip())
    for entry in ours.iterdir():
        if not entry.name.startswith((*BARE, "_relu_demo")) and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    return str(python)


@pytest.mark.slow
def test_the_users_python_needs_neither_click_nor_rich(tmp_path: Path, bare_python: str) -> None:
    (tmp_path / "train.py").write_text(FAULT + LOOKS)
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from relu_demo.__main__ import main; main()"
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), "watch", "--save", str(report), bare_python, "train.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    assert (done.returncode, done.stdout) == (1, "raised\n\n")
    assert '"line": 6' in report.read_text()


@pytest.mark.slow
def test_an_empty_environment(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"{FAULT}import os\nprint(*sorted(os.environ))\n")
    done = watch_in({"PYTHONPATH": str(ROOT)}, tmp_path, "train.py")
    assert done.lines == [(3, 4, 6)]
    assert {*done.out.split()} <= {"raised", "PYTHONPATH", "RELU_DEMO_WATCH", "LC_CTYPE"} | {*_set_by_torch()}


def _set_by_torch() -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", "import torch, os; print(*os.environ)"], env={}, capture_output=True, text=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("program", "own", "code"),
    [
        pytest.param([sys.executable, "-I", "-c", "import torch"], 0, 3, id="isolated", marks=pytest.mark.slow),
        pytest.param([sys.executable, "-I", "-c", "raise SystemExit(7)"], 7, 7, id="with a code of its own"),
        pytest.param([sys.executable, "-S", "-c", ""], 0, 3, id="without site"),
        pytest.param(["true"], 0, 3, id="no Python"),
    ],
)
def test_where_nothing_could_be_watched_the_exit_code_is_3_or_the_programs_own(
    tmp_path: Path, program: list[str], own: int, code: int
) -> None:
    done = watch(tmp_path, *program)
    assert (done.code, done.report["processes"], done.report["findings"]) == (code, 0, [])
    assert done.report["exit_code"] == own


@pytest.mark.parametrize("before", ["", pytest.param("import torch\n", marks=pytest.mark.slow)])
def test_a_module_that_our_python_does_not_have_is_named(tmp_path: Path, before: str) -> None:
    (tmp_path / "train.py").write_text(f"{before}import nowhere_at_all.models\n")
    code, told = screen_of(tmp_path)
    assert code == 1
    assert f"nowhere_at_all is not installed in the Python that ran, {sys.executable};" in told
    assert "give relu-demo watch python SCRIPT" in told


def test_a_module_that_a_program_does_without_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("try:\n    import nowhere_at_all\nexcept ImportError:\n    pass\n")
    code, told = screen_of(tmp_path)
    assert (code, "nowhere_at_all" in told) == (3, False)


@pytest.mark.slow
def test_a_library_may_ask_for_torch_before_it_imports_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"import importlib.util\nimportlib.util.find_spec('torch')\n{FAULT}")
    assert watch(tmp_path, "train.py").lines == [(5, 6, 8)]


@pytest.mark.slow
def test_the_users_own_sitecustomize_is_run(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import sys\nsys.own = __file__\n")
    (tmp_path / "train.py").write_text(f"{FAULT}import sys\nprint(sys.own, sys.modules['sitecustomize'].__file__)\n")
    done = watch(tmp_path, "train.py", PYTHONPATH=os.pathsep.join([str(tmp_path / "own"), str(ROOT)]))
    own = tmp_path / "own" / "sitecustomize.py"
    assert done.out == f"raised\n{own} {own}\n"
    assert done.lines == [(3, 4, 6)]


STATE = textwrap.dedent("""
    import torch
    import json, os, sys
    print(json.dumps([
        sorted(name for name in sys.modules),
        sys.path,
        [type(finder).__name__ + getattr(finder, "__name__", "") for finder in sys.meta_path],
        {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RELU_DEMO_WATCH")},
    ]))
""")


@pytest.mark.slow
def test_nothing_of_ours_is_seen_in_the_program(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(STATE)
    modules, *plain = json.loads(plainly(tmp_path, "train.py", LINES="0").stdout)
    watched_modules, *watched = json.loads(watch(tmp_path, "train.py", LINES="0").out)
    assert watched == plain
    of_python = sys.stdlib_module_names | {sysconfig._get_sysconfigdata_name()}  # type: ignore[attr-defined]
    assert {name.split(".")[0] for name in {*watched_modules} - {*modules}} <= of_python
    assert {*modules} <= {*watched_modules}
