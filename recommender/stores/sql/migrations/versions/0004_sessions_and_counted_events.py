"""Index the events of a session by time, and say of each event whether reports and trending products count it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column, which is NULL for earlier events and those of an earlier version, and replace the index."""
    op.add_column("events", sa.Column("counted", sa.Boolean))
    op.create_index("events_by_session_and_time", "events", ["session_id", "timestamp"])
    op.drop_index("events_by_session", "events")
