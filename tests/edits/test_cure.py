"""A cure's edits: the edited program runs, and computes what the program does that was cured by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from edits.programs import HEAD, OVERWRITTEN, REFUSED, SILENT

from relu_demo.edits.cure import cure_of
from relu_demo.edits.edit import edited
from relu_demo.edits.scene import Scene, Spot

PROGRAMS = [
    pytest.param(kind, name, text, id=f"{kind}, {name}")
    for kind, programs in (("overwritten", OVERWRITTEN), ("silent", SILENT), ("refused", REFUSED))
    for name, text in programs.items()
]
MARK = re.compile(r"# ([A-Z]+)(?: ([\w.]+))?")


def faulty_and_cured(text: str) -> tuple[str, str]:
    faulty, cured = HEAD.lstrip().splitlines(), HEAD.lstrip().splitlines()
    for line in text.lstrip().splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        before, _, after = line.partition("#=> ")
        if before.lstrip().startswith("#+> "):
            cured.append(indent + before.lstrip()[4:])
            continue
        faulty.append(before.rstrip())
        cured += [] if after == "DEL" else [indent + after] if after else [before]
    return "\n".join(faulty) + "\n", "\n".join(cured) + "\n"


def scene_of(kind: Any, name: str, file: Path) -> Scene:
    marks = {
        mark: Spot(str(file), number, operation or "")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        for mark, operation in MARK.findall(line)
    }
    writer = marks["WRITES"]
    writer = Spot(writer.file, writer.line, writer.operation, called_from=tuple(filter(None, [marks.get("CALLS")])))
    return Scene(
        kind,
        name.strip() if kind == "refused" else "",
        saver=marks.get("SAVES"),
        made_by=marks.get("MADE"),
        writers=(writer,),
        raised_at=marks.get("RAISES", writer),
        tensor=marks["STATE"].operation if "STATE" in marks else None,
        is_parameter="PARAMETER" in marks,
        is_state="STATE" in marks or "PARAMETER" in marks,
        gradient_is_written="GRADIENT" in marks,
        built_at=marks.get("BUILT"),
    )


def result_of(source: str, file: str) -> torch.Tensor:
    names: dict[str, Any] = {}
    exec(compile(source, file, "exec"), names)
    result = names["result"]
    assert isinstance(result, torch.Tensor)
    return result.detach()


def written(text: str, folder: Path) -> tuple[Path, str]:
    faulty, cured = faulty_and_cured(text)
    file = folder / "program.py"
    file.write_text(faulty)
    return file, cured


@pytest.mark.parametrize(("kind", "name", "text"), PROGRAMS)
def test_the_edited_program_runs_and_computes_what_the_cured_one_does(
    kind: str, name: str, text: str, tmp_path: Path
) -> None:
    file, cured = written(text, tmp_path)
    right = result_of(cured, "cured.py")
    if kind == "silent":
        assert not torch.allclose(result_of(file.read_text(), str(file)).float(), right.float())
    else:
        with pytest.raises(RuntimeError):
            result_of(file.read_text(), str(file))
    cure = cure_of(scene_of(kind, name, file))
    assert cure.edits, cure.says
    (source,) = edited(cure.edits).values()
    got = result_of(source.decode(), str(file))
    assert torch.allclose(got.float(), right.float(), atol=1e-6)
    assert got.dtype == right.dtype
