"""The session of each scenario that replays one."""

from __future__ import annotations

from collections.abc import Callable

from relu_demo.request import Replay
from relu_demo.session.article import ARTICLE, article
from relu_demo.session.branches import branches
from relu_demo.session.lines import Session

SESSIONS: dict[str, Callable[[Replay], Session]] = {**dict.fromkeys(ARTICLE, article), "branches": branches}
"""What makes the session, by the scenario's name."""


def session_for(request: Replay) -> Session:
    """Return the session that a request asks for. Raise KeyError for a scenario that replays none."""
    return SESSIONS[request.scenario](request)
