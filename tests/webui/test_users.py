import re

import pytest
import pytest_asyncio

from config import Settings
from crm import audit, centre, extensions, groups, sessions, users
from crm.users import Role
from tests.fakes.wall import FakeWall
from tests.webui.site import serving
from webui.users.once import SECONDS_KEPT, Once

ANA = {
    "login": "ana.souza",
    "name": "Ana Souza",
    "role": "agent",
    "group_id": "",
    "language": "pt_BR",
    "extension": "",
    "may_dial_external": "1",
    "active": "1",
}


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.admin = await site.reader(Role.ADMINISTRATOR)
        yield site


async def created(site, **changes) -> tuple[users.User, str]:
    """The new person and the password the page showed."""
    status, page, where = await site.admin.post("/users/new", ANA | changes)
    assert status == 303, page
    page = (await site.admin.get(where))[1]
    user = await users.by_id(site.db, int(re.search(r"/users/(\d+)", where)[1]))
    return user, re.search(r"<code>(.+?)</code>", page)[1]


# -- a password on its way -----------------------------------------------------------------------------------


def test_a_password_is_shown_once_to_the_one_who_made_it():
    once = Once()
    once.put("mark", 1, "secret", 0.0)
    assert once.take("mark", 2, 1.0) is None
    assert once.take("mark", 1, 1.0) == "secret"
    assert once.take("mark", 1, 1.0) is None


def test_a_password_nobody_looks_at_is_forgotten():
    once = Once()
    once.put("mark", 1, "secret", 0.0)
    assert once.take("mark", 1, SECONDS_KEPT + 1) is None


def test_only_so_many_passwords_are_kept():
    once = Once()
    for number in range(1000):
        once.put(str(number), 1, "secret", 0.0)
    assert once.take("0", 1, 0.0) is None and once.take("999", 1, 0.0) == "secret"


# -- pages ---------------------------------------------------------------------------------------------------


async def test_a_new_user_logs_in_with_the_password_shown_once(site):
    user, password = await created(site)
    assert (user.name, user.role, user.may_dial_external, user.may_hear_recordings) == (
        "Ana Souza", Role.AGENT, True, False,
    )  # fmt: skip
    assert await users.verify(site.db, "ana.souza", password) == user
    assert site.floor.centre.users[user.id] == user, "it takes effect at once"


