"""What ``--filter`` asks of an image."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.cli.filters import flag, moment

if TYPE_CHECKING:
    from runtime.api import ImageSummary

    Test = Callable[[ImageSummary], bool]


def test(
    filters: Mapping[str, Sequence[str]], now: float, created: Callable[[str], float]
) -> "Test":
    """Whether an image fits all of the filters, of one key, too, as Docker has it. ``created``
    tells when the image that a word names was made. Raises ``Usage``, and what ``created`` does.
    """
    from reconciler.views.images import dangling, labelled

    def one(key: str, value: str) -> "Test":
        match key:
            case "dangling":
                wanted = flag(value)
                return lambda image: dangling(image) is wanted
            case "label":
                return lambda image: labelled(image, value)
            case "label!":
                return lambda image: not labelled(image, value)
            case "since":
                then = created(value)
                return lambda image: image.created > then
            case "before":
                then = created(value)
                return lambda image: image.created < then
            case "until":
                then = moment(value, now)
                return lambda image: image.created < then
        raise AssertionError(key)  # `read` knows no other

    tests = [one(key, value) for key, values in filters.items() for value in values]
    return lambda image: all(each(image) for each in tests)
