"""Times and sizes, word for word as Docker's."""

import pytest

from reconciler.views.quantities import ago, binary_size, decimal_size, duration, elapsed, timestamp

# From docker/go-units' own duration_test.go and size_test.go.
DURATIONS = [
    (0.45, "Less than a second"),
    (1, "1 second"),
    (45, "45 seconds"),
    (60, "About a minute"),
    (63, "About a minute"),
    (180, "3 minutes"),
    (35 * 60, "35 minutes"),
    (60 * 60, "About an hour"),
    (65 * 60, "About an hour"),
    (3 * 3600, "3 hours"),
    (32 * 3600, "32 hours"),
    (52 * 3600, "2 days"),
    (6 * 86400, "6 days"),
    (14 * 86400, "2 weeks"),
    (21 * 86400, "3 weeks"),
    (31 * 86400, "4 weeks"),
    (60 * 86400, "2 months"),
    (90 * 86400, "3 months"),
    (600 * 86400, "20 months"),
    (730 * 86400, "2 years"),
    (3 * 365 * 86400, "3 years"),
]


@pytest.mark.parametrize(("seconds", "words"), DURATIONS)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_clock_that_went_back_gives_no_negative_time() -> None:
    assert ago(100.0, 90.0) == "Less than a second ago"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (4_261_502, "4.26MB"), (187_000_000, "187MB"),
     (1_092_000_000, "1.09GB")],
)  # fmt: skip
def test_decimal_size(size: float, words: str) -> None:
    assert decimal_size(size) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(1024, "1KiB"), (512 << 20, "512MiB"), (1 << 30, "1GiB"), (1.42 * 2**20, "1.42MiB")],
)
def test_binary_size(size: float, words: str) -> None:
    assert binary_size(size) == words


def test_elapsed_and_timestamp() -> None:
    assert [elapsed(s) for s in (0.314, 12.44, 185)] == ["0.31s", "12.4s", "3m05s"]
    assert timestamp(0) == "1970-01-01 00:00:00 +0000 UTC"
