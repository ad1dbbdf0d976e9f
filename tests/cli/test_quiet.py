"""--quiet: one line and the exit code; and --schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import Demo, schema
from support.tiers import slow_but

from relu_demo.claims.report import JudgedClaim, Verdict

FAULTS = "tests/faults.py"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's folder as the current one."""
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.mark.parametrize("name", slow_but(1, ["-q", "--quiet"]))
@pytest.mark.parametrize("scenario", [[], ["--inplace"], ["--no-inplace"], ["--compare"], ["--branches"]], ids=str)
def test_a_session_says_how_many_claims_hold(demo: Demo, scenario: list[str], name: str) -> None:
    result = demo(*scenario, "--seed", "7", name)
    claims = len(demo(*scenario, "--seed", "7", "--json").document["claims"])
    command = " ".join(["relu-demo", *scenario, "--seed", "7"])
    assert result.code == 0
    assert result.out == f"{command}: all {claims} claims hold\n"


def test_memory_says_where_it_was_saved(demo: Demo) -> None:
    result = demo("--memory", "--shape", "1,2,8,8", "--depth", "2", "-q")
    rows = demo("--memory", "--shape", "1,2,8,8", "--depth", "2", "--json").document["rows"]
    less = [row for row in rows if any(row["in_place"][x] < row["out_of_place"][x] for x in ("live", "peak"))]
    assert result.code == 0
    assert result.out.startswith("relu-demo --memory --shape 1,2,8,8 --depth 2: in place saved memory in ")
    assert f" in {len(less)} of {len(rows)} situations; " in result.out


def test_a_check_says_what_is_not_safe_and_on_which_line(demo: Demo) -> None:
    result = demo("check", f"{FAULTS}:PreActivation", "--shape", "2,16,8,8", "--seed", "1", "-q")
    assert result.code == 1
    assert result.out.endswith(": 1 of 2 in-place calls is not safe: faults.py:19\n")


def test_a_check_of_what_is_safe(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "safe.py").write_text(
        "from torch import nn\nfrom torch.nn import ReLU\n"
        "def net(): return nn.Sequential(nn.Linear(4, 4), ReLU(inplace=True))\n"
        "def none(): return nn.Linear(4, 4)\n"
    )
    result = demo("check", f"{tmp_path / 'safe.py'}:net", "--shape", "2,4", "-q")
    assert result.code == 0
    assert result.out.endswith(": 1 in-place call, all safe\n")
    none = demo("check", f"{tmp_path / 'safe.py'}:none", "--shape", "2,4", "-q")
    assert none.out.endswith(": no in-place call to test\n")
    missing = demo("check", f"{tmp_path / 'safe.py'}:zzz", "--shape", "2,4", "-q")
    assert missing.err.endswith("safe.py has no 'zzz'; it has net, none\n")


def test_a_check_whose_input_cannot_show_a_fault_says_that_its_answer_is_for_this_input(
    demo: Demo, tmp_path: Path
) -> None:
    file = tmp_path / "skip.py"
    file.write_text("from torch.nn.functional import relu\ndef skip(x):\n    y = x * 1\n    return relu(y, True) + y\n")
    positive = demo("check", f"{file}:skip", "--shape", "2,4:0.5..1.0", "-q")
    assert positive.code == 0
    assert positive.out.endswith(": 1 in-place call, all safe with this input\n")
    both = demo("check", f"{file}:skip", "--shape", "2,4", "--seed", "1", "-q")
    assert both.code == 1


@pytest.mark.parametrize(
    ("verdicts", "code", "says"),
    [
        (
            [Verdict.HOLDS, Verdict.FAILS, Verdict.UNSHOWN],
            1,
            "1 of 3 claims hold; claim 2 does not hold; this input cannot show claim 3",
        ),
        (
            [Verdict.FAILS, Verdict.HOLDS, Verdict.FAILS, Verdict.FAILS],
            1,
            "1 of 4 claims hold; claims 1, 3 and 4 do not hold",
        ),
        ([Verdict.HOLDS, Verdict.UNSHOWN], 0, "1 of 2 claims hold; this input cannot show claim 2"),
        ([Verdict.HOLDS], 0, "the claim holds"),
    ],
)
def test_a_claim_that_does_not_hold_is_named(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, verdicts: list[Verdict], code: int, says: str
) -> None:
    found = tuple(JudgedClaim(number, "", verdict, "") for number, verdict in enumerate(verdicts, 1))
    monkeypatch.setattr("relu_demo.claims.judge.judge", lambda trace: found)
    result = demo("--inplace", "--seed", "7", "-q")
    assert (result.code, result.out) == (code, f"relu-demo --inplace --seed 7: {says}\n")


def test_schema_prints_what_describes_the_json(demo: Demo) -> None:
    result = demo("--schema")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out) == schema()


def test_a_seed_beside_memory_is_taken_though_it_changes_nothing(demo: Demo) -> None:
    assert demo("--memory", "--shape", "1,2,8,8", "--depth", "1", "--seed", "3", "-q").code == 0
