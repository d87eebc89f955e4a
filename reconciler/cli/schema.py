"""``trueup schema``: the JSON Schema of specs, for editors."""

import json
import sys

from reconciler.cli.arguments import GlobalOptions, Parser


class Options(GlobalOptions):
    format: str


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "--format",
        choices=("json", "markdown"),
        default="json",
        help="the schema, or a reference of all keys to read (default: json)",
    )


def run(options: Options) -> int:
    """Print the schema."""
    from specs.schema import json_schema

    schema = json_schema()
    if options.format == "markdown":
        from reconciler.views.reference import reference

        sys.stdout.write(reference(schema))
    else:
        sys.stdout.write(f"{json.dumps(schema, indent=2)}\n")
    return 0
