"""``trueup pull``: an image from a registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.access import known_to
from reconciler.cli.arguments import GlobalOptions, Parser, Usage
from reconciler.cli.console import opened
from reconciler.cli.references import candidates, has_default_tag, platform
from reconciler.cli.showing import say, shown
from reconciler.short_names import first_there
from runtime.api import ImageSpec, ImageSummary, PullPolicy, RegistryAccess, RegistrySource
from runtime.reference import Reference

if TYPE_CHECKING:
    from runtime.api import Runtime


class Options(GlobalOptions):
    reference: str
    all_tags: bool
    platform: str | None
    spec: Path | None
    quiet: bool


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("reference", metavar="NAME[:TAG|@DIGEST]")
    add("-a", "--all-tags", action="store_true", help="every tag of the repository")
    add(
        "--platform",
        type=platform,
        metavar="OS/ARCH[/VARIANT]",
        help="the image for that platform (default: this machine's)",
    )
    add("-q", "--quiet", action="store_true", help="print the full reference, no progress")
    add_spec(parser)


def add_spec(parser: Parser) -> None:
    """Which spec tells how registries are reached."""
    parser.add_argument(
        "--spec",
        type=Path,
        metavar="PATH",
        help="use what this spec says of the registry under `registries:` (default: the spec in "
        "this folder, if there is one)",
    )


def run(options: Options) -> int:
    """Fetch what is not here yet; the last lines are the digest, whether anything was new, and
    the full reference."""
    known = known_to(options.spec)
    wanted = candidates(options.reference, known.search)
    default = has_default_tag(options.reference, wanted[0])
    if options.all_tags and not default:
        raise Usage("--all-tags takes a name without a tag", "leave out what follows the name")
    if default and not options.quiet and not options.all_tags:
        say("Using default tag: latest")
    with opened(options) as runtime:
        puller = _Puller(runtime, known.access, options.platform, quiet=options.quiet)
        if options.all_tags:
            puller.every_tag(wanted)
        else:
            puller.first(wanted)
    return 0


@dataclass(frozen=True, slots=True)
class _Puller:
    runtime: "Runtime"
    access: Sequence[RegistryAccess]
    platform: str | None
    quiet: bool

    def first(self, wanted: Sequence[Reference]) -> None:
        """The first that its registry has."""
        first_there(wanted, self._pull)

    def every_tag(self, wanted: Sequence[Reference]) -> None:
        """All tags of the first repository that its registry has."""
        found, tags = first_there(
            wanted, lambda each: self.runtime.registries.tags(str(each), self.access)
        )
        for tag in tags:
            self._pull(Reference(host=found.host, repository=found.repository, tag=tag))

    def _pull(self, reference: Reference) -> None:
        before = self._id(reference)
        if not self.quiet:
            say(f"{reference.version}: Pulling from {_repository(reference)}")
        with shown(reference.familiar, quiet=self.quiet) as report:
            source = RegistrySource(
                reference=str(reference), pull=PullPolicy.ALWAYS, platform=self.platform
            )
            image = ImageSpec(name=str(reference), source=source)
            id = self.runtime.images.pull(image, self.access, report)
        if not self.quiet:
            if digest := _digest(self.runtime.images.list(), id, reference):
                say(f"Digest: {digest}")
            news = "Image is up to date" if id == before else "Downloaded newer image"
            say(f"Status: {news} for {reference.familiar}")
        say(str(reference))

    def _id(self, reference: Reference) -> str | None:
        """Which image the reference means here."""
        images = self.runtime.images.list()
        return next((each.id for each in images if str(reference) in each.references), None)


def _repository(reference: Reference) -> str:
    """As Docker has it: without a host that is the default one, with ``library/``."""
    named = reference.familiar.partition("/")[0] == reference.host
    return f"{reference.host}/{reference.repository}" if named else reference.repository


def _digest(images: Sequence[ImageSummary], id: str, reference: Reference) -> str | None:
    """The digest under which the image just pulled is known in that repository."""
    name = f"{reference.host}/{reference.repository}@"
    known = [each for image in images if image.id == id for each in image.references]
    return next((each.removeprefix(name) for each in known if each.startswith(name)), None)
