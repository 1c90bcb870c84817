"""Create the events, the overlay and its revision, unless a store from before the migrations has them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "events",
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("event_name", sa.Text, nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("recommendation_id", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("quantity", sa.Double),
        sa.Column("price", sa.Double),
        if_not_exists=True,
    )
    op.create_index("events_by_user", "events", ["user_id", "timestamp"], if_not_exists=True)
    op.create_index("events_by_time", "events", ["timestamp"], if_not_exists=True)
    op.create_table(
        "item_overlay",
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("attributes", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "overlay_revision",
        sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
