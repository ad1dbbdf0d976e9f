"""
Hold `relu_demo.check` against brute force on published networks, and print the tally.

    python scripts/check_zoo.py torchvision timm
    python scripts/check_zoo.py torchvision/resnet50 timm/efficientnet_b0

The packages must be installed beside PyTorch. Of a package that is named alone, one network of each family is taken.
Weights are random. What does not run on a small image is left out, and counted.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT), str(ROOT / "tests")]

from _torch import need_torch  # noqa: E402

need_torch()


@dataclass(frozen=True)
class Zoo:
    """A package of networks: their names, and how one is built."""

    names: Callable[[], list[str]]
    build: Callable[[str], Any]


def _of_torchvision() -> Zoo:
    models = import_module("torchvision.models")
    names = [name for name in models.list_models() if "." not in name and "quantized" not in name]
    return Zoo(lambda: [n for n in names if "rcnn" not in n and "raft" not in n], lambda n: _plain(models.get_model, n))


def _of_timm() -> Zoo:
    timm = import_module("timm")
    return Zoo(timm.list_models, lambda name: timm.create_model(name, pretrained=False))


def _plain(get: Callable[..., Any], name: str) -> Any:
    try:
        return get(name, weights=None, weights_backbone=None)
    except (TypeError, ValueError):
        return get(name, weights=None)


ZOOS = {"torchvision": _of_torchvision, "timm": _of_timm}
SIDES = (64, 96, 128, 224, 256)
"""Heights and widths that are tried, until one runs."""


def family(name: str) -> str:
    """Return the letters that a name begins with: `resnet` of `resnet50`."""
    found = re.match(r"[a-z]+(?:_[a-z]+)?", name)
    return found.group() if found else name


def chosen(given: str) -> Iterator[tuple[str, Zoo, str]]:
    """Yield each network that an argument names: its whole name, its package, its name there."""
    package, _, name = given.partition("/")
    zoo = ZOOS[package]()
    seen: set[str] = set()
    for each in [name] if name else zoo.names():
        if name or family(each) not in seen:
            seen.add(family(each))
            yield f"{package}/{each}", zoo, each


def runnable(model: Any, most_seconds: float) -> Any:
    """Return an image on which a network runs forward and backward in that time; None if there is none."""
    import torch

    for side in SIDES:
        x = torch.randn(2, 3, side, side)
        try:
            begin = time.perf_counter()
            result = copy.deepcopy(model)(x)
            if time.perf_counter() - begin > most_seconds:
                return None
            del result
            return x
        except Exception:
            continue
    return None


def main() -> int:
    """Compare, print, and give 1 if anything disagrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"package or package/network, of {', '.join(ZOOS)}")
    parser.add_argument("--seconds", type=float, default=1.0, help="leave out what takes longer for one forward")
    parser.add_argument("--minutes", type=float, default=600.0, help="begin no network after so many")
    options = parser.parse_args()
    unknown = [name for name in options.names if name.partition("/")[0] not in ZOOS]
    if unknown:
        parser.error(f"{unknown[0]!r} is of no package known here; give one of {', '.join(ZOOS)}")
    warnings.simplefilter("ignore")
    import torch
    from oracle.agree import disagreements_on

    torch.set_num_threads(1)
    tally: Counter[str] = Counter()
    wrong: list[str] = []
    begin = time.perf_counter()
    for whole, zoo, name in (one for given in options.names for one in chosen(given)):
        if time.perf_counter() - begin > 60 * options.minutes:
            break
        torch.manual_seed(0)
        try:
            model = zoo.build(name)
        except Exception:
            tally["networks that cannot be built here"] += 1
            continue
        x = runnable(model, options.seconds)
        if x is None:
            tally["networks that do not run on a small image, or too long"] += 1
            continue
        for mode in ("train", "eval"):
            make = partial(copy.deepcopy, (model.train(mode == "train"), [x]))
            found = disagreements_on(f"{whole} {mode}", make, tally)
            for line in found:
                print(line, flush=True)
            wrong += found
        tally["architectures"] += 1
    print(f"torch {torch.__version__}, {tally['architectures']} architectures compared, as built and in evaluation")
    for what, times in tally.most_common():
        print(f"{times:10,}  {what}")
    print(f"{len(wrong):10,}  disagreements")
    print(f"{time.perf_counter() - begin:10.0f}  seconds")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
