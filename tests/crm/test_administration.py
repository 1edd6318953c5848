"""The nouns of the centre: made, changed, removed by administrators, refused with the field, written down."""

import pytest

from crm import (
    audit,
    centre,
    extensions,
    groups,
    layouts,
    numbers,
    pauses,
    queues,
    routes,
    trunks,
    users,
)
from crm.layouts import Permission, Scenario
from crm.refused import Refused
from crm.routes import Route, number_to_send, permitted
from crm.users import Role, User
from tests.crm.campaigning import agents, campaign

PASSWORD = "correct horse battery"


@pytest.fixture
async def boss(fresh_db):
    return await users.create(
        fresh_db, None, login="boss", name="Boss", role=Role.ADMINISTRATOR, password=PASSWORD
    )


@pytest.fixture
async def ana(fresh_db):
    return await users.create(fresh_db, None, login="ana", name="Ana", role=Role.AGENT, password=PASSWORD)


async def errors(act):
    with pytest.raises(Refused) as refused:
        await act
    assert refused.value.code == "form", refused.value
    return refused.value.details["errors"]


async def used_by(act):
    with pytest.raises(Refused) as refused:
        await act
    assert refused.value.code == "in_use", refused.value
    return refused.value.values["names"]


async def actions(db):
    return [entry.action for entry in reversed(await audit.recent(db))]


async def test_groups(fresh_db, boss, ana):
    sales = await groups.create(fresh_db, boss, name=" Vendas ")
    assert await groups.all(fresh_db) == [sales] and sales.name == "Vendas"
    assert await errors(groups.create(fresh_db, boss, name="Vendas")) == {"name": "taken"}
    assert await errors(groups.create(fresh_db, boss, name="")) == {"name": "required"}
    await groups.update(fresh_db, boss, sales.id, name="Televendas")
    await users.update(fresh_db, boss, ana.id, group_id=sales.id)
    assert (await users.by_id(fresh_db, ana.id)).group == "Televendas"
    assert await used_by(groups.remove(fresh_db, boss, sales.id)) == "Ana"
    await users.update(fresh_db, boss, ana.id, group_id=None)
    await groups.remove(fresh_db, boss, sales.id)
    assert await groups.all(fresh_db) == []
    assert [a for a in await actions(fresh_db) if a.startswith("group")] == [
        "group.create", "group.update", "group.remove",
    ]  # fmt: skip


async def test_a_group_says_what_uses_it_and_is_not_taken_from_under_it(fresh_db, boss, ana):
    sales, idle = [await groups.create(fresh_db, boss, name=name) for name in ("Vendas", "Idle")]
    await users.update(fresh_db, boss, ana.id, group_id=sales.id)
    line = await trunks.create(fresh_db, boss, name="Sul", host="sul.example")
    way = await routes.create(fresh_db, boss, name="Celulares", trunk_id=line.id, groups=[sales.id])
    called = await campaign(fresh_db, [ana], name="Renovação", groups=[sales.id])
    served = [{"scenarios": ["manual"], "group_id": sales.id}, {"scenarios": ["dialer"], "group_id": sales.id,
               "campaign_id": called.id}]  # fmt: skip
    form = await layouts.create(fresh_db, boss, name="sales", label="Venda", permissions=served)
    uses = await groups.uses(fresh_db)
    assert uses[sales.id] == groups.Uses(
        users=((ana.id, "Ana"),),
        routes=((way.id, "Celulares"),),
        campaigns=((called.id, "Renovação"),),
        layouts=((form.id, "Venda"),),
    )
    assert uses[idle.id] == groups.Uses()
    await users.update(fresh_db, boss, ana.id, group_id=None)
    # without its only group the route were open to everybody
    assert await used_by(groups.remove(fresh_db, boss, sales.id)) == "Celulares, Renovação, Venda"
    await groups.remove(fresh_db, boss, idle.id)


async def test_extensions_keep_digests_and_never_the_password(fresh_db, boss, ana):
    made = await extensions.create(fresh_db, boss, number="1001", password=PASSWORD, user_id=ana.id)
    # RFC 7616: HA1 is the hash of user:realm:password
    assert (made.ha1_md5, made.ha1_sha256) == extensions.digests("1001", PASSWORD)
    assert len(made.ha1_md5) == 32 and len(made.ha1_sha256) == 64
    assert made.ha1_md5 not in repr(made) and PASSWORD not in str(await audit.recent(fresh_db))
    assert (await users.by_id(fresh_db, ana.id)).extension == "1001"
    wrong = extensions.create(fresh_db, boss, number="1001", password=PASSWORD)
    assert await errors(wrong) == {"number": "taken"}
    second = extensions.create(fresh_db, boss, number="1002", password=PASSWORD, user_id=ana.id)
    assert await errors(second) == {"user_id": "taken"}
    assert await errors(extensions.create(fresh_db, boss, number="1", password=PASSWORD))
    assert await errors(extensions.update(fresh_db, boss, "1001", user_id=999)) == {
        "user_id": "not_an_option"
    }
    ana = await users.by_id(fresh_db, ana.id)
    await extensions.set_password(fresh_db, ana, "1001", "another password")  # her own
    assert (await extensions.by_number(fresh_db, "1001")).ha1_md5 != made.ha1_md5
    await extensions.update(fresh_db, boss, "1001", user_id="", label="Recepção")
    with pytest.raises(Refused, match="administer"):
        await extensions.set_password(fresh_db, ana, "1001", "another password")
    await extensions.remove(fresh_db, boss, "1001")
    assert await extensions.all(fresh_db) == []


