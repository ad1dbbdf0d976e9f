"""Run the tests on another set of versions, in an environment of its own that is removed afterwards.

    python scripts/versions.py torch==2.4.1 --python 3.12
    python scripts/versions.py torch==2.1.2 click==8.1.3 "numpy<2" --python 3.11 -- tests/network -x

What stands behind `--` goes to pytest. Nothing in the project's folder is touched: a copy of it is tested. PyTorch from
PyPI brings CUDA on Linux, of several gigabytes; `PIP_INDEX_URL` can name an index of CPU builds.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import _python  # noqa: F401 - ends here where Python is too old

ROOT = Path(__file__).resolve().parents[1]
COPIED = (".ci", ".pictures", "README.md", "pyproject.toml", "relu_demo", "scripts", "tests")
INSIDE = ("bin/python", "Scripts/python.exe")
ASKED = "import sys; print(*sys.version_info[:2], sep='.')"


def python_of(version: str) -> str:
    """Return the command of a Python: of a version such as 3.12, or of a path.

    Raises LookupError if there is none.
    """
    own = ".".join(map(str, sys.version_info[:2]))
    if version == own:
        return sys.executable
    is_path = any(sign in version for sign in "/\\")
    candidates = [shutil.which(version if is_path else f"python{version}")]
    if not is_path:
        candidates += map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in filter(None, candidates):
        told = subprocess.run([candidate, "-c", ASKED], capture_output=True, text=True)
        if told.returncode == 0 and (is_path or told.stdout.strip() == version):
            return candidate
    raise LookupError(f"there is no Python {version} here; give one that is, such as --python {own}, or its path")


def what_tests_need() -> list[str]:
    """Return the packages that the tests import, without their versions: the first block of their requirements."""
    block = (ROOT / "scripts/requirements-test.txt").read_text(encoding="utf-8").partition("\n\n")[0]
    return [line.partition("==")[0] for line in block.splitlines() if line[:1].isalpha()]


def tested(python: str, requirements: Sequence[str], arguments: Sequence[str]) -> int:
    """Make the environment, run the tests in a copy of the project, and return pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="relu-demo-versions-") as folder:
        copy, environment = Path(folder, "project"), Path(folder, "environment")
        for name in COPIED:
            if Path(ROOT, name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, copy / name)
        subprocess.run([python, "-m", "venv", str(environment)], check=True)
        inside = next(str(path) for path in map(environment.joinpath, INSIDE) if path.exists())
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # All at once: what the tests need must not bring another version of what was asked for.
        subprocess.run([*pip, *requirements, *what_tests_need(), "--editable", str(copy)], check=True)
        subprocess.run([inside, "-m", "pip", "freeze", "--disable-pip-version-check"], check=True)
        return subprocess.run([inside, "-m", "pytest", *arguments], cwd=copy).returncode


def main() -> int:
    """Run the tests on what is asked for, and return pytest's exit code; 2 where that cannot be installed."""
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requirements", nargs="+", metavar="NAME==VERSION", help="what to install, as pip takes it")
    parser.add_argument("--python", default=".".join(map(str, sys.version_info[:2])), help="its version or path")
    options = parser.parse_args(words[:at])
    try:
        return tested(python_of(options.python), options.requirements, words[at + 1 :])
    except LookupError as error:
        parser.error(str(error))
    except subprocess.CalledProcessError as error:
        print(f"versions.py: {' '.join(map(str, error.cmd[1:4]))} failed, as is said above", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
