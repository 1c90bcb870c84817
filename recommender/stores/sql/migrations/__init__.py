"""Migrate the tables of a database by Alembic; the migrations are in `versions/`."""

from pathlib import Path

import sqlalchemy as sa

from recommender.errors import StoreError
from recommender.stores.sql.database import Database

HEAD = "0005"
_LOCK = 0x7265636F  # id of the advisory lock


def migrate(database: Database) -> None:
    """Create or migrate the tables; safe to run in several processes at once.

    Raises
    ------
    StoreError
        The database does not respond, or has the schema of a newer version of this package.
    """
    with database.transaction() as connection:
        if _version(connection) == HEAD:
            return
    with database.transaction() as connection:
        database.lock(connection, _LOCK)
        version = _version(connection)
        if version is not None and version > HEAD:
            raise StoreError(
                f"the store {database.name} has schema version {version}, this package supports up to {HEAD}; "
                "upgrade hybrid-recommender"
            )
        _upgrade(connection)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return version


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
