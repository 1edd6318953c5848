"""Web sessions: opened, found, ended with what they stood on, kept while the database is away."""

import asyncio

import pytest

from crm import sessions, users
from crm.users import Role

PASSWORD = "correct horse battery"


async def made(db, login, role=Role.AGENT):
    return await users.create(db, None, login=login, name=login, role=role, password=PASSWORD)


def age(db):
    """As if the memory's answers were older than it believes them."""
    for known in db.remembered["sessions"].values():
        known.asked -= 2 * sessions.FRESH_SECONDS


async def test_a_token_finds_its_user_until_it_is_closed(fresh_db):
    ana = await made(fresh_db, "ana")
    token = await sessions.open(fresh_db, ana.id, 1)
    user, csrf = await sessions.find(fresh_db, token)
    assert user == ana and len(csrf) >= 43 and len(token) >= 43
    assert (await sessions.find(fresh_db, token))[1] == csrf
    assert await sessions.find(fresh_db, token + "x") is None
    assert await sessions.find(fresh_db, "") is None
    await sessions.close(fresh_db, token)
    assert await sessions.find(fresh_db, token) is None


async def test_the_database_does_not_know_the_token(fresh_db):
    ana = await made(fresh_db, "ana")
    token = await sessions.open(fresh_db, ana.id, 1)
    assert token not in str([dict(row) for row in await fresh_db.fetch("SELECT * FROM session")])


async def test_a_session_runs_out(fresh_db):
    ana = await made(fresh_db, "ana")
    token = await sessions.open(fresh_db, ana.id, 1)
    assert await sessions.find(fresh_db, token)
    await fresh_db.execute("UPDATE session SET expires = now()")
    age(fresh_db)
    assert await sessions.find(fresh_db, token) is None


@pytest.mark.parametrize("what", ["not active", "new password"])
async def test_a_session_ends_with_what_it_stood_on(fresh_db, what):
    await made(fresh_db, "boss", Role.ADMINISTRATOR)
    ana = await made(fresh_db, "ana")
    token = await sessions.open(fresh_db, ana.id, 1)
    assert await sessions.find(fresh_db, token)
    if what == "not active":
        await users.update(fresh_db, None, ana.id, active=False)
    else:
        await users.set_password(fresh_db, None, ana.id, "another password")
    assert await sessions.find(fresh_db, token) is None


async def test_a_changed_role_shows_at_once(fresh_db):
    await made(fresh_db, "boss", Role.ADMINISTRATOR)
    ana = await made(fresh_db, "ana")
    token = await sessions.open(fresh_db, ana.id, 1)
    await sessions.find(fresh_db, token)
    await users.update(fresh_db, None, ana.id, role="supervisor")
    assert (await sessions.find(fresh_db, token))[0].role is Role.SUPERVISOR


async def test_nobody_is_logged_out_while_the_database_is_away(fresh_db):
    ana = await made(fresh_db, "ana")
    token = await sessions.open(fresh_db, ana.id, 1)
    found = await sessions.find(fresh_db, token)
    held = [await fresh_db.acquire() for _ in range(fresh_db.get_max_size())]  # nobody gets an answer
    try:
        age(fresh_db)
        assert await sessions.find(fresh_db, token) == found
        assert await asyncio.gather(*(sessions.find(fresh_db, token) for _ in range(20))) == [found] * 20
        with pytest.raises(TimeoutError):
            await sessions.find(fresh_db, "a token never seen before")
    finally:
        for connection in held:
            await fresh_db.release(connection)
