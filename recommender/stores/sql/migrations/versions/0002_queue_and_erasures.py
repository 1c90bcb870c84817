"""Add the queue of products to embed, removed products, and erasures."""

from secrets import token_hex

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add revisions and the queue to the overlay, and the tables of erasures."""
    with op.batch_alter_table("item_overlay") as overlay:
        overlay.add_column(sa.Column("revision", sa.BigInteger, nullable=False, server_default="1"))
        overlay.add_column(sa.Column("queued", sa.BigInteger))
        overlay.alter_column("attributes", existing_type=sa.JSON, nullable=True)
    op.create_index("overlay_by_revision", "item_overlay", ["revision"])
    op.create_table(
        "erasures",
        sa.Column("user_hash", sa.Text, primary_key=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
    )
    salt = op.create_table("erasure_salt", sa.Column("salt", sa.Text, nullable=False))
    op.bulk_insert(salt, [{"salt": token_hex(32)}])
    op.create_index("events_by_session", "events", ["session_id"])
