"""Compose's forms of variables, as the specification has them, and odd things of real files."""

import pytest

from specs.interpolate import BadInterpolation, expand

SET = {"X": "x", "E": "", "A_1": "one", "lower": "l", "D": "$X"}

TABLE = {
    "$X": "x",
    "${X}": "x",
    "a$X-b": "ax-b",
    "${lower}$A_1": "lone",
    "$U.": ".",
    "${U}:/data": ":/data",
    "${X:-d}": "x", "${E:-d}": "d", "${U:-d}": "d",
    "${X-d}": "x", "${E-d}": "", "${U-d}": "d",
    "${X:+r}": "r", "${E:+r}": "", "${U:+r}": "",
    "${X+r}": "r", "${E+r}": "r", "${U+r}": "",
    "${X:?m}": "x", "${X?m}": "x", "${E?m}": "",
    "${U:-}": "", "${U-}": "",
    "${U:-a:b-c?d+e}": "a:b-c?d+e",
    "${U:-${V:-${X}}}": "x",
    "${U:-${V:-deep}}/tail": "deep/tail",
    "${U:-$X}": "x",
    "${X:+${A_1}}": "one",
    "${U:-$$X}": "$X",
    "$$X": "$X", "$${X}": "${X}", "$$$X": "$x", "$$$$": "$$",
    # what a variable holds is not filled in again
    "$D": "$X", "${D}": "$X",
    # a lone dollar is meant
    "^a$": "^a$", "$(date)": "$(date)", "cost 5$ or $5": "cost 5$ or $5", "$": "$", "a$ b": "a$ b",
    "${U:-{\"a\":1}}": "{\"a\":1}",
}  # fmt: skip


@pytest.mark.parametrize("text", TABLE)
def test_a_text_with_variables_reads(text: str) -> None:
    assert expand(text, SET).value == TABLE[text]


ERRORS = {
    "${U:?set me}": ("`U` must be set: set me", 2),
    "${E:?}": ("`E` must be set: it is empty", 2),
    "${U?}": ("`U` must be set: it is not set", 2),
    "a ${U?say $X}": ("`U` must be set: say x", 4),
    "ab ${X": ("`${` is not closed", 3),
    "${U:-${X}": ("`${` is not closed", 0),
    "${}": ("`${` must be followed by a variable's name", 2),
    "${1X}": ("`${` must be followed by a variable's name", 2),
    "${X!y}": ("after the name `X` this is no form of a variable", 2),
    "${X:y}": ("after the name `X` this is no form of a variable", 2),
    "${U:-" * 20 + "}" * 20: ("variables nested more than 16 levels deep", 85),
}


@pytest.mark.parametrize("text", ERRORS)
def test_a_wrong_form_is_refused_with_its_offset(text: str) -> None:
    with pytest.raises(BadInterpolation) as caught:
        expand(text, SET)
    assert (caught.value.reason, caught.value.offset) == ERRORS[text]


def test_only_plain_variables_without_a_value_are_unset() -> None:
    assert expand("$U ${V} ${W:-d} ${E} ${X:+$Y}", SET).unset == ["U", "V", "Y"]


def test_variables_that_were_used_are_told_but_defaults_are_not() -> None:
    assert expand("$X ${E:-$A_1} ${U:-d}", SET).used == ["X", "A_1"]


def test_a_value_that_grows_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(BadInterpolation):
        expand("$B" * 2000, {"B": "b" * 1000})
