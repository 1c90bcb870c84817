"""Migrate the tables of a database by Alembic; the migrations are in `versions/`.

They only expand: new tables, new columns that are nullable or have a default in the database, new indexes. So
services of the version before go on with a store that a newer one has migrated, while replicas are upgraded one by
one. What is no longer used is removed by a later release than the one that stopped using it.
"""

from pathlib import Path

import sqlalchemy as sa

from recommender.stores.sql.database import Database

HEAD = "0008"
_LOCK = 0x7265636F  # id of the advisory lock


def migrate(database: Database) -> None:
    """Create or migrate the tables; safe to run in several processes at once. A newer schema is left as it is.

    Raises
    ------
    StoreError
        The database does not respond.
    """
    with database.transaction() as connection:
        if not _is_older(_version(connection)):
            return
    with database.transaction() as connection:
        database.lock(connection, _LOCK)
        if not database.is_sqlite:  # an index of a large table takes longer than a request may
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        if _is_older(_version(connection)):
            upgrade(connection)


def _is_older(version: str | None) -> bool:
    return version is None or version < HEAD


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return version


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Run the migrations up to a revision."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
