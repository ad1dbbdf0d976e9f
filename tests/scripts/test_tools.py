"""The scripts for who has the packages, the room or the time: other versions, published networks, random programs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import ROOT, command_environment


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
    return subprocess.run(command, env={**command_environment(), **environment}, capture_output=True, text=True)


def test_versions_names_a_python_that_is_not_here() -> None:
    done = run("versions.py", "torch==2.4.1", "--python", "3.99")
    assert done.returncode == 2
    assert "there is no Python 3.99 here; give one that is, such as --python 3." in done.stderr


@pytest.mark.slow
def test_the_watch_is_held_to_pytorch_itself() -> None:
    done = run("check_oracle.py", "--watch", "--count", "20")
    assert re.search(r"^ +20  programs$", done.stdout, re.MULTILINE), done
    assert re.search(r"^ +20  loops$", done.stdout, re.MULTILINE)
    assert re.search(r"^ +0  disagreements$", done.stdout, re.MULTILINE)
    assert done.returncode == 0


TIMM = """
import torch
from torch import nn

MODELS = {"resnets": ["resnet_tiny"], "faulty": ["faulty_small", "faulty_base"], "strange": ["needs_weights"]}

class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.conv(x)) + x

class Faulty(Residual):
    def forward(self, x):
        y = self.conv(x).sigmoid()
        return self.act(y) + y

def list_modules():
    return list(MODELS)

def list_models(module):
    return MODELS[module]

def create_model(name, pretrained):
    if name == "needs_weights":
        raise OSError("no weights here")
    return Faulty() if "faulty" in name else Residual()
"""


@pytest.mark.slow
def test_the_zoo_compares_one_network_of_each_architecture(tmp_path: Path) -> None:
    (tmp_path / "timm.py").write_text(TIMM)
    done = run("check_zoo.py", "timm", PYTHONPATH=f"{tmp_path}:{command_environment()['PYTHONPATH']}")
    assert done.returncode == 0, done
    said = {what: int(times) for times, what in re.findall(r"^ +(\d+)  +(\S.*)$", done.stdout, re.MULTILINE)}
    assert said["architectures of timm"] == 2
    assert said["networks"] == 4  # in training and in evaluation
    assert said["networks that cannot be built here"] == 1
    assert said["in-place calls"] == 4
    assert said["safe"] == 2
    assert said["disagreements"] == 0


def test_the_zoo_names_the_packages_that_it_knows() -> None:
    done = run("check_zoo.py", "torchhub/resnet50")
    assert done.returncode == 2
    assert "'torchhub/resnet50' is of no package known here; give one of " in done.stderr