async def test_trunks(fresh_db, boss):
    carrier = await trunks.create(
        fresh_db, boss, name="Operadora", host="sip.exemplo.com", password="s3cret!"
    )
    assert (carrier.port, carrier.transport, carrier.active) == (5060, "UDP", True)
    changed = await trunks.update(fresh_db, boss, carrier.id, password="n3w", port="5080", active=False)
    assert await trunks.all(fresh_db) == [changed] and changed.port == 5080 and not changed.active
    said = str(await audit.recent(fresh_db))
    assert "s3cret" not in said and "n3w" not in said and "password" in said
    wrong = {"name": "", "host": "a b", "port": "0", "transport": "XX", "number_prefix": "abc"}
    assert await errors(trunks.create(fresh_db, boss, **wrong)) == {
        "name": "required",
        "host": "not_allowed_characters",
        "port": "out_of_range",
        "transport": "not_an_option",
        "number_prefix": "not_allowed_characters",
    }
    await routes.create(fresh_db, boss, name="Fora", trunk_id=carrier.id)
    assert await used_by(trunks.remove(fresh_db, boss, carrier.id)) == "Fora"


async def test_routes(fresh_db, boss):
    trunk = await trunks.create(fresh_db, boss, name="t", host="127.0.0.1")
    sales = await groups.create(fresh_db, boss, name="Vendas")
    local = await routes.create(
        fresh_db, boss, name="Local", pattern=r"\+5511\d+", trunk_id=str(trunk.id), strip="5", prefix="0",
        groups=[str(sales.id)],
    )  # fmt: skip
    assert await routes.all(fresh_db) == [local] and local.groups == (sales.id,)
    assert await errors(routes.create(fresh_db, boss, name="x")) == {"trunk_id": "required"}
    assert await errors(routes.update(fresh_db, boss, local.id, pattern="(")) == {
        "pattern": "not_allowed_characters"
    }
    assert await errors(routes.update(fresh_db, boss, local.id, groups=[999])) == {"groups": "not_an_option"}
    assert await routes.by_id(fresh_db, local.id) == local
    await campaign(fresh_db, await agents(fresh_db, 1), name="Renovação", route_id=local.id)
    assert await used_by(routes.remove(fresh_db, boss, local.id)) == "Renovação"
    await fresh_db.execute("UPDATE campaign SET route_id = NULL")
    await routes.remove(fresh_db, boss, local.id)
    await groups.remove(fresh_db, boss, sales.id)
    assert await routes.all(fresh_db) == []


def test_a_route_is_for_its_numbers_its_groups_and_those_who_may_dial():
    route = Route(1, "Local", r"\+5511\d+", 1, 5, "0", "", (7,))
    ana = User(1, "ana", "Ana", Role.AGENT, 7, "Vendas", "en", None, True, False, True)
    other = User(1, "ana", "Ana", Role.AGENT, 8, "Outro", "en", None, True, False, True)
    forbidden = User(1, "ana", "Ana", Role.AGENT, 7, "Vendas", "en", None, False, False, True)
    assert permitted(route, ana, "+5511987654321")
    assert not permitted(route, ana, "+5521987654321")
    assert not permitted(route, other, "+5511987654321")
    assert not permitted(route, forbidden, "+5511987654321")
    assert number_to_send(route, "+5511987654321") == "0987654321"


