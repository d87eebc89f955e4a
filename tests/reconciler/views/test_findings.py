"""What `doctor` prints."""

from reconciler.views.findings import as_json, as_text
from runtime.api import Finding, Verdict

FOUND = (
    Finding(subject="kernel", verdict=Verdict.OK, text="6.1.0 x86_64"),
    Finding(
        subject="firewall",
        verdict=Verdict.BLOCKER,
        text="ufw drops what comes from outside",
        commands=("ufw route allow out on tuu", "ufw reload"),
    ),
    Finding(subject="clock", verdict=Verdict.WARNING, text="wrong\x1b[2J"),
)


def test_the_table_comes_before_the_commands() -> None:
    assert as_text(FOUND) == (
        "CHECK      VERDICT   FOUND\n"
        "kernel     ok        6.1.0 x86_64\n"
        "firewall   blocker   ufw drops what comes from outside\n"
        "clock      warning   wrong\\x1b[2J\n"
        "\n"
        "# firewall: ufw drops what comes from outside\n"
        "ufw route allow out on tuu\n"
        "ufw reload\n"
    )


def test_json_is_an_object_per_line() -> None:
    assert as_json(FOUND[:2]) == (
        '{"subject":"kernel","text":"6.1.0 x86_64","verdict":"ok"}\n'
        '{"commands":["ufw route allow out on tuu","ufw reload"],"subject":"firewall",'
        '"text":"ufw drops what comes from outside","verdict":"blocker"}\n'
    )
