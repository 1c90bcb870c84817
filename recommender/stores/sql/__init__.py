"""Events, overlay, users and definitions in one SQL database: SQLite on one machine, PostgreSQL for several."""

from recommender.stores.base import Store
from recommender.stores.sql.answers import SqlAnswers
from recommender.stores.sql.database import Database
from recommender.stores.sql.definitions import SqlDefinitions
from recommender.stores.sql.events import SqlEvents
from recommender.stores.sql.migrations import migrate
from recommender.stores.sql.overlay import SqlOverlay
from recommender.stores.sql.users import SqlUsers

SCHEMES = ("sqlite", "postgresql")


def open_url(url: str, timeout: float | None = None) -> Store:
    """Open the stores on the database at `url`, migrating its tables."""
    database = Database(url, timeout)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return Store(
        SqlEvents(database),
        SqlOverlay(database),
        SqlUsers(database),
        SqlAnswers(database),
        SqlDefinitions(database),
    )
