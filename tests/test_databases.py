"""The databases of the tests: one that was used and restored is as one that is new."""

import asyncpg
import pytest

from tests.databases import Databases, contents
from tests.waiting import until


@pytest.fixture(scope="module")
def own(postgres_url):
    own = Databases(postgres_url)
    yield own
    own.close()


async def after(own, sql, leave_open=False):
    """A database before somebody did this in it, what comes in its place, whether that is the same."""
    url = own.take()
    before = await contents(url)
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    if not leave_open:
        await connection.close()
    own.give_back(url)
    own.give_back(own.take())  # was ready before the first came back
    place = own.take()
    now = await contents(place)
    own.give_back(place)
    return before, now, place == url


@pytest.mark.parametrize(
    "sql",
    [
        "WITH made AS (INSERT INTO contact (name) VALUES ('A') RETURNING id)"
        " INSERT INTO contact_phone (contact_id, number) SELECT id, '+551133334444' FROM made",
        "UPDATE user_account SET name = 'Somebody else'",
        "DELETE FROM user_account",
        "INSERT INTO user_account (login, name, role, password) VALUES ('a', 'b', 'agent', '-')",
        "CREATE TEMP TABLE passing AS SELECT 1 AS n; ANALYZE passing",
        "SELECT nextval(pg_get_serial_sequence('contact', 'id'))",
    ],
)
@pytest.mark.parametrize("leave_open", [False, True])
async def test_what_was_written_is_gone(own, sql, leave_open):
    before, now, same = await after(own, sql, leave_open)
    assert same and now == before


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE contact ADD COLUMN extra text",
        "CREATE FUNCTION validation.no(text) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
        "ALTER TABLE contact ALTER COLUMN name SET STATISTICS 10",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''1MB''', current_database()); END $$",
        "INSERT INTO contact (name) SELECT 'Ana ' || n FROM generate_series(1, 100) AS n; ANALYZE contact",
        "INSERT INTO audit (at, action, subject) SELECT now(), 'x', 'y' FROM generate_series(1, 60000)",
    ],
)
async def test_one_that_changed_in_more_than_rows_is_not_used_again(own, sql):
    before, now, same = await after(own, sql)
    assert not same and now == before


async def test_a_transaction_somebody_left_open_does_not_reach_the_next(own):
    url = own.take()
    connection = await asyncpg.connect(url)
    await connection.execute("BEGIN; INSERT INTO contact (name) VALUES ('A')")
    own.give_back(url)
    own.give_back(own.take())
    await until(connection.is_closed, "the connection is ended")
