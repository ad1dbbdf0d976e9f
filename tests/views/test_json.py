"""JSON: one strict document as schema.json describes it, the same again with the same seed, good to ask with jq."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import jsonschema
import pytest
from support.commands import Demo, schema, without_addresses

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


@pytest.mark.parametrize(
    "path",
    [
        ("seed",),
        ("parts", "in_place", "moments", "h1", "version"),
        ("claims", 0, "verdict"),
        ("parts", "in_place", "lines", 0, "source"),
    ],
)
def test_the_schema_refuses_a_document_that_lacks_something_or_has_more(
    demo: Demo, path: tuple[str | int, ...]
) -> None:
    def remove(parent: Any, key: str | int) -> None:
        parent.pop(key)

    def add(parent: Any, _: str | int) -> None:
        parent["another"] = 1

    for spoil in (remove, add):
        document = demo("--json").document
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        spoil(parent, path[-1])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)


def test_the_schema_is_itself_as_json_schema_2020_12_wants_it() -> None:
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema())


DRAWN = [
    ("--compare", "--shape", "2,3,30,40"),
    *(pytest.param(o, marks=pytest.mark.slow) for o in ((), ("--inplace",))),
]


@pytest.mark.parametrize("options", DRAWN, ids=" ".join)
@pytest.mark.parametrize("view", [("--json",), pytest.param((), marks=pytest.mark.slow)], ids=["json", "tables"])
def test_with_the_same_seed_all_but_ids_and_addresses_is_the_same(
    process: Demo, cold: Demo, options: tuple[str, ...], view: tuple[str, ...]
) -> None:
    first, second = (run(*options, *view, "--seed", "5") for run in (process, cold))  # two layouts of memory
    assert first.out != second.out or view == ()
    assert without_addresses(first.out) == without_addresses(second.out)


def test_without_a_seed_one_is_drawn_and_its_command_gives_the_same_again(demo: Demo) -> None:
    drawn = {demo("--json", "--inplace").document["seed"] for _ in range(5)}
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


def test_a_nan_or_an_infinity_is_a_string() -> None:
    from relu_demo.views.json import strict

    nested = strict([1.5, float("nan"), [float("inf"), -float("inf")]])
    assert json.loads(json.dumps(nested, allow_nan=False)) == [1.5, "nan", ["inf", "-inf"]]


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
    assert jq(halves + "[.o1_before.grad_fn, .o1_after.grad_fn])", text) == {
        "in_place": ["ConvolutionBackward0", "ReluBackward0"],
        "out_of_place": ["ConvolutionBackward0", "ConvolutionBackward0"],
    }
