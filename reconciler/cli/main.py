"""Where ``trueup`` starts: picks the command, runs it, and turns every error into words on
stderr and an exit status.

Start-up time is what a command line is judged by, so this module imports next to nothing.
Exit status: 0 done; 1 failed; 2 changes are pending (``plan``); 64 wrong usage or spec;
130 interrupted.
"""

import os
import sys
from collections.abc import Sequence
from errno import EDQUOT, EIO, ENOSPC, EROFS
from importlib import import_module

from reconciler.cli import catalogue
from runtime.errors import DeviceFailed, DiskFull, Fault

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status; prints every error itself.

    What it makes is for nobody else to read; where others may, that is said where it is made.
    """
    before = os.umask(0o077)
    _open_streams()
    try:
        return _main(argv)
    finally:
        os.umask(before)


def _main(argv: Sequence[str] | None) -> int:
    try:
        status = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except Fault as fault:
        return _tell(fault)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _silenced()
    except OSError as error:
        return _of_the_machine(error)
    except SystemExit as leaving:  # argparse, after --help
        return leaving.code if isinstance(leaving.code, int) else 1
    except Exception as error:  # noqa: BLE001  # whatever is left is a defect of ours
        return _defect(error)


def _open_streams() -> None:
    """Who starts us with a closed stream (``<&-``, ``>&-``) does not want it, and shall not get
    it in the next file that we open: that would get its number."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != fd:
                os.dup2(nothing, fd)
                os.close(nothing)
            os.set_inheritable(fd, True)  # noqa: FBT003  # it takes no keywords
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115  # until we end


def _dispatch(argv: Sequence[str]) -> int:
    from reconciler.cli.arguments import Usage, parse, split

    before, command, words = split(argv)
    if command is None:
        return _bare(before)
    if command not in catalogue.names():
        near = catalogue.meant(command)
        meant = f"did you mean `trueup {near}`? " if near else ""
        raise Usage(f"trueup has no command `{command}`", f"{meant}`trueup` alone lists them")
    module = import_module(catalogue.module(command))
    status: int = module.run(parse(command, module, [*before, *words]))
    return status


def _bare(before: Sequence[str]) -> int:
    """No command: list them all."""
    from reconciler.cli.arguments import Usage

    if "--version" in before:
        return _dispatch(["version"])
    if before and before[-1] not in ("-h", "--help"):
        raise Usage(f"no command after {' '.join(before)}", "`trueup` alone lists the commands")
    sys.stdout.write(catalogue.listing())
    sys.stdout.flush()
    return 0


def _tell(fault: Fault) -> int:
    from reconciler.views.faults import describe

    sys.stderr.write(f"{describe(fault)}\n")
    return fault.exit_code


def _silenced() -> int:
    """Whoever read our output has left: say nothing, and nothing more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


def _of_the_machine(error: OSError) -> int:
    """A disk that is full, read-only or broken is no defect of ours. What could not be written was
    our output, unless the error names a file."""
    if error.errno not in (ENOSPC, EDQUOT, EROFS, EIO):
        return _defect(error)
    if error.filename is None:
        _silenced()
    if error.errno in (ENOSPC, EDQUOT):
        kept = "the output, or what is kept of this instance"
        return _tell(DiskFull(str(error.filename or kept)))
    place = str(error.filename or "the input or the output")
    return _tell(DeviceFailed(place, os.strerror(error.errno)))


def _defect(error: Exception) -> int:
    """Write the traceback to a file that a report can carry; the user gets one line."""
    import traceback

    from reconciler.cli.defects import keep
    from reconciler.views.terminal import escape

    path = keep("".join(traceback.format_exception(error)))
    sys.stderr.write(
        f"this is a defect of trueup ({escape(repr(error))[:200]}): please report it with {path}\n"
    )
    return 1
