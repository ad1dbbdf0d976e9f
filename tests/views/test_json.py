"""JSON: one strict document as --schema describes it, the same again with the same seed, good to ask with jq."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from support.commands import COMMAND, Demo, schema, without_addresses
from support.processes import command_environment
from support.ptys import on_a_terminal, posix

import relu_demo

KINDS = [
    (),
    ("--inplace",),
    ("--no-inplace",),
    ("--compare",),
    ("--shape", "1,1,3,3", "--seed", "1"),
    ("--compare", "--shape", "3,2,40,40"),
    ("--dtype", "float64"),
    ("--dtype", "bfloat16"),
    ("--values", "0"),
    ("--article",),
    ("--branches", "--article"),
]


@pytest.mark.versions
@pytest.mark.parametrize("options", KINDS, ids=" ".join)
def test_every_kind_of_document_is_as_the_schema_says(demo: Demo, options: tuple[str, ...]) -> None:
    result = demo(*options, "--json")
    assert result.code == 0
    assert result.err == ""
    jsonschema.validate(result.document, schema(), jsonschema.Draft202012Validator)


def test_the_schema_is_itself_as_json_schema_2020_12_wants_it() -> None:
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert re.fullmatch(r"urn:relu-demo:document:\d+", schema()["$id"])
    jsonschema.Draft202012Validator.check_schema(schema())
    objects = [each for each in schema()["$defs"].values() if "properties" in each]
    assert all(each["required"] == [*each["properties"]] and each["additionalProperties"] is False for each in objects)


def type_of(node: Any) -> str:
    """A property's type in words: what its definition is, and of a container what is in it."""
    if "anyOf" in node:  # what may be null has the type that it has otherwise
        return " or ".join(sorted({type_of(each) for each in node["anyOf"]} - {"null"}))
    if "$ref" in node:
        return str(node["$ref"])
    if "enum" in node:
        return " or ".join(sorted({type(each).__name__ for each in node["enum"]})).replace("str", "string")
    inner = node.get("items", node.get("additionalProperties"))
    return f"{node['type']} of {type_of(inner)}" if inner else str(node["type"])


def test_a_name_has_one_type_in_all_documents() -> None:
    types: dict[str, set[str]] = {}
    for definition in schema()["$defs"].values():
        for name, node in definition.get("properties", {}).items():
            types.setdefault(name, set()).add(type_of(node))
    assert len(types) > 100
    requests = {f"#/$defs/{kind}" for kind in ("Rules", "Measure", "Check", "Watch")}
    requests |= {"#/$defs/Explain or #/$defs/Replay"}  # each is answered by a session
    assert types.pop("request") == requests  # what was asked is of the command's own kind
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


TENSOR = "name id data_ptr version grad_fn requires_grad shape dtype device summary values"
HEAD = "schema_version relu_demo_version scenario command ok"
OBJECTS = {
    "TracedPart": "key title lines moments reference",
    "Step": "source comment output changed_tensors error warnings",
    "TensorState": TENSOR,
    "Node": "name id next_functions variable saved_tensors",
    "SavedName": "name version",
    "Summary": "elements negatives zeros min max",
    "Look": f"key title grad_fn_1_10 {TENSOR} changed zeroed largest",
    "JudgedClaim": "number says verdict evidence hint",
    "Replay": "scenario seed shape device dtype article listed part",
    "Explain": "name seed",
    "SessionReport": f"torch_version parts claims request documentation {HEAD}",
    "FaultPage": "name sentence documentation",
    "RulesReport": f"torch_version request rules {HEAD}",
    "Measure": "shape depth device",
    "Measurement": "key title activation norm training depth both_names unit out_of_place in_place why",
    "Figures": "live peak peak_op",
    "MemoryReport": f"request torch_version rows claims {HEAD}",
}
"""What the objects of the demonstrator's documents have. Where something goes, `schema_version` goes up."""


@pytest.mark.parametrize("name", OBJECTS)
def test_what_a_reader_of_a_document_may_count_on_is_there(name: str) -> None:
    assert sorted(schema()["$defs"][name]["properties"]) == sorted(OBJECTS[name].split())


def test_the_schema_tells_what_the_reports_own_docstrings_say() -> None:
    version = schema()["$defs"]["TensorState"]["properties"]["version"]
    assert version == {
        "type": "integer",
        "description": "The version counter, `tensor._version`, which every write in place increments; "
        "-1 of an inference tensor.",
    }


