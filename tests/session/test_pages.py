"""`relu-demo explain`: each page holds with any seed, and `watch` or `check` finds its fault by its name."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import COMMAND, Demo, Result, doctest_of, schema, without_addresses
from support.processes import command_environment
from support.tiers import examples, slow_but

import relu_demo
from relu_demo.claims.judge import judge
from relu_demo.claims.report import SessionReport, Verdict
from relu_demo.errors import BadInput
from relu_demo.replay.replay import replay
from relu_demo.request import Explain
from relu_demo.session.faults import PAGES, explain
from relu_demo.session.lines import Line, Session
from relu_demo.views.tables import text_of_tables

NAMES = [page.name for page in PAGES if page.name != "vmap" or hasattr(torch, "vmap")]
BY_CHECK = {"eaten-skip": ("block", "3"), "input-overwritten": ("center", "3"), "forward-hook": ("net", "4,3")}
"""What a check of a page's file is given: all others are found by a watch."""
needs_watch = pytest.mark.skipif(torch.__version__ < "2.6", reason="watching takes PyTorch 2.6")


def page(name: str, seed: int = 7) -> Session:
    return explain(Explain(name, seed))


def report_on(session: Session) -> SessionReport:
    trace = replay(session)
    return SessionReport(trace, judge(trace))


def file_of(folder: Path, name: str, part: int) -> Path:
    """A file with the preparation of a page and one more of its parts, as one would write it."""
    parts = page(name).parts
    lines = [line.source for each in (parts[0], parts[part]) for line in each.lines if not line.moment]
    path = folder / "program.py"
    path.write_text("\n".join(lines) + "\n")
    return path


def found(folder: Path, *arguments: str) -> tuple[int, set[str], set[str]]:
    """The exit code of a watch or a check, and the rules of its findings and of what is worth a look."""
    save = ["--save", "report.json"] if arguments[0] == "watch" else ["--json"]
    command = [*COMMAND, arguments[0], *save, *arguments[1:]]
    done = subprocess.run(command, cwd=folder, env=command_environment(), capture_output=True, text=True, timeout=240)
    text = (folder / "report.json").read_text() if arguments[0] == "watch" else done.stdout
    document = json.loads(text)
    jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
    faults = [*document.get("findings", []), *document.get("harmful_writes", [])]
    faults += [effect for call in document.get("calls", []) for effect in call["effects"]]
    return done.returncode, {each["rule"] for each in faults}, {each["rule"] for each in document["worth_a_look"]}


def arguments_of(name: str) -> list[str]:
    if name not in BY_CHECK:
        return ["watch", "program.py"]
    target, shape = BY_CHECK[name]
    return ["check", f"program.py:{target}", "--shape", shape, "--seed", "1"]


@needs_watch
@pytest.mark.parametrize("name", slow_but(0, [*BY_CHECK, "saved-tensor", "alias-read"]))
def test_the_fault_is_found_by_its_name_and_its_cure_is_not(tmp_path: Path, name: str) -> None:
    file_of(tmp_path, name, 1)
    code, rules, looks = found(tmp_path, *arguments_of(name))
    if name == "alias-read":
        assert (code, rules, looks) == (0, set(), {name})
    else:
        assert (code, rules) == (1, {name})
    file_of(tmp_path, name, 2)
    assert found(tmp_path, *arguments_of(name)) == (0, set(), set())


@needs_watch
@pytest.mark.parametrize("name", [name for name in NAMES if name not in BY_CHECK])
def test_a_watch_in_python_names_the_page_too(tmp_path: Path, name: str) -> None:
    """The same as above, for each page that is watched, without a process for each."""
    seen = []
    for part in (1, 2):
        path = file_of(tmp_path, name, part).rename(tmp_path / f"part{part}.py")
        error = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", relu_demo.SilentInplaceWarning)
            try:
                with relu_demo.watch() as watch:
                    exec(compile(path.read_text(), str(path), "exec"), {"__name__": "program"})
            except relu_demo.InplaceError as raised:
                error = raised
        report = watch.report
        seen.append({*(each.rule for each in report.findings), *(look.rule for look in report.worth_a_look)})
        told = str(report)
        assert (f"relu-demo explain {name}" in told) == (part == 1)
        assert error is None or str(error).rstrip().endswith(f"relu-demo explain {name}")
    assert seen == [{name}, set()]


@needs_watch
def test_every_rule_has_a_page_and_every_page_is_of_a_rule() -> None:
    from relu_demo.watching.refusals import REFUSALS
    from relu_demo.watching.report import ALIAS_READ, RULES

    assert {ALIAS_READ, *RULES.values(), *(refusal.key for refusal in REFUSALS)} == {each.name for each in PAGES}


