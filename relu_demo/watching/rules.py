"""The rule that a fault breaks: the name of its page in `relu-demo explain`. What PyTorch refuses is in `refusals`."""

from __future__ import annotations

from collections.abc import Mapping

from relu_demo.sanitizer.place import GIVING
from relu_demo.watching.report import OVERWRITTEN, SILENT

STATISTICS = ("batch_norm", "instance_norm")
"""The functions that write to running statistics in training mode."""

OF_FACT = {
    "carried": "earlier-step",
    "hooked": "saved-tensors-hooks",
    "elsewhere": "shared-version-counter",
    "outside": "forward-hook",
}
"""By what is known of a fault besides its kind."""

OF_OPERATION = {
    "step": "step-before-backward",
    **dict.fromkeys(GIVING, "shared-memory"),
    **dict.fromkeys(STATISTICS, "running-statistics"),
}
"""By the operation that writes."""

OF_KIND = {
    OVERWRITTEN: "saved-tensor",
    "breaks-backward": "saved-tensor",
    SILENT: "data",
    "changes-result": "eaten-skip",
    "overwrites-input": "input-overwritten",
}
"""By the kind of a finding, of an effect or of a harmful write."""

ALIAS_READ, PAST_AUTOGRAD = "alias-read", OF_KIND[SILENT]
"""Of what is worth a look."""


def rule_of(kind: str, facts: Mapping[str, bool], operation: str = "", refusal: str = "") -> str:
    """Return the rule of a fault, `refusal` where PyTorch refuses a write; empty where no page knows it."""
    known = next((OF_FACT[fact] for fact, holds in facts.items() if holds), "")
    return refusal or known or OF_OPERATION.get(operation, "") or OF_KIND.get(kind, "")