@pytest.mark.skipif(torch.__version__ < "2.6", reason="check and watch take PyTorch 2.6")
def test_what_python_asked_gives_a_document_without_a_request() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(inplace=True))
    with relu_demo.watch() as watch:
        network(torch.randn(2, 4)).sum().backward()
    reports: dict[str, Any] = {"check": relu_demo.check(network, torch.randn(2, 4)), "watch": watch.report}
    for scenario, report in reports.items():
        document = report.to_dict()
        jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
        assert [document[name] for name in ("scenario", "command", "request", "ok")] == [scenario, "", None, True]


def test_every_document_begins_alike(demo: Demo) -> None:
    head = ["schema_version", "relu_demo_version", "torch_version", "scenario", "command", "ok", "request"]
    for options in ((), ("--memory", "--depth", "1", "--shape", "1,2,8,8")):
        document = demo(*options, "--json").document
        assert list(document)[:7] == head
        assert document["schema_version"] == 2
        assert (document["relu_demo_version"], document["torch_version"]) == (relu_demo.__version__, torch.__version__)


@posix
def test_it_is_indented_on_a_terminal_and_one_line_in_a_pipe(demo: Demo) -> None:
    options = ("--inplace", "--json", "--seed", "7", "--values", "0")
    _, screen, _ = on_a_terminal(*options)
    shown, piped = screen[screen.index("{") :], demo(*options)
    assert piped.out.count("\n") == 1
    assert shown.replace("\r", "").splitlines()[:2] == ["{", '  "schema_version": 2,']
    assert without_addresses(json.dumps(json.loads(shown))) == without_addresses(json.dumps(piped.document))


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__ < "2.6", reason="watching takes PyTorch 2.6")
@pytest.mark.parametrize("command", [("check",), ("watch",)], ids=" ".join)
def test_a_path_is_one_that_a_user_would_type(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "net.py").write_text(WRITES_A_RESULT)
    target = "below/../net.py" + (":loss" if command == ("check",) else "")
    options = ("--shape", "3") if command == ("check",) else ()
    line = [*COMMAND, *command, "--json", *((target, *options) if options else (target,))]
    done = subprocess.run(line, cwd=tmp_path, env=command_environment(), capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    files = re.findall(r'"file": ("[^"]*"|null)', done.stdout)
    assert set(files) == {'"net.py"'}


WRITES_A_RESULT = """\
import torch

def loss(x):
    y = torch.sigmoid(x)
    y.add_(1)
    return y.sum()

if __name__ == "__main__":
    loss(torch.ones(3, requires_grad=True)).backward()
"""
"""A fault for check and for watch."""


def test_without_a_seed_one_is_drawn_and_its_command_gives_the_same_again(demo: Demo) -> None:
    drawn = {demo("--json", "--inplace").document["request"]["seed"] for _ in range(5)}
    assert len(drawn) > 1
    first = demo("--compare", "--json")
    command = first.document["command"].split()
    assert command[0] == "relu-demo"
    again = demo(*command[1:], "--json")
    assert without_addresses(again.out) == without_addresses(first.out)
    shown = demo("--compare").out
    assert re.search(r"relu-demo --compare --seed \d+", shown)


def test_values_of_large_tensors_are_null_and_their_summary_is_there(demo: Demo) -> None:
    options = ("--inplace", "--json", "--seed", "1", "--shape", "1,3,20,20")
    looks = [
        demo(*options, *more).document["parts"]["in_place"]["moments"]["h1"]
        for more in ((), ("--values", "972"), ("--values", "971"))
    ]
    elements = 3 * 18 * 18
    assert [look["summary"]["elements"] for look in looks] == [elements] * 3
    assert [look["values"] is None for look in looks] == [False, False, True]
    assert looks[2]["summary"] == looks[0]["summary"]


needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


def jq(program: str, text: str) -> Any:
    return json.loads(subprocess.run(["jq", program], input=text, capture_output=True, check=True, text=True).stdout)


@needs_jq
def test_jq_answers_the_articles_questions(demo: Demo) -> None:
    text = demo("--compare", "--json", "--seed", "7").out
    halves = ".parts | {in_place, out_of_place} | map_values(.moments | "
    assert jq(halves + ".h1.id == .o1_after.id)", text) == {"in_place": True, "out_of_place": False}
    changed = jq(halves + ".o1_after.changed)", text)
    assert changed["in_place"] == jq(".parts.in_place.moments.o1_before.summary.negatives", text) > 0
    assert changed["out_of_place"] == 0
    assert jq(halves + "[.o1_before.grad_fn.name, .o1_after.grad_fn.name])", text) == {
        "in_place": ["ConvolutionBackward0", "ReluBackward0"],
        "out_of_place": ["ConvolutionBackward0", "ConvolutionBackward0"],
    }
