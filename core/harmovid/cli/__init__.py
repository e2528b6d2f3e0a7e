"""The command `harmovid`: deflicker, harmonize, check, serve, engines, presets, benchmark, status, keys, doctor, ...

    from harmovid.cli import main
    exit_code = main(["engines", "--json"])

`parser` defines the command line, one module per group of commands does the work, `exits` defines the exit codes.
Modules are imported when their command runs, so that `harmovid --help` answers at once. User errors show a traceback
only with `--debug`.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import Optional, Sequence

from harmovid.cli import exits, parser, plugin_commands
from harmovid.cli.console import Console, describe
from harmovid.errors import HarmoVidError, JobCancelled, OutputError

# Command -> the module whose `run(args, console)` does it; job commands and those of other packages are parsed
# differently.
_MODULES = {
    "engines": "harmovid.cli.server_commands",
    "presets": "harmovid.cli.presets",
    "benchmark": "harmovid.cli.benchmark",
    "status": "harmovid.cli.server_commands",
    "cancel": "harmovid.cli.server_commands",
    "keys": "harmovid.cli.keys_command",
    "grade": "harmovid.cli.grade",
    "watch": "harmovid.cli.watch",
    "doctor": "harmovid.cli.doctor",
    "plugin": "harmovid.cli.host_plugins",
}
OWN_COMMANDS = (*parser.JOB_COMMANDS, "check", *_MODULES)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command line and return its exit code (see `exits`).

    Args:
        argv: the arguments after the program's name; `sys.argv` by default.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # The streams must be known before the arguments are parsed, because errors in them are printed there.
    console = Console(
        machine="--json" in words, quiet="-q" in words or "--quiet" in words, events="--events" in words
    )
    try:
        try:
            return _ended(words, console)
        finally:
            # Flush here and not at the interpreter's exit, where errors could not be handled.
            console.flush()
    except BrokenPipeError:
        _forget_output()  # the reader has closed the pipe, as `| head` does: not an error
        return exits.JOB_FAILED
    except OutputError as error:  # only errors of the streams; those of the command are handled below
        _forget_output()
        print(describe(error), file=sys.stderr)
        return exits.OUTPUT


def _ended(words: Sequence[str], console: Console) -> int:
    """Run one command line; print its error, if any, and return its exit code.

    Raises:
        BrokenPipeError, OutputError: the output cannot be written.
    """
    try:
        return _run(words, console)
    except HarmoVidError as error:
        _trace(words)
        code = exits.for_error(error)
        console.error(error, code)
        return code
    except KeyboardInterrupt:
        console.error(JobCancelled("stopped by Ctrl-C."), exits.CANCELLED)
        return exits.CANCELLED
    except BrokenPipeError:
        raise
    except Exception as error:  # the outermost handler: what arrives here is a bug, not an error of the user
        _trace(words)
        fault = HarmoVidError(
            f"unexpected {type(error).__name__}: {error}",
            fix="This is a fault in HarmoVid; please report it with what --debug shows.",
        )
        console.error(fault, exits.JOB_FAILED)
        return exits.JOB_FAILED


def _forget_output() -> None:
    """Redirect streams that cannot be written any more to the null device, so that the interpreter can close them."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def _run(words: Sequence[str], console: Console) -> int:
    command = words[0] if words else ""
    if command and command[0] != "-" and command not in OWN_COMMANDS and plugin_commands.is_one(command):
        return plugin_commands.run(words, console)
    task = words[1] if command == "check" and len(words) > 1 else command
    if task in parser.JOB_COMMANDS:
        from harmovid.cli import job_command

        return job_command.run(words, task, dry=command == "check", console=console)
    args = parser.build().parse_args(words)
    exit_code: int = import_module(_MODULES[args.command]).run(args, console)
    return exit_code


def _trace(words: Sequence[str]) -> None:
    if "--debug" in words:
        traceback.print_exc()
