"""A real browser without a window: Chromium, driven by chromedriver over WebDriver. Without it a test is skipped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--window-size=900,700"),
]
KEYS = {"ArrowRight": "\ue014", "ArrowLeft": "\ue012", "Space": " ", "Enter": "\ue007"}


class Browser:
    """One page at a time."""

    def __init__(self, server: str) -> None:
        capabilities = {
            "goog:chromeOptions": {"args": ARGUMENTS, "binary": shutil.which("chromium")},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self.session = f"{server}/session"
        made = self.ask("", {"capabilities": {"alwaysMatch": capabilities}})
        self.session += f"/{made['sessionId']}"

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.session + path, data, {"Content-Type": "application/json"}, method=method or None)
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path, fragment: str = "") -> None:
        self.ask("/url", {"url": "about:blank"})  # the same page with another fragment is not loaded anew
        self.ask("/url", {"url": path.as_uri() + fragment})
        while not self.run(f"return document.readyState === 'complete' && location.href.startsWith('{path.as_uri()}')"):
            time.sleep(0.05)  # on a busy machine the driver answers before the page has run its script

    def run(self, script: str) -> Any:
        return self.ask("/execute/sync", {"script": script, "args": []})

    def press(self, key: str) -> None:
        pressed = [{"type": kind, "value": KEYS.get(key, key)} for kind in ("keyDown", "keyUp")]
        self.ask("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": pressed}]})

    def prefer(self, media: str = "", **features: str) -> None:
        """Have the reader's system ask for this: `prefers_color_scheme="dark"`."""
        asked = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        parameters = {"media": media, "features": asked}
        self.ask("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": parameters})

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.ask("/se/log", {"type": "browser"})]

    def requested(self) -> list[str]:
        """The addresses that were asked for since the last time."""
        events = [json.loads(entry["message"])["message"] for entry in self.ask("/se/log", {"type": "performance"})]
        urls = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "about:"))]


@contextmanager
def browser() -> Iterator[Browser]:
    if not (shutil.which("chromedriver") and shutil.which("chromium")):
        pytest.skip("this machine has no chromium with a chromedriver")
    with subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            port = next(found[1] for line in driver.stdout if (found := re.search(r"started .* on port (\d+)", line)))
            page = Browser(f"http://127.0.0.1:{port}")
            try:
                yield page
            finally:
                page.ask("", method="DELETE")
        finally:
            driver.terminate()
