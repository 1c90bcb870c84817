"""Add the attributes of users."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "user_attributes",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("attributes", sa.JSON, nullable=False),
    )
