"""``trueup version``: which trueup, on which kernel, with which parts."""

import sys

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.release import VERSION


class Options(GlobalOptions):
    format: str


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to print (default: text)"
    )


def run(options: Options) -> int:
    """Print trueup's version, then a line for each part of the engine."""
    rows = [("trueup", VERSION), *_parts()]
    if options.format == "json":
        import json

        sys.stdout.write(json.dumps(dict(rows), indent=2) + "\n")
    else:
        width = max(len(part) for part, _ in rows)
        sys.stdout.writelines(f"{part:<{width}}  {version}\n" for part, version in rows)
    return 0


def _parts() -> list[tuple[str, str]]:
    from runtime.backends import versions

    return [(part.part, part.version) for part in versions()]
