"""``trueup pull``: an image from a registry."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from reconciler.cli.access import registries
from reconciler.cli.arguments import GlobalOptions, Parser, Usage
from reconciler.cli.console import opened
from runtime.api import (
    ImageSpec,
    ImageSummary,
    Progress,
    PullPolicy,
    RegistryAccess,
    RegistrySource,
    Report,
)
from runtime.reference import BadReference, Reference, parse

Pull = Callable[[ImageSpec, Sequence[RegistryAccess], Report], str]


class Options(GlobalOptions):
    reference: str
    spec: Path | None
    quiet: bool


def arguments(parser: Parser) -> None:
    parser.add_argument("reference", metavar="NAME[:TAG|@DIGEST]")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print the full reference, no progress"
    )
    parser.add_argument(
        "--spec",
        type=Path,
        metavar="PATH",
        help="use what this spec says of the registry under `registries:` (default: the spec in "
        "this folder, if there is one)",
    )


def run(options: Options) -> int:
    """Fetch what is not here yet; the last lines are the digest and the full reference."""
    reference = _reference(options.reference)
    image = ImageSpec(
        name=options.reference,
        source=RegistrySource(reference=str(reference), pull=PullPolicy.ALWAYS),
    )
    if not options.quiet and _has_default_tag(options.reference, reference):
        sys.stdout.write("Using default tag: latest\n")
    access = registries(options.spec)
    with opened(options) as runtime:
        id = _pull(runtime.images.pull, image, access, quiet=options.quiet)
        digest = _digest(runtime.images.list(), id, reference)
    if digest and not options.quiet:
        sys.stdout.write(f"Digest: {digest}\n")
    sys.stdout.write(f"{reference}\n")
    return 0


def _reference(text: str) -> Reference:
    """Raises ``Usage``: here it is a word of the command line that is wrong."""
    try:
        return parse(text)
    except BadReference as error:
        raise Usage(
            f"{error.what}: {error.why}" if error.why else error.what, error.hint
        ) from error


def _has_default_tag(written: str, reference: Reference) -> bool:
    """Whether the tag was not written but understood."""
    return bool(reference.tag) and not written.endswith(f":{reference.tag}")


def _pull(pull: Pull, image: ImageSpec, access: Sequence[RegistryAccess], *, quiet: bool) -> str:
    """Pull with progress on stderr, so that stdout holds only what scripts read."""
    from reconciler.views.progress import Area, amount

    with Area(sys.stderr) as area:

        def report(progress: Progress) -> None:
            area.doing(progress.what, amount(progress))

        return pull(image, access, _silent if quiet else report)


def _silent(_progress: Progress) -> None:
    """Nobody asked for progress."""


def _digest(images: Sequence[ImageSummary], id: str, reference: Reference) -> str | None:
    """The digest under which the image just pulled is known in that repository."""
    name = f"{reference.host}/{reference.repository}@"
    known = [each for image in images if image.id == id for each in image.references]
    return next((each.removeprefix(name) for each in known if each.startswith(name)), None)
