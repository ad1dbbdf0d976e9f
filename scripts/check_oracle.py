"""Hold `relu_demo.check` to brute force on random networks, and print the tally.

With `--watch` hold `relu_demo.watch` to PyTorch itself: on random programs, and on as many random training loops.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main() -> int:
    """Compares, prints, and gives 1 if anything disagrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--count", type=int, default=20_000, help="number of networks to compare")
    parser.add_argument("--watch", action="store_true", help="hold the watch to PyTorch, not the check")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch
    from oracle.agree import disagreements
    from oracle.loops import loop_disagreements
    from oracle.watched import watch_disagreements

    def watched(seed: int, tally: Counter[str]) -> list[str]:
        return watch_disagreements(seed, tally) + loop_disagreements(seed, Path(folder.name), tally)

    folder = tempfile.TemporaryDirectory()
    compare, what = (watched, "programs") if options.watch else (disagreements, "networks")
    torch.set_num_threads(1)
    tally: Counter[str] = Counter()
    wrong: list[str] = []
    start = time.perf_counter()
    # Some seeds give a network that raises, whatever its switches: there is nothing to compare. More than half do not.
    for seed in range(options.first, options.first + 2 * options.count + 10):
        before = tally[what]
        if seed % 100 == 0:
            gc.freeze()  # the check collects garbage, and what PyTorch imports, some of it late, is none
        try:
            found = compare(seed, tally)
        except Exception as error:
            traceback.print_exc()
            found = [f"seed {seed}: the check itself raised {type(error).__name__}: {error}"]
        for line in found:
            print(line, flush=True)
        wrong += found
        done = tally[what]
        if done > before and done % 1000 == 0:
            print(f"{done:,} {what}, {len(wrong)} disagreements", flush=True)
        if done >= options.count:
            break
    print(f"torch {torch.__version__}, seeds {options.first} to {seed}: {tally[what]:,} {what} compared")
    for counted, times in tally.most_common():
        print(f"{times:10,}  {counted}")
    print(f"{len(wrong):10,}  disagreements")
    print(f"{time.perf_counter() - start:10.0f}  seconds")
    return 1 if wrong or tally[what] < options.count else 0


if __name__ == "__main__":
    from _torch import need_torch

    need_torch()
    sys.exit(main())
