"""The session of each scenario that replays one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from relu_demo.errors import SetupError
from relu_demo.language import _
from relu_demo.request import Explain, Replay
from relu_demo.session.article import ARTICLE, article
from relu_demo.session.branches import branches
from relu_demo.session.faults import explain
from relu_demo.session.lines import Session

SESSIONS: dict[str, Callable[[Replay], Session]] = {**dict.fromkeys(ARTICLE, article), "branches": branches}
"""What makes the session, by the scenario's name."""


def session_for(request: Replay | Explain) -> Session:
    """Return the session that a request asks for; for one part, the session of that and of what it needs.

    Raise KeyError for a scenario that replays none, SetupError for a part that it has not, and BadInput for a page that
    there is not.
    """
    if isinstance(request, Explain):
        return explain(request)
    session = SESSIONS[request.scenario](request)
    if not request.part:
        return session
    parts = {part.key: part for part in session.parts}
    if request.part not in parts:
        raise SetupError(
            "--part",
            _("'{part}' is no part of this session; give one of {parts}", part=request.part, parts=", ".join(parts)),
        )
    alone = parts[request.part]
    needed = dict.fromkeys((session.parts[0].key, alone.reference or alone.key, alone.key))
    return replace(session, parts=tuple(parts[key] for key in needed), alone=alone.key)


def part_names(scenario: str) -> list[str]:
    """Return the keys of the parts of a scenario's session."""
    return [part.key for part in SESSIONS[scenario](Replay(scenario, 0)).parts] if scenario in SESSIONS else []
