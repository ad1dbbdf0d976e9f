"""The run: a command line in, an exit code out. PyTorch is loaded, the request answered, its report shown."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from relu_demo.cli.command import Asked, command
from relu_demo.errors import CLOSED, BadInput, Error, lacks_memory, readable, words_of
from relu_demo.language import LANGUAGES, _, speaking
from relu_demo.request import Check, Explain, Measure, Replay, Rules, Watch

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code. Write to `sys.stdout` and `sys.stderr`."""
    with speaking(language_of(arguments)):
        return answer(arguments)


def language_of(words: Sequence[str]) -> str | None:
    """Return the language that a command line is answered in, None for that of the environment.

    It is known before the words are read: a usage error speaks it too. What programs read is English.
    """
    if {*words[:1]} & {Check.scenario, Watch.scenario} or {*words} & {"--json", "--repl"}:
        return "en"
    given = re.findall("--lang[= ]([a-z]+)", " ".join(words))
    return given[-1] if given and given[-1] in LANGUAGES else None


def answer(arguments: Sequence[str]) -> int:
    """Read the arguments, do what they ask, and return the exit code."""
    asked = None
    if [*arguments[:1]] != [Watch.scenario]:  # what a watched program finds is its own
        forget_width_of_0()
    try:
        asked = command.main(list(arguments), prog_name="relu-demo", standalone_mode=False)
        if not isinstance(asked, Asked):  # --help and --version ask nothing more
            return fault(_(CLOSED)) if sys.stdout is None else 0
        if isinstance(asked.request, Check):
            from relu_demo.cli.checking import run_check

            return run_check(asked, asked.request)
        if isinstance(asked.request, Watch):
            return run_watch(asked, asked.request)
        return run_scenario(asked, asked.request)
    except (KeyboardInterrupt, SystemExit, Exception) as error:
        # click 8.1.3 writes --help to it all the same.
        if asked is None and sys.stdout is None and isinstance(error, AttributeError):
            return fault(_(CLOSED))
        return report_error(error, traceback=isinstance(asked, Asked) and asked.traceback)


def report_error(error: BaseException, traceback: bool) -> int:
    """Say what went wrong, in one line, and return the exit code: 70 for an internal error."""
    if isinstance(error, SystemExit):  # how click ends shell completion, and --help into a closed pipe
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        say("")  # the shell's prompt goes below the terminal's ^C
        return 130
    if isinstance(error, click.ClickException):
        return fault(message_of(error))
    if isinstance(error, Error):
        return fault(usage_words(error, traceback))
    if isinstance(error, OSError):
        return fault(_("the output cannot be written: {why}", why=error.strerror))
    if lacks_memory(error):  # of what Python and PyTorch raise, this alone is expected
        return fault(_("there is not enough memory for this; give a smaller --shape or fewer --values"))
    return report_internal_error(error, traceback)


def report_internal_error(error: BaseException, traceback: bool) -> int:
    """Say that something went wrong in relu-demo itself, and return the exit code for it."""
    from traceback import extract_tb

    last = extract_tb(error.__traceback__)[-1]
    place = f" ({last.filename}:{last.lineno})"
    message = _("internal error, {kind}: {words}{place}", kind=type(error).__name__, words=words_of(error), place=place)
    fault(with_traceback(message, error, traceback))
    return 70


def with_traceback(message: str, error: BaseException, wanted: bool) -> str:
    """Return what to say of an error. Print its traceback on stderr first if it is wanted; else say how to see it."""
    from traceback import format_exception

    if not wanted:
        return _("{message}; --traceback shows the rest", message=message)
    say("".join(format_exception(error)).rstrip("\n"))
    return message


def message_of(error: click.ClickException) -> str:
    """Return what click says of an error. It has its own words for a value that is not taken, in English."""
    if isinstance(error, click.BadParameter) and error.param:
        return invalid(error.param.get_error_hint(error.ctx), error.message)
    return error.format_message()


def invalid(option: str, why: str) -> str:
    """Say that the value of an option cannot be used."""
    return _("Invalid value for {option}: {why}", option=option, why=why)


def run_scenario(asked: Asked, request: Replay | Explain | Rules | Measure) -> int:
    """Load PyTorch if it is needed, answer the request, show the report, and return the exit code."""
    from relu_demo.cli.output import deliver, progress_bar, save
    from relu_demo.machine.pytorch import load_torch

    if not isinstance(request, Rules):
        load_torch()
    report: AnyReport
    if asked.view == "step" and isinstance(request, Replay | Explain) and not asked.save:
        from relu_demo.cli.stepping import step
        from relu_demo.scenarios import stepped

        report = step(stepped(request), sys.stdout)
    else:
        from relu_demo.scenarios import report_on

        with progress_bar(_("Measuring")) as progress:
            report = report_on(request, progress)
    if asked.save:
        save(report, asked.view, asked.save, asked.light)
    else:
        deliver(report, asked.view, sys.stdout)
    return 0 if report.ok else 1


def run_watch(asked: Asked, request: Watch) -> int:
    """Run the program of a request under watch, report below its last line, and return the exit code.

    `--json` has standard output to itself, and what the program writes there goes to standard error; every other view
    goes to standard error. Raise BadInput if there is no such program.
    """
    from relu_demo import scenarios
    from relu_demo.cli.output import deliver, save
    from relu_demo.cli.targets import command_of

    to_stdout = asked.view in ("json", "diff") and not asked.save
    command = command_of(request.program)
    try:
        report = scenarios.watched(request, command, to_stderr=to_stdout)
    except OSError as error:
        raise BadInput(f"{command[0]} cannot be run: {error.strerror}; give another program") from error
    forget_width_of_0()
    if asked.save:
        save(report, asked.view, asked.save, asked.light)
    elif to_stdout or sys.stderr is not None:
        deliver(report, asked.view, sys.stdout if to_stdout else sys.stderr)
    code = report.exit_code
    if code == 128 + signal.SIGINT:
        return code
    return 1 if report.findings else code or (0 if report.processes else 3)


def forget_width_of_0() -> None:
    """Forget a width or height of 0, which rich takes at its word: the shells that set it do not know it."""
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "1").strip("0"):
            del os.environ[name]


def usage_words(error: Error, traceback: bool) -> str:
    """Return what to say of an error of ours. The traceback is that of the user's own code."""
    message = f"{error.prefix}{error}"
    if error.has_traceback:
        message = with_traceback(message, error.__cause__ or error, traceback)
    return invalid(f"'{error.option}'", message) if error.option else message


def fault(message: str) -> int:
    """Say on stderr what is wrong, in one line whatever it quotes, long words cut. Return the exit code for it."""
    # What a user gave may have any length.
    words = (word if len(word) <= 160 else f"{word[:80]}...{word[-40:]}" for word in message.split())
    say(f"relu-demo: {readable(' '.join(words))}")
    return 2


def say(text: str) -> None:
    """Write lines to stderr, if there is one that can be written."""
    if sys.stderr is None:  # print would take standard output instead
        return
    with suppress(OSError):
        try:
            print(text, file=sys.stderr)
        except ValueError:  # the checked network has closed it
            os.write(2, f"{text}\n".encode(errors="backslashreplace"))
