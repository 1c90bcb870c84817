"""Brings a database's tables up to date; each change of them is one file in `versions/`."""

from pathlib import Path

import sqlalchemy as sa

from recommender.errors import StoreError
from recommender.stores.sql.database import Database

HEAD = "0002"
_LOCK = 0x7265636F  # any number of our own


def migrate(database: Database) -> None:
    """Make or change what is missing, whoever else does so at the same time.

    Raises
    ------
    StoreError
        The database does not answer, or a newer version of this package has changed it.
    """
    with database.transaction() as connection:
        if _version(connection) == HEAD:
            return
    with database.transaction() as connection:
        database.lock(connection, _LOCK)
        found = _version(connection)
        if found is not None and found > HEAD:
            raise StoreError(
                f"the store {database.name} is of version {found}, this package knows up to {HEAD}; update it"
            )
        _upgrade(connection)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
