"""Add the order and the currency of purchases and refunds, and find the events of an order."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns, which are NULL for earlier events and those of an earlier version, and the index."""
    op.add_column("events", sa.Column("transaction_id", sa.Text))
    op.add_column("events", sa.Column("currency", sa.Text))
    known = sa.text("transaction_id IS NOT NULL")
    op.create_index(
        "events_by_order", "events", ["transaction_id", "item_id"], postgresql_where=known, sqlite_where=known
    )
