"""``trueup save``: images with their names in one archive."""

import argparse
from pathlib import Path

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.files import written
from reconciler.cli.references import local
from reconciler.cli.showing import shown
from runtime.api import ArchiveForm


class Options(GlobalOptions):
    names: list[str]
    output: Path | None
    form: ArchiveForm


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("names", metavar="IMAGE", nargs="+", help="a reference, an id, or a spec's own name")
    add("-o", "--output", type=Path, metavar="FILE", help="write it there (default: to stdout)")
    add(
        "--format",
        dest="form",
        type=_form,
        default=ArchiveForm.DOCKER,
        metavar="|".join(ArchiveForm),
        help="oci-archive keeps every digest (default: docker-archive)",
    )
    add(
        "--oci",
        dest="form",
        action="store_const",
        const=ArchiveForm.OCI,
        help="short for --format oci-archive",
    )


def _form(text: str) -> ArchiveForm:
    try:
        return ArchiveForm(text)
    except ValueError:
        known = " or ".join(ArchiveForm)
        raise argparse.ArgumentTypeError(f"`{text}` is no form of archive; write {known}") from None


def run(options: Options) -> int:
    """Write the archive; nothing half-written is left under its name."""
    with opened(options) as runtime, written(options.output, "an archive of images") as out:
        names = [local(name, runtime) for name in options.names]
        with shown(", ".join(options.names), quiet=False) as report:
            runtime.images.save(names, out, options.form, report)
    return 0
