"""Every Python process of a watched program is watched, whoever has started it, and a finding is told once."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
import torch
from support.watched_program import FAULT, IN_A_FUNCTION, Watched, screen_of, watch

pytestmark = pytest.mark.skipif(torch.__version__ < "2.6", reason="watching takes PyTorch 2.6")
BIN = Path(sys.executable).parent


def watched(folder: Path, *program: str, **files: str) -> Watched:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return watch(folder, *program, PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}")


DISTRIBUTED = """
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
net = DistributedDataParallel(torch.nn.Linear(2, 2))
net(torch.ones(2)).sum().backward()
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed")
def test_torchrun_starts_two_processes_and_their_finding_is_told_once(tmp_path: Path) -> None:
    done = watched(tmp_path, "torchrun", "--standalone", "--nproc-per-node", "2", "train.py", train=FAULT + DISTRIBUTED)
    assert done.lines == [(3, 4, 6)]
    assert done.out.count("raised") == 2
    assert done.report["findings"][0]["processes"] == 2
    assert done.report["processes"] == 2
    assert done.report["backwards"] == 4
    assert done.code == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fork", "processes"),
    [
        ("import os\nif os.fork() == 0:\n    fault()\n    os._exit(0)\nos.wait()\nfault()\n", 2),
        ("import os, sys\nfault()\nif os.fork() == 0:\n    sys.exit()\nos.wait()\n", 1),
    ],
    ids=["in both", "before the fork"],
)
def test_a_forked_child_counts_for_itself(tmp_path: Path, fork: str, processes: int) -> None:
    done = watched(tmp_path, "train.py", train=IN_A_FUNCTION + fork)
    assert done.lines == [(4, 5, 7)]
    assert done.report["findings"][0]["processes"] == processes
    assert [done.report[name] for name in ("processes", "backwards", "writes")] == [processes] * 3


SPAWN = """
import torch.multiprocessing as mp
from faulty import fault
def work(rank):
    fault()
if __name__ == "__main__":
    mp.spawn(work, nprocs=2)
"""
LOADER = """
from torch.utils.data import DataLoader, Dataset
from faulty import fault
class Data(Dataset):
    def __len__(self):
        return 2
    def __getitem__(self, at):
        fault()
        return at
if __name__ == "__main__":
    list(DataLoader(Data(), num_workers=2))
"""
POOL = "from concurrent.futures import ThreadPoolExecutor\nimport faulty\nThreadPoolExecutor(1).submit(faulty.fault)\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "processes"),
    [(SPAWN, 2), (LOADER, 2), (f"import torch\n{POOL}", 1)],
    ids=["mp.spawn", "workers of a DataLoader", "a pool of threads"],
)
def test_a_finding_in_processes_and_threads(tmp_path: Path, program: str, processes: int) -> None:
    done = watched(tmp_path, "train.py", train=program, faulty=IN_A_FUNCTION)
    assert done.lines == [(4, 5, 7)]
    assert done.report["findings"][0]["processes"] == processes
    assert done.report["findings"][0]["raised_at"]["file"].startswith("faulty")
    assert done.code == 1


@pytest.mark.slow
def test_pytest_and_its_workers(tmp_path: Path) -> None:
    test = f"{IN_A_FUNCTION}def test_step():\n    fault()\n"
    done = watched(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "test_steps.py", test_steps=test)
    assert "1 passed" in done.out
    assert done.lines == [(4, 5, 7)]
    assert done.code == 1


@pytest.mark.slow
def test_a_notebook_names_the_cell(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in ("1 + 1", FAULT)])
    nbformat.write(notebook, tmp_path / "lesson.ipynb")
    execute = textwrap.dedent("""
        import nbclient, nbformat
        notebook = nbformat.read("lesson.ipynb", 4)
        nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    """)
    (tmp_path / "execute.py").write_text(execute)
    assert "Cell 2, line 6 y.sum().backward()" in screen_of(tmp_path, "execute.py")[1]
