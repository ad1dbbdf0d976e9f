"""The command line that gives a report again, from what was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def command_line(scenario: Sequence[str], options: Mapping[str, Any]) -> str:
    """`relu-demo` with the scenario's words and these options, fit for a shell.

    An option that is True is a flag, one that is False or None is left out, and a list gives it once for each item.
    """
    import shlex  # --help does without

    words = ["relu-demo", *scenario]
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is True:
                words.append(f"--{name}")
            elif one is not None and one is not False:
                words += [f"--{name}", sizes(one) if isinstance(one, tuple) else str(one)]
    return shlex.join(words)


def other_than_default(asked: object, names: Iterable[str]) -> dict[str, Any]:
    """The fields of those names that are not what their dataclass has by default."""
    return {name: getattr(asked, name) for name in names if getattr(asked, name) != getattr(type(asked), name)}


def sizes(shape: Iterable[int]) -> str:
    """A shape as --shape takes it: `1,3,5,5`."""
    return ",".join(map(str, shape))
