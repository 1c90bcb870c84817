"""The options of `recommender benchmark`; each command imports its module when it runs."""

from recommender.commands import options
from recommender.commands.shared import emit


def architecture(bundles: options.Bundles, as_json: options.AsJson = False) -> None:
    """Count the files and calls that a request passes, duplicate class names and import cycles."""
    from recommender.commands.benchmarks.architecture import measure, show

    figures = measure(bundles)
    emit(figures, show(figures), as_json)
