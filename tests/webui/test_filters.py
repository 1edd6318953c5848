"""The filter builder: grows row by row without script, counts while it is built, keeps what was typed."""

import re

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import MultiDict

from config import Settings
from crm import centre, contacts, custom_fields, filters
from crm.users import Role
from tests.crm.test_filters import KNOWN, trees
from tests.fakes.wall import FakeWall
from tests.webui.site import serving
from webui.filters.rows import of_form, of_tree, to_tree


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.boss = await site.reader(Role.SUPERVISOR)
        for n in range(25):
            await contacts.create(fresh_db, None, f"Maria {n:02}", [f"11 98765-43{n:02}"])
        await contacts.create(fresh_db, None, "João & Filhos", ["21 98765-4321"], kind="company")
        yield site


def names_begin(text):
    return {"row": "1", "in.1": "0", "join.0": "all", "field.1": "name", "was.1": "name", "test.1": "begins",
            "value.1": text}  # fmt: skip


def sent(row, above=0):
    """The form a browser would send of a tree's rows."""
    pairs = [("row", str(row.n)), (f"in.{row.n}", str(above))] if row.n else []
    if row.group:
        pairs.append((f"join.{row.n}", row.join))
        return [*pairs, *(pair for each in row.rows for pair in sent(each, row.n))]
    pairs += [(f"field.{row.n}", row.field), (f"was.{row.n}", row.field), (f"test.{row.n}", row.test)]
    return [*pairs, *((f"value.{row.n}", value) for value in row.values)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees)
def test_any_tree_survives_the_form(tree):
    root = of_tree(filters.checked(tree, KNOWN))
    again = of_form(MultiDict(sent(root)), KNOWN)
    assert to_tree(again) == to_tree(root)
    assert filters.checked(to_tree(again), KNOWN) == to_tree(root)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.sampled_from(["row", "in.1", "join.1", "field.1", "test.2", "value.1"]),
                st.text(max_size=8),
            ),
            st.one_of(st.sampled_from(["0", "1", "2", "-1", "all", "name"]), st.text(max_size=8)),
        ),
        max_size=20,
    )
)
def test_any_form_is_some_tree(pairs):
    of_form(MultiDict(pairs), KNOWN)


async def test_a_filter_is_built_counted_saved_and_removed(site):
    status, page, _ = await site.boss.post(
        "/filters/new", names_begin("maria") | {"do": "show", "name": "Marias"}
    )
    assert status == 200 and re.search(r">25</b>", page) and "Maria 00" in page and "Maria 19" in page
    assert "Maria 20" not in page and 'value="Marias"' in page
    status, page, where = await site.boss.post("/filters/new", names_begin("maria") | {"name": "Marias"})
    assert status == 303, page
    (made,) = await filters.all(site.db)
    assert made.tree == {"all": [{"field": "name", "test": "begins", "value": "maria"}]}
    assert "Marias" in (await site.boss.get("/filters"))[1]
    assert 'value="maria"' in (await site.boss.get(where))[1]
    assert (await site.boss.post(f"/filters/{made.id}/remove"))[0] == 303
    assert await filters.all(site.db) == []


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (filters.Count(120_000, False, 110_000, 130_000), r"≈ 120,000</b> customers"),
        (filters.Count(400, False, 90, 1200), r"between .*>90</b> and .*>1,200</b> customers"),
        (filters.Count(3, False, 0, 400), r"at most .*>400</b> customers"),
    ],
)
async def test_an_estimate_says_how_far_off_it_may_be_until_it_is_counted(site, monkeypatch, estimate, said):
    count = filters.count

    async def slow(db, tree, seconds=filters.COUNT_SECONDS):
        return estimate if seconds == filters.COUNT_SECONDS else await count(db, tree, seconds)

    monkeypatch.setattr(filters, "count", slow)
    form = names_begin("maria") | {"do": "show"}
    page = (await site.boss.post("/filters/new", form))[1]
    found = page[page.index('data-part="found"') :]
    assert re.search(said, found) and "they are being counted" in found
    status, drawn, _ = await site.boss.post(re.search(r'data-exact="([^"]+)"', found)[1], form)
    assert status == 200 and re.search(r">25</b> customers", drawn) and "data-exact" not in drawn
    saved = await filters.create(site.db, site.boss.user, name="Marias", tree={"all": []})
    async with site.boss.http.get(f"/campaigns/audience?filter={saved.id}") as answer:
        assert answer.headers["X-Exact"] == "0" and "customers now" in await answer.text()
    async with site.boss.http.get(f"/campaigns/audience?filter={saved.id}&exact=1") as answer:
        assert answer.headers["X-Exact"] == "1" and "finds 26 customers" in await answer.text()


