"""Answers of placements that explore, in a SQL database."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa

from recommender.stores.base import LoggedAnswer, LoggedItem
from recommender.stores.sql.database import METADATA, Database, Utc

ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("recommendation_id", sa.Text, primary_key=True),
    sa.Column("timestamp", Utc, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("items", sa.JSON, nullable=False),
)
Events = dict[tuple[str, str], set[str]]


class SqlAnswers:
    """`AnswerLog` on a SQL database; `SqlEvents` deletes from its table, too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, answer: LoggedAnswer) -> None:
        """See `AnswerLog.add`."""
        items = [[item.item_id, item.propensity, item.explored] for item in answer.items]
        values = {
            "recommendation_id": answer.recommendation_id,
            "timestamp": answer.timestamp,
            "user_id": answer.user_id,
            "session_id": answer.session_id,
            "request": dict(answer.request),
            "items": items,
        }
        with self._database.transaction() as connection:
            connection.execute(sa.insert(ANSWERS), values)

    def read(self, start: datetime, end: datetime) -> Iterator[LoggedAnswer]:
        """See `AnswerLog.read`."""
        during = (ANSWERS.c.timestamp >= start) & (ANSWERS.c.timestamp < end)
        events = METADATA.tables["events"]
        joined = events.join(ANSWERS, events.c.recommendation_id == ANSWERS.c.recommendation_id)
        named = (
            sa.select(events.c.recommendation_id, events.c.item_id, events.c.event_name)
            .select_from(joined)
            .where(during, events.c.counted.isnot(False))
        )
        of_answer: Events = defaultdict(set)
        order = ANSWERS.c.timestamp, ANSWERS.c.recommendation_id
        with self._database.transaction() as connection:
            for recommendation_id, item_id, name in connection.execute(named):
                of_answer[recommendation_id, item_id].add(name)
            for row in connection.execute(sa.select(ANSWERS).where(during).order_by(*order)):
                key = row.recommendation_id
                items = tuple(
                    LoggedItem(item_id, propensity, explored, frozenset(of_answer.get((key, item_id), ())))
                    for item_id, propensity, explored in row.items
                )
                yield LoggedAnswer(key, row.timestamp, row.user_id, row.session_id, row.request, items)

    def close(self) -> None:
        """See `AnswerLog.close`."""
        self._database.close()
