"""The reports that a view can show."""

from __future__ import annotations

from relu_demo.claims.report import SessionReport
from relu_demo.memory.report import MemoryReport
from relu_demo.network.report import CheckReport
from relu_demo.watching.report import WatchReport

AnyReport = SessionReport | MemoryReport | CheckReport | WatchReport
