"""Alembic runs this: it migrates over the connection, and in the transaction, that `migrate` has opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
