"""Validate the files that a config names, as a fit reads them."""

from recommender.catalog.catalog import Catalog
from recommender.catalog.images.check import check_images
from recommender.catalog.influence import bound_influence
from recommender.catalog.interactions import Interactions
from recommender.catalog.losses import refuse_losses
from recommender.catalog.report import DataReport
from recommender.catalog.summary import summarize_events, summarize_products, summarize_users
from recommender.catalog.users import Users
from recommender.config import Config


def validate(config: Config, strict: bool = False) -> DataReport:
    """Read products, images, events and users, and report every problem; nothing is trained.

    Parameters
    ----------
    config
        Names the files.
    strict
        Whether a problem that leaves something out is an error.

    Raises
    ------
    DataError, ConfigError
        If a file cannot be read at all, if most products or all events could not be used, or if most events name
        their products in another form than the catalogue; with `strict`, if anything was left out.
    """
    report = read_files(config)
    report.raise_if_strict(strict)
    refuse_losses(report.losses, strict)
    return report


def read_files(config: Config) -> DataReport:
    """Read products, images, events and users, and report every problem, however much is lost.

    Raises
    ------
    DataError, ConfigError
        If a file cannot be read at all.
    """
    catalog = Catalog.load(config)
    report = catalog.report
    report.columns += summarize_products(catalog, config.catalog)
    check_images(catalog, config.catalog.path.name, report)
    catalog.images.close()
    if config.events is not None:
        interactions = bound_influence(Interactions.load(config, catalog))
        interactions.report.columns += summarize_events(interactions, config.events)
        report.merge(interactions.report)
        if config.users is not None:
            users = Users.load(config)
            interactions.with_users(users)
            users.report.columns += summarize_users(users, config.users)
            report.merge(users.report)
    return report