async def test_queues_and_the_numbers_that_lead_to_them(fresh_db, boss, ana):
    sales = await queues.create(fresh_db, boss, name="sales", label="Vendas", members=[str(ana.id)])
    assert sales.members == (ana.id,) and sales.record and sales.layout_id is None
    four = await numbers.create(fresh_db, boss, dialed="4000", kind="queue", target="sales")
    assert await numbers.all(fresh_db) == [four]
    assert await errors(numbers.create(fresh_db, boss, dialed="4000", kind="hangup")) == {"dialed": "taken"}
    nowhere = numbers.create(fresh_db, boss, dialed="4001", kind="queue", target="nowhere")
    assert await errors(nowhere) == {"target": "not_an_option"}
    changed = await queues.update(fresh_db, boss, sales.id, name="vendas", wrapup_seconds="30", members=[])
    assert await queues.all(fresh_db) == [changed]
    assert (changed.wrapup_seconds, changed.members) == (30, ())
    assert (await numbers.by_dialed(fresh_db, "4000")).target == "vendas"  # follows the name
    assert await used_by(queues.remove(fresh_db, boss, sales.id)) == "4000"
    await numbers.remove(fresh_db, boss, "4000")
    await queues.remove(fresh_db, boss, sales.id)
    assert await queues.all(fresh_db) == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"name": "Not OK"}, {"name": "not_allowed_characters"}),
        ({"label": ""}, {"label": "required"}),
        ({"wrapup_seconds": "-1"}, {"wrapup_seconds": "out_of_range"}),
        ({"ring_seconds_max": "soon"}, {"ring_seconds_max": "not_a_number"}),
        ({"layout_id": "99"}, {"layout_id": "not_an_option"}),
        ({"members": ["99"]}, {"members": "not_an_option"}),
        ({"members": ["x"]}, {"members": "not_an_option"}),
        ({"tabulation_mandatory": "on"}, {"layout_id": "required"}),
    ],
)
async def test_a_wrong_queue_is_refused_and_nothing_changes(fresh_db, boss, change, wrong):
    sales = await queues.create(fresh_db, boss, name="sales", label="Vendas")
    assert await errors(queues.update(fresh_db, boss, sales.id, **change)) == wrong
    assert await queues.all(fresh_db) == [sales]
    assert (await actions(fresh_db))[-1] == "queue.create"


async def test_pauses_keep_their_order(fresh_db, boss):
    for code in ("meal", "break_10"):
        await pauses.create(fresh_db, boss, code=code, label=code.title())
    assert [p.code for p in await pauses.all(fresh_db)] == ["meal", "break_10"]
    assert await errors(pauses.create(fresh_db, boss, code="meal", label="x")) == {"code": "taken"}
    await pauses.update(fresh_db, boss, "meal", label="Lanche")
    await pauses.remove(fresh_db, boss, "break_10")
    assert [p.label for p in await pauses.all(fresh_db)] == ["Lanche"]
    with pytest.raises(Refused, match="no such pause"):
        await pauses.remove(fresh_db, boss, "break_10")


async def test_layouts_with_their_types_and_categories(fresh_db, boss):
    sale = await layouts.create_type(fresh_db, boss, name="Venda")
    closed = await layouts.create_category(fresh_db, boss, sale.id, name="Fechada", success="on")
    lost = await layouts.create_category(fresh_db, boss, sale.id, name="Perdida", success="")
    assert (closed.success, lost.success) == (True, False)
    again = layouts.create_category(fresh_db, boss, sale.id, name="Perdida", success="")
    assert await errors(again) == {"name": "taken"}
    motive = {"key": "motive", "label": "Motivo", "kind": "motive", "required": "1", "options": "Um\n\nDois"}
    form = await layouts.create(
        fresh_db, boss, name="sales", label="Vendas", types=[sale.id], fields=[motive]
    )
    assert form.fields[0].options == ("Um", "Dois") and form.fields[0].required
    assert form.types[0].categories == (closed, lost) and form.category(str(lost.id)) == lost
    await layouts.remove_category(fresh_db, boss, lost.id)
    assert (await layouts.by_id(fresh_db, form.id)).types[0].categories == (closed,)
    assert await layouts.create_category(fresh_db, boss, sale.id, name="Perdida", success="") == lost
    await layouts.update_category(fresh_db, boss, closed.id, name="Concluída", success="on")
    await layouts.rename_type(fresh_db, boss, sale.id, name="Vendas")
    lines = [await layouts.create_type(fresh_db, boss, name=name) for name in ("A", "B")]
    for several in ([sale.id, lines[1].id], [lines[0].id, sale.id, lines[1].id]):
        ordered = await layouts.update(fresh_db, boss, form.id, types=several)
    assert [each.id for each in ordered.types] == [sale.id, lines[1].id, lines[0].id]
    await layouts.update(fresh_db, boss, form.id, types=[sale.id])
    changed = await layouts.update(fresh_db, boss, form.id, label="Televendas")
    assert (changed.fields, changed.label) == (form.fields, "Televendas")
    await queues.create(fresh_db, boss, name="sales", label="Vendas", layout_id=form.id)
    await campaign(fresh_db, await agents(fresh_db, 1), name="Renovação", layout_id=form.id)
    assert await used_by(layouts.remove(fresh_db, boss, form.id)) == "Renovação, Vendas"


