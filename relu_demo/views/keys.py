"""The keys of the stepping: what each does. The screen lists them, and the stepping obeys them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """What a key does, in words."""

    ON = "run the next step, or show it again"
    BACK = "look back one step (nothing runs again)"
    PART = "go on to the end of this part"
    HELP = "show this list"
    END = "end"


@dataclass(frozen=True)
class Binding:
    """The keys that do the same, by their names in `relu_demo.machine.keys.KEYS` or as the characters they type."""

    action: Action
    keys: tuple[str, ...]


BINDINGS = (
    Binding(Action.ON, ("Right", "Down", "PageDown", "n", "Space", "Enter")),
    Binding(Action.BACK, ("Left", "Up", "PageUp", "b")),
    Binding(Action.PART, ("s",)),
    Binding(Action.HELP, ("?",)),
    Binding(Action.END, ("q", "Ctrl-D")),
)
"""What clickers and hands send. A letter does the same as a capital."""

ACTIONS: Mapping[str, Action] = {
    key: binding.action
    for binding in BINDINGS
    for name in binding.keys
    for key in ({name, name.upper()} if len(name) == 1 else {name})
}
"""The action of each key."""
