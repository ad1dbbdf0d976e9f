"""What the scripts are: readable by an old Python, pinned, and with no need of anything."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.pythons import other_pythons, version_of

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


STARTED_BY_HAND = sorted(path.name for path in SCRIPTS.glob("*.py") if not path.name.startswith("_"))


@pytest.mark.slow
@pytest.mark.parametrize("script", STARTED_BY_HAND)
def test_a_python_that_is_too_old_gets_one_line_and_exit_code_2(script: str) -> None:
    # Whoever starts the first two may have any Python; the others have annotations, which came with 3.7.
    first = (2, 7) if script in ("run.py", "test.py") else (3, 7)
    older = [python for python in other_pythons() if first <= version_of(python) < (3, 11)]
    if not older:
        pytest.skip("this machine has no Python older than 3.11")
    for python in older:
        result = subprocess.run([python, str(SCRIPTS / script)], capture_output=True, text=True)
        assert (result.returncode, result.stdout) == (2, "")
        assert len(result.stderr.splitlines()) == 1
        assert "needs Python 3.11 or newer" in result.stderr


@pytest.mark.parametrize("name", ["run.py", "test.py", "_python.py"])
def test_what_an_old_python_reads_has_no_syntax_that_it_lacks(name: str) -> None:
    ast.parse((SCRIPTS / name).read_text(encoding="utf-8"), feature_version=(3, 4))


HASHED = ("requirements.txt", "requirements-test.txt", "requirements-lint.txt")
"""PyTorch has builds of its own in each index, and those for CUDA bring what nobody can list here."""


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.name)
def test_every_requirement_is_pinned(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", "")
    hashed = r"( +--hash=sha256:[0-9a-f]{64})" + ("+" if path.name in HASHED else "{0}")
    for line in filter(None, (line.split("#")[0].strip() for line in text.splitlines())):
        assert re.fullmatch(rf"-c constraints\.txt|[a-z0-9-]+==[0-9.]+(post[0-9]+)?(; .+?)?{hashed}", line), line


@pytest.mark.parametrize("name", ["torch", "click", "rich"])
def test_what_the_project_requires_takes_what_is_here(name: str) -> None:
    """Debian's PyTorch is 1.13.0a0+gitunknown, which comes before 1.13 (PEP 440)."""
    project = (SCRIPTS.parent / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = re.findall(r'"([^"]+)"', re.findall(r"^dependencies = \[(.*)\]", project, re.MULTILINE)[0])
    required = {requirement.name: requirement.specifier for requirement in map(Requirement, dependencies)}
    assert required[name].contains(metadata.version(name))
    assert required["torch"].contains("1.13.0a0+gitunknown")


LATER = {"_networks.py", "_zoo.py", "_catalogue.py"}
"""What the benchmarks and check_zoo.py run, when there is an environment, and the build hook in its own."""

STARTING = ["run.py", "test.py", *sorted({path.name for path in SCRIPTS.glob("_*.py")} - LATER)]
"""The scripts that run before there is an environment."""


@pytest.mark.parametrize("name", STARTING)
def test_the_scripts_need_only_the_standard_library(name: str) -> None:
    siblings = {path.stem for path in SCRIPTS.glob("*.py")}
    imported: set[str] = set()
    for node in ast.walk(ast.parse((SCRIPTS / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported
    assert imported <= {*sys.stdlib_module_names, *siblings}
