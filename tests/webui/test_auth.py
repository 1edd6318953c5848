import stat

import aiohttp
import pytest
from yarl import URL

from crm import users
from crm.users import Role
from tests.webui.desks import HTML, PASSWORD, person, serving
from webui.login.pages import _within


@pytest.fixture
async def site(db, tmp_path):
    async with serving(db, tmp_path) as site:
        yield site


async def test_a_page_without_login_leads_to_the_login_and_back(site):
    browser = await site.browser()
    answer = await browser.http.get("/desk?x=1", headers=HTML, allow_redirects=False)
    led = URL(answer.headers["Location"])
    assert (answer.status, led.path, led.query["next"]) == (303, "/login", "/desk?x=1")
    answer = await browser.log_in("ana", next="/desk?x=1")
    assert answer.headers["Location"] == "/desk?x=1"


async def test_what_is_no_page_is_refused_without_login(site):
    browser = await site.browser()
    for path in ("/metrics", "/api/openapi.json", "/live"):
        assert (await browser.http.get(path)).status == 401


async def test_health_needs_no_login(site):
    browser = await site.browser()
    assert await (await browser.http.get("/healthz")).text() == "ok\n"


async def test_the_session_cookie_is_kept_from_scripts_and_other_sites(site):
    browser = await site.browser()
    cookie = (await browser.log_in("ana")).headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie


async def test_a_wrong_password_says_nothing_about_which_part_was_wrong_and_keeps_the_name(site):
    browser = await site.browser()
    pages = []
    for login in ("ana", "nobody"):
        answer = await browser.log_in(login, "wrong")
        assert answer.status == 401
        pages.append((await answer.text()).replace(f'value="{login}"', ""))
    assert pages[0] == pages[1]


async def test_too_many_wrong_passwords_lock_the_name_for_a_while(site):
    browser = await site.browser()
    await person(site.db, "locked")
    statuses = [(await browser.log_in("locked", "wrong")).status for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert (await browser.log_in("locked", PASSWORD)).status == 429


async def test_log_out_ends_the_session_and_its_open_connections(site):
    browser = await site.browser("ana")
    async with browser.live() as line:
        await line.ask("Attach")
        token = {c.key: c.value for c in browser.http.cookie_jar}["ramal_session"]
        assert (await browser.post("/logout")).headers["Location"] == "/login"
        while not line.socket.closed:
            message = await line.socket.receive()
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                break
        assert line.socket.close_code == 4401
    async with aiohttp.ClientSession(site.url, cookies={"ramal_session": token}) as thief:
        assert (await thief.get("/profile")).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_change_that_another_site_asked_for_is_refused(site, headers):
    browser = await site.browser("ana")
    answer = await browser.post("/profile/language", headers, language="pt_BR")
    assert answer.status == 403
    assert (await users.by_login(site.db, "ana")).language == "en"


@pytest.mark.parametrize("csrf", ["", "wrong", "ação"])
async def test_a_form_without_the_sessions_secret_changes_nothing(site, csrf):
    browser = await site.browser("ana")
    browser.csrf = csrf
    assert (await browser.post("/profile/language", language="pt_BR")).status == 403
    assert (await users.by_login(site.db, "ana")).language == "en"


async def test_another_site_cannot_open_the_live_connection(site):
    browser = await site.browser("ana")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await browser.http.ws_connect("/live", headers={"Origin": "https://evil.example"})
    assert refused.value.status == 403


async def test_a_missing_right_is_named_with_who_grants_it(site):
    await person(site.db, "auditor1", Role.AUDITOR)
    browser = await site.browser("auditor1")
    answer = await browser.http.get("/desk", headers=HTML)
    page = await answer.text()
    assert answer.status == 403
    assert "take calls" in page and "administrator" in page


@pytest.mark.parametrize(
    ("role", "start"),
    [(Role.AGENT, "/desk"), (Role.SUPERVISOR, "/wallboard"), (Role.BACK_OFFICE, "/tabulations")],
)
async def test_each_role_starts_where_its_work_is(site, role, start):
    await person(site.db, f"start-{role}".replace("_", "-"), role)
    browser = await site.browser()
    answer = await browser.log_in(f"start-{role}".replace("_", "-"))
    assert answer.headers["Location"] == start


async def test_every_page_forbids_inline_scripts_and_frames(site):
    browser = await site.browser("ana")
    for path in ("/desk", "/profile", "/nowhere"):
        answer = await browser.http.get(path, headers=HTML)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        page = await answer.text()
        assert " style=" not in page and " onclick=" not in page and "<script>" not in page


async def test_a_program_reads_figures_with_the_token_and_changes_nothing_with_it(site):
    path = site.settings.data / "api.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    program = {"Authorization": f"Bearer {path.read_text().strip()}"}
    browser = await site.browser()
    figures = await (await browser.http.get("/metrics", headers=program)).text()
    assert 'ramal_agents{state="ready"} 0.0' in figures
    assert (await (await browser.http.get("/api/wall", headers=program)).json())["queues"][0][
        "name"
    ] == "sales"
    assert (await browser.http.get("/api/desk", headers=program)).status == 403
    assert (await browser.http.get("/profile", headers=program)).status == 401
    assert (await browser.http.post("/desk/SetStation", headers=program)).status == 401
    wrong = {"Authorization": "Bearer wrong"}
    assert (await browser.http.get("/metrics", headers=wrong)).status == 401


async def test_a_new_password_ends_other_sessions_and_not_this_one(site):
    await person(site.db, "changer")
    here, there = await site.browser("changer"), await site.browser("changer")
    answer = await here.post(
        "/profile/password", present=PASSWORD, new="a new long secret", again="a new long secret"
    )
    assert answer.headers["Location"] == "/profile?saved=password"
    assert "in force" in await here.text("/profile?saved=password")
    assert (await there.http.get("/profile")).status == 401


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (
            {"present": "wrong", "new": "a new long secret", "again": "a new long secret"},
            "not your present password",
        ),
        ({"present": PASSWORD, "new": "a new long secret", "again": "another"}, "not the same"),
        ({"present": PASSWORD, "new": PASSWORD, "again": PASSWORD}, "have already"),
        ({"present": PASSWORD, "new": "short", "again": "short"}, "characters"),
    ],
)
async def test_a_password_that_cannot_be_changed_says_why_beside_the_field(site, sent, said):
    browser = await site.browser("ana")
    answer = await browser.post("/profile/password", **sent)
    assert answer.status == 422
    assert said in await answer.text()
    assert (await (await site.browser()).log_in("ana")).status == 303


@pytest.mark.parametrize(
    "address", ["//evil.example", "https://evil.example", "/\\evil.example", "", "javascript:x"]
)
def test_the_login_never_leads_to_another_site(address):
    assert not _within(address)
