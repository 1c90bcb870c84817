"""Add the time and the source of live changes, and which generation absorbed them.

Changes from before get the time of the migration. Those that were queued count as products of the API, until the
catalogue has them.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns."""
    with op.batch_alter_table("item_overlay") as overlay:
        now = sa.text(repr(time.time()))
        overlay.add_column(sa.Column("updated_at", sa.Double, nullable=False, server_default=now))
        overlay.add_column(sa.Column("times", sa.JSON))
        overlay.add_column(sa.Column("source", sa.Text, nullable=False, server_default=""))
        overlay.add_column(sa.Column("added", sa.Boolean, nullable=False, server_default=sa.false()))
        overlay.add_column(sa.Column("absorbed", sa.Text))
    table = sa.table("item_overlay", sa.column("added"), sa.column("queued"))
    op.execute(sa.update(table).where(table.c.queued.is_not(None)).values(added=True))
