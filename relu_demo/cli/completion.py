"""What the shell completes behind an option: usual names, files, and the names in a file, which is never imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VARIABLE = "_RELU_DEMO_COMPLETE"
"""The environment variable by which a shell asks for completion."""

SHELLS = {
    "bash": ("elif [[ $type == 'plain' ]]", "COMPREPLY=(); compopt -o default -o nospace"),
    "zsh": ('elif [[ "$type" == "dir" ]]', "_path_files -f -S ''"),
    # fish puts no space behind what may go on: each file has a second answer, with the colon.
    "fish": (
        'else if test $metadata[1] = "plain"',
        r"__fish_complete_path $metadata[2] | string replace -r '^(.*\.py)(\t.*)?$' '$1\n$1:'",
    ),
}
"""For each shell the case of click's script before which that of a target goes, and what it does there."""


def teach_shells() -> None:
    """Have the shells' scripts know a target: a file behind which a colon and a name may follow."""
    from click.shell_completion import add_completion_class, get_completion_class

    for shell, (before, case) in SHELLS.items():
        known = get_completion_class(shell)
        assert known is not None
        condition = before.replace("plain", "target").replace("dir", "target")
        then = "" if shell == "fish" else "; then"
        template = known.source_template.replace(before, f"{condition}{then}\n            {case};\n        {before}")
        add_completion_class(type(known.__name__, (known,), {"source_template": template}), shell)


def words(known: Iterable[str], begun: str, before: str = "") -> list[CompletionItem]:
    """Return the known words that start with what is begun, each with `before` in front of it."""
    from click.shell_completion import CompletionItem  # --help does without

    return [CompletionItem(before + word) for word in known if word.startswith(begun)]


def files(begun: str, type: str = "file") -> list[CompletionItem]:
    """Return what has the shell itself complete the name of a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type=type)]


def targets(given: Sequence[str], begun: str) -> list[CompletionItem]:
    """Return how a target goes on: the name of a file, and behind `file.py:` a name that the file defines.

    `given` are the words before it, `-m` or those that bash makes of a target, which it cuts at its colon
    (COMP_WORDBREAKS). What is answered then goes behind the colon. Behind a whole target files are completed.
    """
    from relu_demo.cli.targets import public_names

    file, colon, name = begun.rpartition(":")
    if given and given[0].endswith(".py") and (begun == ":" or list(given[1:]) == [":"]):
        return words(public_names(given[0]), name)
    if given:
        return files(begun)
    return (
        words(public_names(file), name, before=f"{file}:") if colon and file.endswith(".py") else files(begun, "target")
    )
