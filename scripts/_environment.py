"""The project's virtual environment: the first run makes it, many may use it, one alone may change it.

It may be interrupted at any moment: it counts as unfinished from before it is changed until the change is complete, and
the next run makes an unfinished one anew. All that is said goes to stderr. What only a change needs is imported there.
"""

import json
import os
import sys
from typing import Any, NamedTuple, NoReturn

PROJECT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
FOLDER = os.path.join(PROJECT, ".venv")
PYTHON = os.path.join(FOLDER, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
STATE = os.path.join(FOLDER, "relu-demo.json")
REMEDY = f"remove the folder {FOLDER}, and run this again: that makes it anew"
PIP = [PYTHON, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-user"]
STATUS_CONTROL_C_EXIT = 0xC000013A

# What would lead Python or pip to another place than the environment.
MISLEADING = [
    "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__",
    "PIP_PREFIX", "PIP_PYTHON", "PIP_ROOT", "PIP_TARGET", "PIP_USER",
]  # fmt: skip


class Layer(NamedTuple):
    """A part of what is installed."""

    files: list[str]
    """They say what is in it."""
    doing: str
    """What is told while it is made."""
    installed: list[list[str]]
    """What pip is given to install."""
    advice: str
    """What to look at where that fails."""


def _required(name: str) -> list[str]:
    return ["--requirement", os.path.join(PROJECT, "scripts", name)]


LAYERS = {
    "packages": Layer(
        ["scripts/requirements.txt", "scripts/requirements-torch.txt", "scripts/constraints.txt"],
        "downloading and installing PyTorch and the other pinned packages; this can take some minutes",
        [_required("requirements.txt"), _required("requirements-torch.txt")],
        "is there a network connection?",
    ),
    "project": Layer(
        ["pyproject.toml", "relu_demo/__init__.py", "relu_demo/locale/zh/LC_MESSAGES/relu_demo.po"],
        "installing relu-demo itself, so that an edit of its source takes effect at once",
        [["--no-deps", "--no-build-isolation", "--editable", PROJECT]],
        "is pyproject.toml as it should be?",
    ),
    "tests": Layer(
        ["scripts/requirements-test.txt"],
        "downloading and installing what the tests need",
        [_required("requirements-test.txt")],
        "is there a network connection?",
    ),
}


class InstallError(Exception):
    """The environment could not be made; its text is one line that says why and what to do."""


def start(layers: list[str], arguments: list[str]) -> NoReturn:
    """Make the layers that are missing, then run the environment's Python with these arguments in this process's place.

    The exit code, or the signal that ends the program, is the caller's to see. What goes wrong before that is
    one line on stderr and exit code 1, or 130 on Ctrl-C.
    """
    try:
        lock = os.open(FOLDER + ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if not _are_current(layers):
            sys.exit(f"relu-demo: the virtual environment cannot be made: {error}")
    else:
        while not (_try_to_lock(lock, alone=False) and _are_current(layers)):
            _install(layers, lock)
        if os.name != "nt":
            os.set_inheritable(lock, True)  # the program holds the lock for as long as it runs
    for path in _state().get("contents", []):
        if not os.path.lexists(os.path.join(FOLDER, path)):
            sys.exit(f"relu-demo: the environment is damaged, it lacks {path}; {REMEDY}")
    command = [PYTHON, "-P", *arguments]  # no import from the current folder
    if os.name == "nt":
        sys.exit(_run_and_wait(command))
    os.execve(PYTHON, command, _clean_environ())


def _run_and_wait(command: list[str]) -> int:
    """Run a command to its end and return its exit code; Ctrl-C is left to the command, which gets it too."""
    import subprocess

    with subprocess.Popen(command, env=_clean_environ()) as program:
        while True:
            try:
                code = program.wait()
            except KeyboardInterrupt:
                continue
            return 130 if code == STATUS_CONTROL_C_EXIT else code


def _clean_environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.upper() not in MISLEADING}


def _try_to_lock(lock: int, alone: bool) -> bool:
    """Lock the environment, to change it alone or to use it beside others. Return False where others do not let go.

    The system itself frees a lock when the last process that holds it has ended, however it ended.
    """
    if sys.platform == "win32":
        import msvcrt

        try:  # to use it needs none: Windows keeps a program's files from being removed while it runs
            msvcrt.locking(lock, msvcrt.LK_NBLCK if alone else msvcrt.LK_UNLCK, 1)
        except OSError:
            return not alone
    else:
        import fcntl

        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks, such as some network shares: go on as well as one can
    return True


def _state() -> dict[str, Any]:
    """Return what is noted of the environment: its Python, what each layer was made of, and the installed files."""
    try:
        with open(STATE, encoding="utf-8") as file:
            noted: dict[str, Any] = json.load(file)
            return noted
    except (OSError, ValueError):
        return {}


def _note(state: dict[str, Any]) -> None:
    """Write the state, whole or not at all."""
    with open(STATE + ".new", "w", encoding="utf-8") as file:
        json.dump(state, file)
    os.replace(STATE + ".new", STATE)


def _definition(layer: str) -> str:
    """Return what a layer must have been made of: the place, and the files that define it."""
    texts = [PROJECT, os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")]
    for name in LAYERS[layer].files:
        with open(os.path.join(PROJECT, name), encoding="utf-8") as file:
            texts.append(file.read())
    return "\n\n".join(texts)


def _are_current(layers: list[str]) -> bool:
    """Return whether these layers are complete and what the project's files ask for now."""
    state = _state()
    current = all(state.get(layer) == _definition(layer) for layer in layers)
    return current and "unfinished" not in state and os.path.exists(PYTHON)


def _this_python() -> str:
    """Return what tells this Python from another: its version, its kind, and where it is."""
    return "\n".join(map(str, [sys.implementation.cache_tag, getattr(sys, "abiflags", ""), sys.base_prefix]))


def _install(layers: list[str], lock: int) -> None:
    """Bring these layers up to date, after anyone else who uses or changes the environment has ended.

    End the process with one line on stderr: exit code 1 where something fails, 130 on Ctrl-C.
    """
    import time

    try:
        told = False
        while not _try_to_lock(lock, alone=True):  # once it is locked, Windows refuses to lock it again
            if not told:
                _say("waiting for another run in this folder to end, because the environment has to be changed")
                told = True
            time.sleep(0.1)
        if not _are_current(layers):  # another run may have done it meanwhile
            began = time.monotonic()
            _bring_up_to_date(layers, lock)
            _say(f"the environment is ready, after {time.monotonic() - began:.0f} s")
    except KeyboardInterrupt:
        _say("stopped; the next run begins again where that is needed")
        sys.exit(130)
    except (InstallError, OSError) as error:
        _say(str(error))
        sys.exit(1)


def _say(message: str) -> None:
    print(f"relu-demo: {message}", file=sys.stderr, flush=True)


def _bring_up_to_date(layers: list[str], lock: int) -> None:
    state = _state()
    if "unfinished" in state or state.get("packages") != _definition("packages") or not os.path.exists(PYTHON):
        state = _fresh_folder(lock)
    for name in [name for name in LAYERS if name in layers and state.get(name) != _definition(name)]:
        layer, definition = LAYERS[name], _definition(name)
        _note({**state, "unfinished": name})
        _say(layer.doing)
        try:
            for installed in layer.installed:
                _run([*PIP, *installed], lock)
        except InstallError as error:
            if name != "packages":
                _note(state)  # pip has put back what it changed
            full = "No space left" in str(error)
            advice = "make room on the disk of this folder" if full else layer.advice
            raise InstallError(f"{error}; {advice} (Details above; the next run tries again.)") from None
        state = {**state, name: definition, "contents": _contents()}
        _note(state)


def _contents() -> list[str]:
    """Return the paths of what is installed, so that a damaged environment is known for one."""
    import subprocess

    said = subprocess.check_output([PYTHON, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    folder = os.fsdecode(said).strip()
    names = sorted(os.listdir(folder))
    return [os.path.relpath(os.path.join(folder, name), FOLDER) for name in names if name != "__pycache__"]


def _fresh_folder(lock: int) -> dict[str, Any]:
    """Make the environment anew, empty, in place of an older one; return its state."""
    import importlib.util
    import shutil

    version = ".".join(map(str, sys.version_info[:3]))
    state = _state()
    if state.get("python", _this_python()) != _this_python() and os.path.exists(PYTHON) and "unfinished" not in state:
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
    if os.path.lexists(FOLDER):
        if not _may_be_replaced():
            raise InstallError(
                f"{FOLDER} was made by something else and is left alone: move it away, and run this again"
            )
        shutil.rmtree(FOLDER + ".old", ignore_errors=True)
        try:
            os.replace(FOLDER, FOLDER + ".old")
        except OSError as error:
            raise InstallError(f"{FOLDER} is in use, end the programs that run in it: {error}") from None
    shutil.rmtree(FOLDER + ".old", ignore_errors=True)
    _say(f"making a virtual environment in {FOLDER}, with Python {version}")
    os.mkdir(FOLDER)
    _note({"unfinished": "venv"})
    # Python's own path outside of any environment: the one that runs this may be in the folder just removed.
    python = getattr(sys, "_base_executable", None) or sys.executable
    _run([python, "-I", "-m", "venv", "--prompt", "relu-demo", FOLDER], lock)
    return {"python": _this_python()}


def _may_be_replaced() -> bool:
    """Return whether the folder is empty, or an environment of this project, of an earlier version of it too."""
    try:
        with open(os.path.join(FOLDER, "pyvenv.cfg"), encoding="utf-8") as file:
            return os.path.exists(STATE) or "prompt = 'relu-demo'" in file.read()
    except OSError:
        return os.path.exists(STATE) or (os.path.isdir(FOLDER) and not os.listdir(FOLDER))


def _run(command: list[str], lock: int) -> None:
    """Run a command, with its last line shown on a terminal; if it fails show all of them, and raise InstallError.

    The command holds the lock too, so that it is waited for even if this process is killed.
    """
    import subprocess

    lines = []
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env=_clean_environ(),
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
    import shutil

    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r{text[:width]:{width}}" + ("" if text else "\r"))
        sys.stderr.flush()
