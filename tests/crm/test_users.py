"""Users: rights by role, logging in, the lock after failures, administration with its audit."""

import asyncio

import pytest
from argon2 import Type, extract_parameters

from crm import audit, groups, users
from crm.refused import Refused
from crm.users import RIGHTS, Role, User, can
from tests.conftest import PRODUCT_HASHER, PRODUCT_NOBODY

PASSWORD = "correct horse battery"
BOSS = User(0, "boss", "Boss", Role.ADMINISTRATOR, None, None, "en", None, False, False, True)


def user(role, active=True, dial=False, hear=False):
    return User(1, "ana", "Ana", role, None, None, "en", None, dial, hear, active)


async def made(db, login, **facts):
    values = {"name": login.title(), "role": Role.AGENT, "password": PASSWORD} | facts
    return await users.create(db, None, login=login, **values)


@pytest.fixture
async def boss(fresh_db):
    return await made(fresh_db, "boss", role=Role.ADMINISTRATOR)


@pytest.mark.parametrize("role", list(Role))
def test_each_role_has_its_rights_and_nobody_inactive_has_any(role):
    everything = {right for rights in RIGHTS.values() for right in rights}
    assert {right for right in everything if can(user(role), right)} == RIGHTS[role]
    assert not any(can(user(role, active=False, dial=True, hear=True), right) for right in everything)


def test_only_the_administrator_administers_and_only_who_takes_calls_dials():
    assert [role for role in Role if can(user(role), "administer")] == [Role.ADMINISTRATOR]
    assert [role for role in Role if can(user(role, dial=True), "dial_external")] == [
        Role.SUPERVISOR,
        Role.AGENT,
    ]
    assert can(user(Role.AGENT, hear=True), "hear_recordings") and not can(
        user(Role.AGENT), "hear_recordings"
    )
    assert not can(user(Role.ADMINISTRATOR), "no_such_right")


async def test_a_user_logs_in_with_his_password_only(fresh_db):
    ana = await made(fresh_db, "ana")
    assert await users.verify(fresh_db, " ANA ", PASSWORD) == ana
    assert await users.verify(fresh_db, "ana", "wrong") is None
    assert await users.verify(fresh_db, "nobody", PASSWORD) is None
    assert await users.verify(fresh_db, "", "") is None
    assert await users.verify(fresh_db, "a\x00na", PASSWORD) == ana
    stored = await fresh_db.fetchval("SELECT password FROM user_account WHERE login = 'ana'")
    assert stored.startswith("$argon2id$") and PASSWORD not in stored


def test_a_hash_is_slow_on_purpose_and_as_slow_for_who_does_not_exist():
    made = extract_parameters(PRODUCT_HASHER.hash(PASSWORD))
    assert made.type == Type.ID and made.time_cost >= 3 and made.memory_cost >= 65536  # KiB
    assert extract_parameters(PRODUCT_NOBODY) == made


async def test_a_user_who_is_not_active_does_not_log_in(fresh_db, boss):
    ana = await made(fresh_db, "ana")
    await users.update(fresh_db, boss, ana.id, active=False)
    assert await users.verify(fresh_db, "ana", PASSWORD) is None


@pytest.mark.parametrize("login", ["ana", "nobody"])
async def test_too_many_failures_lock_a_login_and_only_that_one(fresh_db, login):
    await made(fresh_db, "ana")
    bruno = await made(fresh_db, "bruno")
    for _ in range(3):
        assert await users.verify(fresh_db, login, "wrong", failures_max=3) is None
    with pytest.raises(Refused) as refused:
        await users.verify(fresh_db, login, PASSWORD, failures_max=3)
    assert refused.value.code == "locked" and 0 < refused.value.details["seconds"] <= 60
    assert await users.verify(fresh_db, "bruno", PASSWORD, failures_max=3) == bruno


