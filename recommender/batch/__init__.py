"""Batch recommendations for every product or user, to a file or a folder, in this process or on a cluster."""

from recommender.batch.answers import chunks as chunks
from recommender.batch.answers import write_similar as write_similar
from recommender.batch.answers import write_users as write_users
from recommender.batch.changes import FileEvents as FileEvents
from recommender.batch.changes import Run as Run
from recommender.batch.changes import RunState as RunState
from recommender.batch.changes import StoredEvents as StoredEvents
from recommender.batch.changes import write_changed as write_changed
from recommender.batch.folder import is_folder as is_folder
from recommender.batch.histories import by_user as by_user
from recommender.batch.histories import read_histories as read_histories
from recommender.batch.histories import tables_of_file as tables_of_file
from recommender.batch.jobs import Job as Job
from recommender.batch.jobs import write_partitions as write_partitions
from recommender.batch.sql_table import SqlTable as SqlTable
from recommender.batch.sql_table import is_sql as is_sql
