"""Making the virtual environment: a fresh folder, pinned packages, the project itself; told on stderr.

It may be interrupted at any moment. A layer's stamp says "unfinished" before the layer is touched, and says
what is in it only afterwards; an unfinished layer means that the next run starts from a fresh folder.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time

import _lock
from _environment import (
    FOLDER,
    LAYERS,
    PROJECT,
    PYTHON,
    STAMPS,
    clean_environ,
    is_current,
    maker,
    stamp_path,
    stamp_text,
    this_python,
)

UNFINISHED = b"unfinished"

PIP = [PYTHON, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-user"]


def _required(name: str) -> list[str]:
    return [*PIP, "--requirement", os.path.join(PROJECT, "scripts", name)]


# For each layer: what is being done, how, and what to look at if it fails.
STEPS = {
    "packages": (
        "downloading and installing PyTorch and the other pinned packages; this can take some minutes",
        [_required("requirements.txt"), _required("requirements-torch.txt")],
        "is there a network connection?",
    ),
    "project": (
        "installing relu-demo itself, so that an edit of its source takes effect at once",
        [[*PIP, "--no-deps", "--no-build-isolation", "--editable", PROJECT]],
        "is pyproject.toml as it should be?",
    ),
    "tests": (
        "downloading and installing what the tests need",
        [_required("requirements-test.txt")],
        "is there a network connection?",
    ),
}


class InstallError(Exception):
    """The environment could not be made; its text is one line that says why and what to do."""


def install(layers: list[str], lock: int) -> None:
    """Bring these layers up to date, after anyone else who uses or changes the environment has ended.

    Ends the process with one line on stderr: exit code 1 where something fails, 130 on Ctrl-C.
    """
    try:
        _wait_for(lock)
        if not all(map(is_current, layers)):  # another run may have done it meanwhile
            began = time.monotonic()
            _bring_up_to_date(layers, lock)
            _write_contents()
            _say(f"the environment is ready, after {time.monotonic() - began:.0f} s")
    except KeyboardInterrupt:
        _say("stopped; the next run begins again where that is needed")
        sys.exit(130)
    except (InstallError, OSError) as error:
        _say(str(error))
        sys.exit(1)


def _say(message: str) -> None:
    print(f"relu-demo: {message}", file=sys.stderr, flush=True)


def _wait_for(lock: int) -> None:
    told = False
    while not _lock.try_to_change(lock):
        if not told:
            _say("waiting for another run in this folder to end, because the environment has to be changed")
            told = True
        time.sleep(0.1)


def _bring_up_to_date(layers: list[str], lock: int) -> None:
    stale = [layer for layer in LAYERS if layer in layers and not is_current(layer)]
    if "packages" in stale or any(map(_is_unfinished, stale)):
        _make_fresh_folder(lock)
        stale = [layer for layer in LAYERS if layer in layers]
    for layer in stale:
        message, commands, advice = STEPS[layer]
        text = stamp_text(layer)
        _write_stamp(layer, UNFINISHED)
        _say(message)
        try:
            for command in commands:
                _run(command, lock)
        except InstallError as error:
            os.unlink(stamp_path(layer))  # pip has put back what it changed
            if "No space left" in str(error):
                advice = "make room on the disk of this folder"
            raise InstallError(f"{error}; {advice} (Details above; the next run tries again.)") from None
        if hasattr(os, "sync"):
            os.sync()  # what the stamp speaks for is on the disk before the stamp is
        _write_stamp(layer, text)


def _write_contents() -> None:
    """Note what is installed, so that a damaged environment is known for one."""
    said = subprocess.check_output([PYTHON, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    folder = os.fsdecode(said).strip()
    names = sorted(os.path.relpath(os.path.join(folder, name), FOLDER) for name in os.listdir(folder))
    text = "\n".join(name for name in names if not name.endswith("__pycache__"))
    _write_stamp("contents", os.fsencode(text))


def _is_unfinished(layer: str) -> bool:
    try:
        with open(stamp_path(layer), "rb") as stamp:
            return stamp.read() == UNFINISHED
    except FileNotFoundError:
        return False


def _write_stamp(layer: str, text: bytes) -> None:
    """Write a stamp whole or not at all, even if the power fails."""
    new = stamp_path(layer) + ".new"
    with open(new, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, stamp_path(layer))


def _make_fresh_folder(lock: int) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    if maker() not in ("", this_python()) and os.path.exists(PYTHON) and not any(map(_is_unfinished, LAYERS)):
        raise InstallError(
            f"{FOLDER} was made by another Python than this {version} and has to be changed: "
            "remove it, or run this with that Python"
        )
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            package = "python{}.{}-venv".format(*sys.version_info)
            raise InstallError(
                f"this Python {version} lacks the module {module}, so it cannot make a virtual environment: "
                f"install it (on Debian or Ubuntu: apt install {package}), or use another Python"
            )
    _remove_old_folder()
    _say(f"making a virtual environment in {FOLDER}, with Python {version}")
    os.makedirs(STAMPS)
    # Python's own path outside of any environment: the one that runs this may be in the folder just removed.
    python = getattr(sys, "_base_executable", None) or sys.executable
    _run([python, "-I", "-m", "venv", "--prompt", "relu-demo", FOLDER], lock)
    _write_stamp("python", this_python().encode(errors="surrogateescape"))


def _remove_old_folder() -> None:
    old = FOLDER + ".old"
    if os.path.lexists(FOLDER):
        if not os.path.isdir(STAMPS) and not _is_empty_folder(FOLDER):
            raise InstallError(
                f"{FOLDER} was made by something else and is left alone: move it away, and run this again"
            )
        shutil.rmtree(old, ignore_errors=True)
        try:
            os.replace(FOLDER, old)
        except OSError as error:
            raise InstallError(f"{FOLDER} is in use, end the programs that run in it: {error}") from None
    shutil.rmtree(old, ignore_errors=True)


def _is_empty_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.listdir(path)


def _run(command: list[str], lock: int) -> None:
    """Run a command, with its last line shown on a terminal; if it fails show all of them, and raise InstallError.

    The command holds the lock too, so that it is waited for even if this process is killed.
    """
    lines = []
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env=clean_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        pass_fds=() if os.name == "nt" else (lock,),
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                _show_progress(line.strip())
            code = process.wait()
        except BaseException:
            with contextlib.suppress(OSError):
                process.terminate()
            raise
        finally:
            _show_progress("")
    if code:
        sys.stderr.writelines(lines)
        words = [line.strip() for line in lines if line.strip()] or ["nothing"]
        said = ([line for line in words if line.lower().startswith("error")] or words)[-1]
        raise InstallError(f"the environment could not be made (exit code {code}): {said}")


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r{text[:width]:{width}}" + ("" if text else "\r"))
        sys.stderr.flush()
