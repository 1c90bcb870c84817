"""Plan experiments."""

from dataclasses import asdict
from typing import Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import emit


def power(
    rate: Annotated[
        float,
        typer.Option("--rate", help="Conversion rate per visitor, such as 0.03; or mean.", show_default=False),
    ],
    lift: Annotated[
        float, typer.Option("--lift", help="Lift to be found, as a share: 0.05 for 5 %.", show_default=False)
    ],
    visitors_per_day: Annotated[
        float, typer.Option("--visitors-per-day", help="New visitors of all arms together.", show_default=False)
    ],
    power: Annotated[float, typer.Option("--power", help="Probability of finding it.")] = 0.8,
    alpha: Annotated[float, typer.Option("--alpha", help="Rate of false alarms.")] = 0.05,
    arms: Annotated[int, typer.Option("--arms", help="Number of arms, of equal shares.")] = 2,
    deviation: Annotated[
        float | None,
        typer.Option("--deviation", help="Standard deviation; then --rate is any mean."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say how many days an experiment takes that is looked at every day."""
    from recommender.experiments import plan

    found = plan(rate, lift, visitors_per_day, power=power, alpha=alpha, arms=arms, deviation=deviation)
    text = (
        f"{found.days} days ({found.visitors:,} visitors): by then a lift of {lift:.1%} is found with"
        f" a probability of {found.power:.0%}, looked at every day\n"
        f"half of such experiments find it within {found.median_days} days; a test that is looked at only once, at"
        f" the end, needs {found.fixed_days}\n"
        f"write into the experiment: planned_visitors = {found.visitors}"
    )
    emit(asdict(found), text, as_json)