async def test_the_lock_ends_and_a_success_forgets_the_failures(fresh_db):
    ana = await made(fresh_db, "ana")
    for _ in range(3):
        await users.verify(fresh_db, "ana", "wrong", failures_max=3)
    await fresh_db.execute("UPDATE login_failure SET last = now() - interval '61 seconds'")
    assert await users.verify(fresh_db, "ana", PASSWORD, failures_max=3) == ana
    assert await fresh_db.fetchval("SELECT count(*) FROM login_failure") == 0


async def test_many_attempts_at_once_are_not_all_tested(fresh_db):
    await made(fresh_db, "ana")
    answers = await asyncio.gather(
        *(users.verify(fresh_db, "ana", "wrong", failures_max=3) for _ in range(10)), return_exceptions=True
    )
    assert sum(answer is None for answer in answers) == 3
    assert sum(isinstance(answer, Refused) for answer in answers) == 7


async def test_only_administrators_change_users(fresh_db, boss):
    ana = await made(fresh_db, "ana", role=Role.SUPERVISOR)
    for act in (
        users.create(fresh_db, ana, login="x", name="X", role="agent", password=PASSWORD),
        users.update(fresh_db, ana, boss.id, active=False),
        users.set_password(fresh_db, ana, boss.id, PASSWORD),
    ):
        with pytest.raises(Refused) as refused:
            await act
        assert refused.value.code == "not_allowed"
    await users.set_password(fresh_db, ana, ana.id, "another password")
    assert await users.verify(fresh_db, "ana", "another password") == ana


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"login": ""}, "login"),
        ({"login": "a b"}, "login"),
        ({"login": "boss"}, "login"),
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"role": "king"}, "role"),
        ({"language": "xx"}, "language"),
        ({"group_id": "99"}, "group_id"),
        ({"group_id": "many"}, "group_id"),
    ],
)
async def test_a_wrong_entry_is_refused_and_changes_nothing(fresh_db, boss, change, field):
    ana = await made(fresh_db, "ana")
    written = await fresh_db.fetchval("SELECT count(*) FROM audit")
    with pytest.raises(Refused) as refused:
        await users.update(fresh_db, boss, ana.id, **change)
    assert refused.value.code == "form" and field in refused.value.details["errors"]
    assert await users.by_id(fresh_db, ana.id) == ana
    assert await fresh_db.fetchval("SELECT count(*) FROM audit") == written


async def test_short_passwords_and_unknown_users_are_refused(fresh_db, boss):
    with pytest.raises(Refused, match="8 to 128"):
        await users.set_password(fresh_db, boss, boss.id, "short")
    with pytest.raises(Refused, match="no such user"):
        await users.update(fresh_db, boss, 999, name="X")
    with pytest.raises(Refused, match="no such user"):
        await users.set_password(fresh_db, boss, 999, PASSWORD)


async def test_the_last_administrator_stays(fresh_db, boss):
    for change in ({"active": False}, {"role": "agent"}):
        with pytest.raises(Refused) as refused:
            await users.update(fresh_db, boss, boss.id, **change)
        assert refused.value.code == "last_administrator"
    other = await made(fresh_db, "other", role=Role.ADMINISTRATOR)
    await users.update(fresh_db, boss, boss.id, active=False)
    assert can(other, "administer")


async def test_each_change_is_written_down_with_what_differs_and_no_password(fresh_db, boss):
    group = await groups.create(fresh_db, boss, name="Vendas")
    ana = await users.create(fresh_db, boss, login="ana", name="Ana", role="agent", password=PASSWORD)
    await users.update(fresh_db, boss, ana.id, group_id=group.id, may_hear_recordings="on")
    await users.set_password(fresh_db, boss, ana.id, PASSWORD + "2")
    entries = await audit.recent(fresh_db, by_user_id=boss.id)
    assert [e.action for e in entries] == ["user.set_password", "user.update", "user.create", "group.create"]
    assert entries[1].before == {"group_id": None, "may_hear_recordings": False}
    assert entries[1].after == {"group_id": group.id, "may_hear_recordings": True}
    assert all(e.by == "boss" and PASSWORD not in str(e) and "argon" not in str(e) for e in entries)
    assert [e.action for e in await audit.recent(fresh_db, action="user", text="ANA", limit=1)] == [
        "user.set_password"
    ]