@settings(max_examples=examples(20), deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**64 - 1))
def test_every_claim_holds_with_any_seed(name: str, seed: int) -> None:
    report = report_on(page(name, seed))
    assert [claim for claim in report.claims if claim.verdict is not Verdict.HOLDS] == []
    assert report.trace.parts["cure"].moments["result"].changed == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_page_says_why_and_has_a_fault_and_a_cure(name: str) -> None:
    report = report_on(page(name))
    assert report.ok
    assert 2 <= len(report.claims) <= 4
    fault, cure = report.trace.parts["fault"], report.trace.parts["cure"]
    assert fault.errors or fault.moments["result"].changed
    assert not cure.errors
    assert report.documentation.startswith("https://pytorch.org/docs/stable/")


def with_part(session: Session, key: str, lines: Sequence[Line]) -> Session:
    parts = (dataclasses.replace(each, lines=tuple(lines)) if each.key == key else each for each in session.parts)
    return dataclasses.replace(session, parts=tuple(parts))


@pytest.mark.parametrize("name", NAMES)
def test_a_pytorch_that_behaves_otherwise_is_found_out(name: str) -> None:
    """In the place of the fault stands its cure, and then in the place of the cure the fault."""
    session = page(name)
    _, fault, cure = (part.lines for part in session.parts)
    looks = [line for line in fault if line.moment and line.moment.key == "written"]
    harmless = report_on(with_part(session, "fault", [*cure, *looks]))
    assert not harmless.ok
    useless = report_on(with_part(session, "cure", [*(line for line in fault if not line.moment), cure[-1]]))
    assert useless.claims[-1].verdict is Verdict.FAILS
    for report in (harmless, useless):
        assert "does not hold" in text_of_tables(report)


OTHERWISE = [
    (
        "saved-tensor",
        "y *= 2",
        "y.data *= 2",
        {1: "y = x.exp(): version 0; y.data *= 2: version 0", 2: "x.grad is off by"},
    ),
    ("saved-tensor", "y *= 2", "y = y * 2", {1: "there is no write over a saved tensor", 2: "x.grad is off by"}),
    (
        "earlier-step",
        "    opt.step()",
        "    opt.step(); opt.step()",
        {1: "one of the variables", 2: "w.grad is off by"},
    ),
    ("shared-version-counter", "both[2:] *= 3", "both[1:] *= 3", {1: "[-0.1467950940132141, 0.7861412763595581, 0."}),
    (
        "data",
        "w.data *= 3",
        "with torch.no_grad(): w *= 3",
        {1: "with torch.no_grad(): w *= 3: version 0, then 1, with other numbers", 2: "one of the variables"},
    ),
    ("saved-tensors-hooks", "h *= 3", "h.data *= 3", {1: "version 0, then 0; no error, no warning in 7 lines"}),
    (
        "saved-tensors-hooks",
        "with hooks(lambda h: h, lambda h: h): y = h ** 2",
        "y = h ** 2",
        {1: "version 0, then 1; one of the variables", 2: "one of the variables"},
    ),
    ("leaf", "w *= 2", "w.data[0] = 1; w *= 2", {2: "a leaf Variable that requires grad is being used in an in-place"}),
    (
        "leaf",
        "w = nn.Parameter(start.clone())",
        "w = start.clone()",
        {
            1: "w: requires_grad=False, grad_fn None",
            2: "no error, no warning in 3 lines; no tensor changed",
            3: "element 0 of tensors does not require grad",
        },
    ),
    ("leaf", "(w ** 2).sum().backward()", "(w ** 2).sum().backward(); raise RuntimeError('late')", {3: "late"}),
    ("input-overwritten", "    return x.sub_(x.mean())", "    return x.sub_(x.mean()).sub_(0)", {1: "data: version 2"}),
    (
        "alias-read",
        "skip = h",
        "skip = h.clone()",
        {1: "id of h: ADDRESS, of skip: ADDRESS", 2: "out is the same; no error, no warning in 6 lines"},
    ),
    (
        "inference-tensor",
        "with torch.inference_mode(): total = 2 * start",
        "total = 2 * start",
        {1: "total: version 1", 2: "no error, no warning in 3 lines"},
    ),
    (
        "eaten-skip",
        "relu = nn.ReLU(inplace=True)",
        "relu = nn.ReLU(inplace=True); import warnings; warnings.warn('so!')",
        {1: "so!"},
    ),
    (
        "backward-hook",
        "y = layer(x)",
        "y = x * 1",
        {1: "y: grad_fn ReluBackward0", 2: "no error, no warning in 3 lines; no tensor changed", 3: "x.grad is off by"},
    ),
]