async def test_rows_and_groups_are_added_and_removed_and_nothing_typed_is_lost(site):
    form = names_begin("A & B") | {"do": "group:0"}
    page = (await site.boss.post("/filters/new", form))[1]
    assert 'value="A &amp; B"' in page and 'name="join.2"' in page and 'name="field.3"' in page
    page = (await site.boss.post("/filters/new", names_begin("x") | {"do": "condition:0"}))[1]
    assert 'name="field.2"' in page and 'data-focus="c-2"' in page
    page = (await site.boss.post("/filters/new", names_begin("x") | {"do": "remove:1"}))[1]
    assert 'name="field.1"' not in page and re.search(r">26</b>", page)
    assert (await site.boss.post("/filters/new", names_begin("x") | {"do": "explode:9999999"}))[0] == 200


async def test_a_condition_without_a_value_does_not_count_yet(site):
    page = (await site.boss.post("/filters/new", names_begin("") | {"do": "show"}))[1]
    assert re.search(r">26</b>", page) and "1 condition has no value yet" in page


async def test_another_field_brings_its_own_tests_and_forgets_the_value(site):
    form = names_begin("maria") | {"field.1": "phone", "do": "show"}
    page = (await site.boss.post("/filters/new", form))[1]
    assert ">has the area code</option>" in page and 'value="maria"' not in page


async def test_what_is_wrong_is_said_at_its_condition(site):
    form = names_begin("31/12/2026") | {"field.1": "created", "was.1": "created", "test.1": "before"}
    status, page, _ = await site.boss.post("/filters/new", form | {"name": "x"})
    assert status == 422 and "This has to be a date." in page
    status, page, _ = await site.boss.post("/filters/new", names_begin("") | {"name": "x"})
    assert status == 422 and "This has to be filled in." in page
    assert "Nothing was saved" in page and await filters.all(site.db) == []
    status, page, _ = await site.boss.post("/filters/new", form | {"do": "show"})
    assert status == 200 and "Mend the marked condition" in page and "This has to be a date." in page


async def test_custom_fields_can_be_asked_about(site):
    await custom_fields.create(
        site.db, None, key="plano", label="Plano", kind="choice", options="ouro\nprata"
    )
    await contacts.create(site.db, None, "Rui", custom={"plano": "prata"})
    form = {"row": "1", "in.1": "0", "join.0": "all", "field.1": "custom.plano", "was.1": "custom.plano",
            "test.1": "one_of", "value.1": "prata", "do": "show"}  # fmt: skip
    page = (await site.boss.post("/filters/new", form))[1]
    assert ">Plano</option>" in page and "Rui" in page and re.search(r">1</b>", page)


async def test_a_filter_in_use_is_not_removed_and_says_so(site):
    made = await filters.create(site.db, None, name="Todos", tree={"all": []})
    await site.db.execute("INSERT INTO campaign (name, filter_id, hours) VALUES ('C', $1, '{}')", made.id)
    status, page, _ = await site.boss.post(f"/filters/{made.id}/remove")
    assert status == 422 and "A campaign finds its customers by this filter" in page


@pytest.mark.parametrize("role", [Role.AGENT, Role.AUDITOR, Role.BACK_OFFICE])
async def test_filters_are_for_those_who_run_campaigns(site, role):
    reader = await site.reader(role)
    assert (await reader.get("/filters"))[0] == 403
    assert (await reader.post("/filters/new", names_begin("x")))[0] == 403
    assert (await site.boss.get("/filters/99"))[0] == 404
