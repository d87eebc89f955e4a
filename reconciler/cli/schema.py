"""``trueup schema``: the JSON Schema of specs, for editors."""

import json
import sys

from reconciler.cli.arguments import GlobalOptions, Parser


class Options(GlobalOptions):
    """Nothing of its own."""


def arguments(_parser: Parser) -> None:
    """No options of its own."""


def run(_options: Options) -> int:
    """Print the schema as JSON."""
    from specs.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
    return 0