@pytest.mark.parametrize(("name", "old", "new", "failing"), OTHERWISE)
def test_a_claim_fails_with_its_evidence_where_another_line_runs(
    name: str, old: str, new: str, failing: dict[int, str]
) -> None:
    session = page(name)
    for each in session.parts[1:]:
        sources = (re.sub(rf"(?m)^{re.escape(old)}$|(?<=\n){re.escape(old)}", new, line.source) for line in each.lines)
        changed = [dataclasses.replace(line, source=source) for line, source in zip(each.lines, sources, strict=True)]
        session = with_part(session, each.key, changed)
    claims = enumerate(report_on(session).claims, 1)
    failed = {at: without_addresses(each.evidence) for at, each in claims if each.verdict is Verdict.FAILS}
    assert failed.keys() == failing.keys()
    assert all(failed[number].startswith(evidence) for number, evidence in failing.items())


@pytest.mark.parametrize("name", ["leaf", "negative-slope"])
def test_an_error_of_another_kind_proves_nothing(name: str) -> None:
    lines = page(name).parts[1].lines
    other = dataclasses.replace(lines[-2], source="torch.no_such_thing")
    report = report_on(with_part(page(name), "fault", [*lines[:-2], other, lines[-1]]))
    assert not report.ok
    assert "no_such_thing" in text_of_tables(report)


def test_without_a_name_all_are_listed_a_line_each(demo: Demo) -> None:
    document = demo("explain", "--json").document
    jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
    assert [(each["name"], each["sentence"]) for each in document["rules"]] == [(p.name, p.sentence) for p in PAGES]
    assert demo("explain", "-q") == Result(0, f"relu-demo explain: {len(PAGES)} pages\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_tells_the_fault_first_then_the_cure_then_why(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    screen = demo("explain", name, "--seed", "7").out
    lines = screen.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    fault, cure, why = (lines.index(title) for title in ("The fault", "The cure", "Why"))
    told = " ".join(lines[fault:cure])
    assert ("RuntimeError: " in told) != ("PyTorch      says nothing" in told or "PyTorch  says nothing" in told)
    assert any(line.startswith("right again: ") for line in lines[cure:why])
    assert re.search(r"^All \d claims hold\.$", screen, re.MULTILINE)
    for line in page(name).lines:
        assert line.comment in screen
        assert line.source.partition("\n")[0] in screen or line.source.startswith("import ")


@pytest.mark.parametrize("columns", [40, 120])
@pytest.mark.parametrize("name", slow_but(3, NAMES))
def test_a_page_fits(demo: Demo, monkeypatch: pytest.MonkeyPatch, name: str, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, demo("explain", name, "--seed", "7").out.splitlines())) <= columns


@pytest.mark.parametrize("name", slow_but(2, ["inference-tensor", *NAMES]))
def test_its_document_is_as_the_schema_says(demo: Demo, name: str) -> None:
    document: Any = demo("explain", name, "--json", "--seed", "7").document
    jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
    assert (document["command"], document["ok"]) == (f"relu-demo explain {name} --seed 7", True)
    assert document["request"] == {"name": name, "seed": 7}
    assert list(document["parts"]) == ["preparation", "fault", "cure"]


@pytest.mark.parametrize("name", slow_but(2, ["custom-function", "shared-memory", *NAMES]))
def test_doctest_accepts_its_transcript(demo: Demo, name: str) -> None:
    assert doctest_of(demo("explain", name, "--repl", "--seed", "7").out) == ""


@pytest.mark.parametrize("options", [(), ("--step",)], ids=str)
def test_it_is_saved_as_a_picture_and_as_a_lesson(demo: Demo, tmp_path: Path, options: tuple[str, ...]) -> None:
    for ending in (".svg", ".html"):
        path = tmp_path / f"page{ending}"
        assert demo("explain", "data", *options, "--seed", "7", "--save", str(path)).code == 0
        assert "w.data" in path.read_text().replace("\xa0", " ")


def test_in_python_it_is_a_scenario_of_show(demo: Demo) -> None:
    report = relu_demo.show("explain", name="leaf", seed=7)
    assert without_addresses(f"{report}\n") == without_addresses(demo("explain", "leaf", "--seed", "7").out)
    assert repr(report) == "<relu-demo explain leaf --seed 7: all 3 claims hold>"
    assert report.to_dict()["request"] == {"name": "leaf", "seed": 7}
    pages = relu_demo.show("explain")
    assert (f"{pages}\n", f"{pages!r}\n") == (demo("explain").out, f"<{demo('explain', '-q').out[:-1]}>\n")
    with pytest.raises(BadInput, match="did you mean leaf"):
        relu_demo.show("explain", name="leef")
