"""``trueup push``: an image to the registry that its name tells."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.access import known_to
from reconciler.cli.arguments import GlobalOptions, Parser, Usage
from reconciler.cli.console import opened
from reconciler.cli.pull import add_spec
from reconciler.cli.references import candidates, first_here, has_default_tag, reference, tagged
from reconciler.cli.showing import say, shown
from runtime.errors import Absent
from runtime.reference import Reference

if TYPE_CHECKING:
    from runtime.api import RegistryAccess, Runtime


class Options(GlobalOptions):
    reference: str
    all_tags: bool
    spec: Path | None
    quiet: bool


class NoTags(Absent):
    """No image here has a name in that repository."""

    def __init__(self, repository: str) -> None:
        super().__init__(
            f"there is no image named {repository} here", hint="`trueup images` lists them all"
        )


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("reference", metavar="[HOST/]NAME[:TAG]", help="`trueup tag` gives an image such a name")
    add("-a", "--all-tags", action="store_true", help="every tag of the repository that is here")
    add("-q", "--quiet", action="store_true", help="print the full reference, no progress")
    add_spec(parser)


def run(options: Options) -> int:
    """Send what the registry lacks; the last line is the digest that the tag has there."""
    default = has_default_tag(options.reference, tagged(options.reference))
    if options.all_tags and not default:
        raise Usage("--all-tags takes a name without a tag", "leave out what follows the name")
    known = known_to(options.spec)
    found = candidates(options.reference, known.search)
    with opened(options) as runtime:
        if options.all_tags:
            wanted = _every_tag(found, runtime)
        else:
            wanted = [_one(found, runtime)]
        if not options.quiet:
            say(f"The push refers to repository [{wanted[0].host}/{wanted[0].repository}]")
            if default and not options.all_tags:
                say("Using default tag: latest")
        for each in wanted:
            _push(each, runtime, known.access, quiet=options.quiet)
    return 0


def _one(found: Sequence[Reference], runtime: "Runtime") -> Reference:
    """The first that is here, else the first: it is what the error will name."""
    return reference(first_here(found, runtime.images.list()) or str(found[0]))


def _every_tag(found: Sequence[Reference], runtime: "Runtime") -> list[Reference]:
    here = [reference(name) for image in runtime.images.list() for name in image.references]
    for each in found:
        named = (each.host, each.repository)
        tags = [
            known
            for known in here
            if (known.host, known.repository) == named and known.tag and not known.digest
        ]
        if tags:
            return sorted(tags, key=str)
    raise NoTags(found[0].familiar.removesuffix(f":{found[0].tag}"))


def _push(
    each: Reference, runtime: "Runtime", access: "Sequence[RegistryAccess]", *, quiet: bool
) -> None:
    with shown(each.familiar, quiet=quiet) as report:
        digest = runtime.images.push(str(each), access, report)
    say(str(each) if quiet else f"{each.tag}: digest: {digest}")
