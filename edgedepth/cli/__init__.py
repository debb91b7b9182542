"""The command line: one file per verb.

A mistake in what was typed or handed in, a path that the operating system refuses among them, is one line on
standard error and exit code 2; Ctrl-C is exit code 130, SIGTERM 143, a reader of standard output that went away 141;
anything else that escapes is a bug of ours and shows its traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``edgedepth`` command."""
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
    try:
        raise SystemExit(_run())
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    finally:
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, before)


def _end(number: int, _: FrameType | None) -> None:
    """SIGTERM as an exception: what is half-written is removed on the way out."""
    raise SystemExit(128 + number)


def _run() -> int:
    # Imported here, so that Ctrl-C in the second that OpenCV and onnxruntime take to load ends quietly as well.
    import typer

    from edgedepth.cli.verbs import app
    from edgedepth.errors import EdgeDepthError, OutputError, ReaderGone

    try:
        code = app(prog_name="edgedepth", standalone_mode=False)
    except EdgeDepthError as error:
        if isinstance(error, OutputError):
            _give_up_output()
        if isinstance(error, ReaderGone):
            return 128 + signal.SIGPIPE
        _complain(str(error))
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}; give a path that can be used")
        return 2
    except typer.Abort:
        return 128 + signal.SIGINT
    except Exception as error:
        # What was typed cannot be parsed. Typer has no public name for the base of these.
        if not hasattr(error, "format_message"):
            raise
        if len(sys.argv) < 2:  # the help
            print(error.format_message(), file=sys.stderr)
        else:
            context = getattr(error, "ctx", None)
            _complain(f"{error.format_message()} (see: {context.command_path if context else 'edgedepth'} --help)")
        return 2
    return code if isinstance(code, int) else 0


def _complain(message: str) -> None:
    print(f"edgedepth: error: {' '.join(message.split())}", file=sys.stderr)


def _give_up_output() -> None:
    """What standard output still holds and cannot be written would be complained of again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
