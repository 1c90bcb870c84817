"""The script that Alembic runs: it migrates by the connection and transaction that `migrate` has opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
