"""Add the log of answers of placements that explore."""

import sqlalchemy as sa
from alembic import op

from recommender.stores.sql.database import Utc

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table and its indexes."""
    op.create_table(
        "answers",
        sa.Column("recommendation_id", sa.Text, primary_key=True),
        sa.Column("timestamp", Utc, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("items", sa.JSON, nullable=False),
    )
    for name in ("timestamp", "user_id", "session_id"):
        op.create_index(f"answers_by_{name}", "answers", [name])