async def test_the_password_is_gone_when_the_page_is_loaded_again(site):
    _status, _page, where = await site.admin.post("/users/new", ANA)
    assert "<code>" in (await site.admin.get(where))[1]
    assert "<code>" not in (await site.admin.get(where))[1]


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"login": ""}, "login"),
        ({"login": "Ana Souza!"}, "login"),
        ({"name": ""}, "name"),
        ({"name": "x" * 300}, "name"),
        ({"role": "emperor"}, "role"),
        ({"group_id": "999"}, "group_id"),
        ({"group_id": "x"}, "group_id"),
        ({"language": "tlh"}, "language"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(site, changes, field):
    status, page, _ = await site.admin.post("/users/new", ANA | changes)
    assert status == 422
    assert f'id="n-{field}"' in page and "Nothing was saved" in page
    if field != "name":
        assert 'value="Ana Souza"' in page
    assert await users.by_login(site.db, "ana.souza") is None


async def test_a_login_is_had_once(site):
    await created(site)
    status, page, _ = await site.admin.post("/users/new", ANA)
    assert status == 422 and "Another one has this already." in page


async def test_a_new_extension_is_made_with_the_same_password(site):
    user, password = await created(site, extension="2001")
    extension = await extensions.by_number(site.db, "2001")
    assert user.extension == "2001"
    assert (extension.ha1_md5, extension.ha1_sha256) == extensions.digests("2001", password)


async def test_a_refused_extension_leaves_the_person_saved_and_says_so_at_the_field(site):
    await created(site, extension="2001")
    status, page, _ = await site.admin.post("/users/new", ANA | {"login": "bruno", "extension": "2001"})
    assert status == 422 and 'id="n-extension"' in page
    assert (await users.by_login(site.db, "bruno")).extension is None
    assert (await users.by_login(site.db, "ana.souza")).extension == "2001"


@pytest.mark.parametrize("number", ["1", "abc", "1234567"])
async def test_an_extension_has_two_to_six_digits(site, number):
    status, page, _ = await site.admin.post("/users/new", ANA | {"extension": number})
    assert status == 422 and 'id="n-extension"' in page


async def test_a_person_changes_the_extension_and_the_old_one_is_free(site):
    user, _ = await created(site, extension="2001")
    status, _, where = await site.admin.post(f"/users/{user.id}", ANA | {"extension": "2002"})
    page = (await site.admin.get(where))[1]
    password = re.search(r"<code>(.+?)</code>", page)[1]
    assert status == 303 and "telephone at extension 2002 only" in page
    assert (await users.by_id(site.db, user.id)).extension == "2002"
    assert (await extensions.by_number(site.db, "2001")).user_id is None
    assert (await extensions.by_number(site.db, "2002")).ha1_md5 == extensions.digests("2002", password)[0]


async def test_who_is_disabled_cannot_log_in_and_stays_in_the_list(site):
    user, password = await created(site)
    fields = {name: value for name, value in ANA.items() if name != "active"}
    assert (await site.admin.post(f"/users/{user.id}", fields))[0] == 303
    assert await users.verify(site.db, user.login, password) is None
    assert "disabled" in (await site.admin.get("/users"))[1]


async def test_a_new_password_ends_the_old_one_and_every_session(site):
    user, old = await created(site, extension="2001")
    token = await sessions.open(site.db, user.id, 1)
    _status, _page, where = await site.admin.post(f"/users/{user.id}/password", {"telephone": "1"})
    new = re.search(r"<code>(.+?)</code>", (await site.admin.get(where))[1])[1]
    assert await users.verify(site.db, user.login, old) is None
    assert await users.verify(site.db, user.login, new) == user
    assert (await extensions.by_number(site.db, "2001")).ha1_md5 == extensions.digests("2001", new)[0]
    assert await sessions.find(site.db, token) is None


async def test_the_telephone_keeps_its_password_when_the_box_is_not_ticked(site):
    user, old = await created(site, extension="2001")
    _status, _page, where = await site.admin.post(f"/users/{user.id}/password")
    page = (await site.admin.get(where))[1]
    new = re.search(r"<code>(.+?)</code>", page)[1]
    assert "the telephone at extension 2001 keeps its password" in page
    assert await users.verify(site.db, user.login, new) == user
    assert (await extensions.by_number(site.db, "2001")).ha1_md5 == extensions.digests("2001", old)[0]


@pytest.mark.parametrize("ticked", [True, False])
async def test_a_person_says_whether_the_telephone_gets_the_new_password_too(site, ticked):
    user, old = await created(site, extension="2001")
    reader, new = await site.reader_of(user), "quatro palavras bem compridas"
    assert 'name="telephone" value="1" checked' in (await reader.get("/profile"))[1]
    fields = {"present": old, "new": new, "again": new} | ({"telephone": "1"} if ticked else {})
    assert (await reader.post("/profile/password", fields))[2] == "/profile?saved=password"
    assert await users.verify(site.db, user.login, new) == user
    has = new if ticked else old
    assert (await extensions.by_number(site.db, "2001")).ha1_md5 == extensions.digests("2001", has)[0]


async def test_the_last_administrator_stays_one(site):
    admin = site.admin.user
    fields = ANA | {"login": admin.login, "role": "agent"}
    status, page, _ = await site.admin.post(f"/users/{admin.id}", fields)
    assert status == 422 and "the last administrator" in page


async def test_the_list_is_searched_by_name_login_and_extension(site):
    await created(site, extension="2001")
    for query, found in (
        ("text=SOUZA", True),
        ("text=2001", True),
        ("text=zzz", False),
        ("role=auditor", False),
    ):
        page = (await site.admin.get(f"/users?{query}"))[1]
        assert ("Ana Souza" in page) is found
    assert "Nobody matches." in (await site.admin.get("/users?text=zzz"))[1]


async def test_people_of_a_group_are_found(site):
    group = await groups.create(site.db, None, name="Vendas")
    site.floor.centre = await centre.load(site.db)
    await created(site, group_id=str(group.id))
    assert "Ana Souza" in (await site.admin.get(f"/users?group={group.id}"))[1]


async def test_every_change_is_in_the_audit_without_the_password(site):
    user, password = await created(site)
    await site.admin.post(f"/users/{user.id}", ANA | {"name": "Ana S. Lima"})
    entries = await audit.recent(site.db, action="user")
    change = next(entry for entry in entries if entry.action == "user.update")
    assert (change.before, change.after) == ({"name": "Ana Souza"}, {"name": "Ana S. Lima"})
    assert change.by_user_id == site.admin.user.id
    assert all(password not in str(entry) for entry in entries)
    page = (await site.admin.get("/audit?kind=user"))[1]
    assert "Ana S. Lima" in page and "<del>Ana Souza</del>" in page


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
async def test_only_administrators_administer(site, role):
    reader = await site.reader(role)
    for path in ("/users", "/users/new", "/queues", "/queues/new", "/layouts", "/layouts/categories"):
        assert (await reader.get(path))[0] == 403
    for path in ("/users/new", "/queues/new", "/layouts/new", "/layouts/categories", "/users/1/password"):
        assert (await reader.post(path, ANA))[0] == 403
    assert await users.by_login(site.db, "ana.souza") is None


@pytest.mark.parametrize(
    "path", ["/users/999", "/queues/999", "/layouts/999", "/contacts/999", "/exports/999"]
)
async def test_what_is_not_there_is_a_404(site, path):
    assert (await site.admin.get(path))[0] == 404


async def test_a_form_without_its_secret_changes_nothing(site):
    assert (await site.admin.post("/users/new", ANA, csrf=""))[0] == 403
    assert await users.by_login(site.db, "ana.souza") is None
