"""``trueup search``: repositories whose names have a word, in Docker Hub or another registry."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.access import known_to
from reconciler.cli.arguments import GlobalOptions, Parser, Usage, count
from reconciler.cli.console import opened
from reconciler.cli.filters import add_filter, flag, read
from reconciler.cli.pull import add_spec
from reconciler.cli.references import candidates
from reconciler.short_names import NoRegistryNamed, first_there
from runtime.errors import Fault
from runtime.reference import has_host

if TYPE_CHECKING:
    from reconciler.registries import Registries
    from runtime.api import Runtime, SearchHit

FILTERS = ("stars", "is-official")
_MOST = 100


class Options(GlobalOptions):
    term: str
    limit: int
    list_tags: bool
    no_trunc: bool
    spec: Path | None
    format: str
    filter: list[str]


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("term", metavar="[HOST/]TERM", help="a part of the name")
    add("--limit", type=_limit, default=25, metavar="N", help="at most so many (default: 25)")
    add("--list-tags", action="store_true", help="TERM is a repository: list its tags")
    add_filter(parser, "-f", "--filter", keys=FILTERS)
    add("--no-trunc", action="store_true", help="do not cut descriptions")
    add("--format", default="table", help="`table`, `json` or a Go template (default: table)")
    add_spec(parser)


def _limit(text: str) -> int:
    if not 1 <= (limit := count(text)) <= _MOST:
        raise argparse.ArgumentTypeError(f"`{text}` is not between 1 and {_MOST}")
    return limit


def run(options: Options) -> int:
    """List what is found, the best first; of several registries one after the other."""
    from reconciler.views import search as view
    from reconciler.views.listing import listing

    fits = _test(read(options.filter, FILTERS))
    known = known_to(options.spec)
    with opened(options) as runtime:
        if options.list_tags:
            listed = _tags(options, known, runtime)
        else:
            listed = _hits(options, known, fits, runtime)
    columns = view.TAG_COLUMNS if options.list_tags else view.COLUMNS
    sys.stdout.write(listing(listed, view.TITLES, columns=columns, form=options.format))
    return 0


def _test(filters: Mapping[str, Sequence[str]]) -> "Callable[[SearchHit], bool]":
    stars = max((_stars(each) for each in filters.get("stars", ())), default=0)
    official = {flag(each) for each in filters.get("is-official", ())}
    return lambda hit: hit.stars >= stars and official <= {hit.official}


def _stars(text: str) -> int:
    if not text.isdecimal():
        raise Usage(f"`{text}` is no number of stars", "write it like --filter stars=10")
    return int(text)


def _hits(
    options: Options,
    known: "Registries",
    fits: "Callable[[SearchHit], bool]",
    runtime: "Runtime",
) -> list[dict[str, object]]:
    from reconciler.views.search import rows
    from reconciler.views.terminal import escape

    first, _, rest = options.term.partition("/")
    hosts, term = ((first,), rest) if has_host(options.term) else (known.search.hosts, options.term)
    if not hosts:
        raise NoRegistryNamed(options.term, known.search.place)
    if not term:
        example = f"{first}/web" if first else "web"
        raise Usage("there is nothing to look for", f"write it like {example}")
    listed: list[dict[str, object]] = []
    faults: list[Fault] = []
    for host in hosts:
        try:
            found = runtime.registries.search(host, term, options.limit, known.access)
        except Fault as fault:
            faults.append(fault)
        else:
            listed += rows(host, [each for each in found if fits(each)], full=options.no_trunc)
    if len(faults) == len(hosts):
        raise faults[0]
    for each in faults:
        sys.stderr.write(f"warning: {escape(each.brief)}\n")
    return listed[: options.limit]


def _tags(options: Options, known: "Registries", runtime: "Runtime") -> list[dict[str, object]]:
    """The tags of the first repository of that name that a registry has."""
    found, tags = first_there(
        candidates(options.term, known.search),
        lambda each: runtime.registries.tags(str(each), known.access),
    )
    name = found.familiar.removesuffix(f":{found.tag}")
    return [{"Name": name, "Tag": tag} for tag in tags[: options.limit]]
