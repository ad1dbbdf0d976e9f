"""Compiles the translations while the project is built or installed, so that Python's `gettext` can read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polib
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Catalogue(BuildHookInterface[Any]):
    """The build hook: of each `.po` file the `.mo` beside it, which goes into the wheel."""

    PLUGIN_NAME = "catalogue"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile them. An editable install reads them from the project's folder."""
        for catalogue in Path(self.root, "relu_demo", "locale").glob("*/LC_MESSAGES/*.po"):
            polib.pofile(str(catalogue)).save_as_mofile(str(catalogue.with_suffix(".mo")))
