"""Hold `relu_demo.check` against brute force on published networks, and print the tally.

    python scripts/check_zoo.py torchvision timm transformers monai
    python scripts/check_zoo.py torchvision/resnet50 timm/efficientnet_b0
    python scripts/check_zoo.py timm --part 3/16        # the third of sixteen parts, to run them side by side

The packages must be installed beside PyTorch. Of a package that is named alone, one small network of each architecture
is taken. Weights are random. What cannot be built here, or does not run on a small input, is left out and counted.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT), str(ROOT / "tests")]

from _torch import need_torch  # noqa: E402
from _zoo import ZOOS, Shape, chosen  # noqa: E402

need_torch()


def runnable(model: Any, shapes: tuple[Shape, ...], most_seconds: float) -> Any:
    """Return an input on which a network runs forward; None if there is none.

    Raises TimeoutError if that takes longer than `most_seconds`.
    """
    import torch

    for shape in shapes:
        x = torch.randint(50, shape) if len(shape) == 2 else torch.randn(shape)
        begin = time.perf_counter()
        try:
            copy.deepcopy(model)(x)
        except Exception:
            continue
        if time.perf_counter() - begin > most_seconds:
            raise TimeoutError
        return x
    return None


def compared(whole: str, most_seconds: float, tally: Counter[str]) -> list[str]:
    """Compare a network, named `package/name`, as built and in evaluation; return a line for each disagreement."""
    import torch
    from oracle.agree import disagreements_on

    package, _, name = whole.partition("/")
    zoo = ZOOS[package]()
    torch.manual_seed(0)
    try:
        model = zoo.build(name)
    except Exception:
        tally["networks that cannot be built here"] += 1
        return []
    try:
        x = runnable(model, tuple(zoo.shapes(name)), most_seconds)
    except TimeoutError:
        tally["networks that take too long"] += 1
        return []
    if x is None:
        tally["networks that run on no small input"] += 1
        return []
    wrong: list[str] = []
    calls, networks = tally["in-place calls"], tally["networks"]
    for training in (True, False):
        make = partial(copy.deepcopy, (model.train(training), [x]))
        mode = "training" if training else "evaluation"
        try:
            wrong += disagreements_on(f"{whole} in {mode}", make, tally)
        except Exception as error:
            traceback.print_exc()
            wrong.append(f"{whole} in {mode}: the check itself raised {type(error).__name__}: {error}")
    tally["architectures"] += 1
    tally[f"architectures of {package}"] += 1
    tally["architectures that call something in place"] += tally["in-place calls"] > calls
    if tally["networks"] == networks:
        tally["architectures that raise in both modes"] += 1
    return wrong


def main() -> int:
    """Compare, print, and give 1 if anything disagrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"package or package/network, of {', '.join(ZOOS)}")
    parser.add_argument("--seconds", type=float, default=1.0, help="leave out what takes longer for one forward")
    parser.add_argument("--minutes", type=float, default=600.0, help="begin no network after so many")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="take the K-th of N parts of the names")
    options = parser.parse_args()
    unknown = [name for name in options.names if name.partition("/")[0] not in ZOOS]
    if unknown:
        parser.error(f"{unknown[0]!r} is of no package known here; give one of {', '.join(ZOOS)}")
    part = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", options.part)
    if not part or int(part[1]) > int(part[2]):
        parser.error(f"{options.part!r} is no part; give K/N with K from 1 to N, such as 3/16")
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    tally: Counter[str] = Counter()
    wrong: list[str] = []
    begin = time.perf_counter()
    names = [name for given in options.names for name in chosen(given)]
    for name in names[int(part[1]) - 1 :: int(part[2])]:
        if time.perf_counter() - begin > 60 * options.minutes:
            tally["networks not begun in time"] += 1
            continue
        found = compared(name, options.seconds, tally)
        for line in found:
            print(line, flush=True)
        wrong += found
    print(f"torch {torch.__version__}")
    for what, times in sorted(tally.items()):
        print(f"{times:10,}  {what}")
    print(f"{len(wrong):10,}  disagreements")
    print(f"{time.perf_counter() - begin:10.0f}  seconds")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