async def test_a_wrong_layout_names_the_field_of_the_field(fresh_db, boss):
    fields = [
        {"key": "a", "label": "A", "kind": "text"},
        {"key": "a", "label": "", "kind": "choice"},
        {"key": "category", "label": "C", "kind": "magic"},
    ]
    assert await errors(layouts.create(fresh_db, boss, name="x", label="X", fields=fields)) == {
        "fields.2.label": "required",
        "fields.2.key": "taken",
        "fields.2.options": "required",
        "fields.3.key": "taken",
        "fields.3.kind": "not_an_option",
    }


async def test_a_layout_keeps_the_calls_it_is_permitted_for(fresh_db, boss):
    care = await groups.create(fresh_db, boss, name="Care")
    [ana] = await agents(fresh_db, 1)
    renewal = await campaign(fresh_db, [ana])
    form = await layouts.create(
        fresh_db,
        boss,
        name="care",
        label="Care",
        permissions=[
            {"scenarios": ["inbound", "manual"], "group_id": str(care.id), "campaign_id": ""},
            {"scenarios": ["dialer"], "group_id": "", "campaign_id": str(renewal.id)},
        ],
    )
    assert form.permissions == (
        Permission((Scenario.MANUAL, Scenario.INBOUND), care.id, None),
        Permission((Scenario.DIALER,), None, renewal.id),
    )
    renamed = await layouts.update(fresh_db, boss, form.id, label="Other")
    assert renamed.permissions == form.permissions
    assert (await centre.load(fresh_db)).layouts[form.id] == renamed
    with pytest.raises(Refused):
        await groups.remove(fresh_db, boss, care.id)
    without = await layouts.update(fresh_db, boss, form.id, permissions=[])
    assert without.permissions == ()
    await groups.remove(fresh_db, boss, care.id)


@pytest.mark.parametrize(
    ("permission", "wrong"),
    [
        ({"scenarios": []}, {"permissions.1.scenarios": "required"}),
        ({"scenarios": ["smoke"]}, {"permissions.1.scenarios": "required"}),
        ({"scenarios": ["inbound"], "campaign_id": "1"}, {"permissions.1.scenarios": "not_allowed"}),
        ({"scenarios": ["manual"], "group_id": "x"}, {"permissions.1.group_id": "not_an_option"}),
        ({"scenarios": ["manual"], "group_id": "99"}, {"permissions": "not_an_option"}),
        ({"scenarios": ["manual"], "campaign_id": "99"}, {"permissions": "not_an_option"}),
    ],
)
async def test_a_permission_that_serves_nothing_is_refused(fresh_db, boss, permission, wrong):
    making = layouts.create(fresh_db, boss, name="x", label="X", permissions=[permission])
    assert await errors(making) == wrong
    assert await layouts.all(fresh_db) == []


async def test_two_permissions_for_the_same_are_one_too_many(fresh_db, boss):
    twice = [Permission((Scenario.MANUAL,)), Permission((Scenario.INBOUND,))]
    making = layouts.create(fresh_db, boss, name="x", label="X", permissions=twice)
    assert await errors(making) == {"permissions.2.group_id": "taken"}


@pytest.mark.parametrize("role", [Role.SUPERVISOR, Role.AGENT, Role.BACK_OFFICE, Role.AUDITOR])
async def test_nobody_but_administrators_changes_the_centre(fresh_db, role):
    by = await users.create(fresh_db, None, login="x", name="X", role=role, password=PASSWORD)
    written = await actions(fresh_db)
    for act in (
        groups.create(fresh_db, by, name="x"),
        extensions.create(fresh_db, by, number="1001", password=PASSWORD),
        trunks.create(fresh_db, by, name="x", host="x"),
        routes.create(fresh_db, by, name="x", trunk_id=1),
        numbers.create(fresh_db, by, dialed="4000", kind="hangup"),
        queues.create(fresh_db, by, name="x", label="x"),
        pauses.create(fresh_db, by, code="x", label="x"),
        layouts.create(fresh_db, by, name="x", label="x"),
        layouts.create_type(fresh_db, by, name="x"),
    ):
        with pytest.raises(Refused) as refused:
            await act
        assert refused.value.code == "not_allowed"
    assert await actions(fresh_db) == written


async def test_the_centre_is_one_picture_of_all(fresh_db, boss, ana):
    await extensions.create(fresh_db, boss, number="1001", password=PASSWORD, user_id=ana.id)
    sales = await queues.create(fresh_db, boss, name="sales", label="Vendas", members=[ana.id])
    await numbers.create(fresh_db, boss, dialed="4000", kind="queue", target="sales")
    await pauses.create(fresh_db, boss, code="meal", label="Lanche")
    picture = await centre.load(fresh_db)
    assert picture.users[ana.id].extension == "1001"
    assert picture.queues == {"sales": sales}
    assert picture.numbers["4000"].target == "sales"
    assert picture.extensions["1001"].user_id == ana.id
    assert [p.code for p in picture.pauses] == ["meal"]
