"""Imports: a file becomes customers and items of a list, all of it or nothing; what is not taken says why."""

import asyncio
import csv
import io
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import xlsxwriter

from crm import (
    audit,
    blocklist,
    campaigns,
    contacts,
    custom_fields,
    import_layouts,
    imports,
    lists,
    users,
)
from crm.db import connect
from crm.imports import Imports
from crm.refused import Refused
from crm.users import Role
from dialer.validation import Verdict
from tests.crm.campaigning import campaign
from tests.waiting import until


class Jobs(Imports):
    """Imports with the few steps every scene here needs."""

    async def sent(self, content, name="people.csv", campaign_id=None) -> imports.Import:
        async def pieces():
            data = content if isinstance(content, bytes) else content.encode()
            for place in range(0, len(data), 65_536):
                yield data[place : place + 65_536]

        return await imports.found(self.db, await self.receive(self.by, name, pieces(), campaign_id))

    async def done(self, content, campaign_id=None, targets=None, **options) -> imports.Import:
        one = await self.sent(content, campaign_id=campaign_id)
        chosen = targets or [column["target"] for column in one.columns]
        await self.choose(self.by, one.id, chosen, one.options | options, campaign_id)
        return await self.carried_out(one.id)

    async def carried_out(self, import_id) -> imports.Import:
        await self.start(self.by, import_id)
        async for progress in self.follow(import_id):
            last = progress
        one = await imports.found(self.db, import_id)
        assert last.state == one.state
        return one

    def reported(self, one) -> list[dict]:
        steps = list(imports.report_rows(self.report(one)))
        header, *rows = [row for step in steps for row in step]
        return [dict(zip(header, row, strict=False)) for row in rows]


async def somebody(db, role=Role.ADMINISTRATOR) -> users.User:
    return await users.create(
        db,
        None,
        login=f"boss.{role}",
        name="Boss",
        role=role,
        password="correct horse battery",
        language="en",
    )


@pytest_asyncio.fixture
async def jobs(fresh_db, tmp_path):
    jobs = Jobs(fresh_db, tmp_path)
    jobs.by = await somebody(fresh_db)
    yield jobs
    await jobs.close()


PEOPLE = """nome;cpf;telefone;celular;e-mail
Ana Souza;529.982.247-25;(11) 3333-4444;(11) 98765-4321;ana@example.com
Bruno Lima;111.444.777-35;;21 8765-4321;
"""


async def test_a_file_becomes_customers(jobs):
    one = await jobs.done(PEOPLE)
    assert (one.state, one.error, one.added, one.rejected, one.phones) == ("done", "", 2, 0, 3)
    ana = (await contacts.search(jobs.db, "ana souza"))[0]
    assert ana.document == "52998224725" and ana.email == "ana@example.com"
    assert ana.phones == ("+551133334444", "+5511987654321")
    bruno = (await contacts.search(jobs.db, "bruno"))[0]
    assert bruno.phones == ("+5521987654321",)  # the ninth digit put in


async def test_the_parts_of_a_customer_have_no_trigger_an_import_could_pass_over(jobs):
    """But those that look whether the customer is there, who was made in the same transaction."""
    tables = "contact_phone contact_email contact_address contact_person".split()
    triggers = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text = ANY($1)"
    assert await jobs.db.fetch(triggers, tables) == []
    await jobs.done(PEOPLE)
    for table in tables:
        orphans = f"SELECT count(*) FROM {table} WHERE contact_id NOT IN (SELECT id FROM contact)"
        assert await jobs.db.fetchval(orphans) == 0


async def test_an_import_needs_no_server_of_its_own(jobs, fresh_database_url):
    """In somebody else's PostgreSQL we are nobody in particular."""
    plain = f"plain_{os.getpid()}"
    name = fresh_database_url.partition("?")[0].rpartition("/")[2]
    await jobs.db.execute(
        f"""
        CREATE ROLE {plain} LOGIN;
        GRANT CREATE, TEMP ON DATABASE "{name}" TO {plain};
        GRANT ALL ON ALL TABLES IN SCHEMA public TO {plain};
        GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {plain};
        """
    )
    try:
        db = await connect(fresh_database_url.replace("ramal@", f"{plain}@"))
        here = Jobs(db, jobs.folder.parent)
        here.by = jobs.by
        assert (await here.done(PEOPLE)).added == 2
        await here.close()
        await db.close()
    finally:
        await jobs.db.execute(f"DROP OWNED BY {plain}; DROP ROLE {plain}")


async def test_what_an_import_did_is_in_the_audit_and_its_file_is_gone(jobs):
    one = await jobs.done(PEOPLE)
    actions = {entry.action for entry in await audit.recent(jobs.db)}
    assert {"import.start", "import.done"} <= actions
    assert not (jobs.folder / f"{one.id}.file").exists()


async def test_every_row_not_taken_is_reported_with_its_reason_and_cells(jobs):
    one = await jobs.done(
        "nome;cpf;telefone;e-mail\n"
        "Ana;529.982.247-25;1133334444;ana\n"
        "Beto;529.982.247-24;1133334444;\n"
        "Caio;;12;\n"
        "Davi;;;\n"
        "Ana de novo;52998224725;1133335555;\n"
        "Edu;;1133336666;;;a mais\n"
        "+Fabi;;1133337777;\n"
    )
    told = [(row["line"], row["reason"], row["column"], row["value"]) for row in jobs.reported(one)]
    assert sorted(told) == [
        ("2", "~not_an_email", "e-mail", "ana"),
        ("3", "not_a_document", "cpf", "529.982.247-24"),
        ("4", "no_phone", "telefone", "12"),
        ("5", "no_phone", "", ""),
        ("6", "twice_in_file", "", "2"),
        ("7", "too_many_cells", "", ""),
    ]
    assert (one.added, one.rejected, one.duplicates, one.notes) == (2, 4, 1, 1)
    assert next(row for row in jobs.reported(one) if row["line"] == "6")["nome"] == "Ana de novo"


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "\t=1"])
async def test_formulas_stay_text_and_leave_escaped(jobs, text):
    rows = io.StringIO()
    csv.writer(rows, delimiter=";").writerows(
        [["nome", "fone"], [text + " x", "12"], [text + " y", "1133334444"]]
    )
    one = await jobs.done(rows.getvalue())
    assert [row["name"] for row in await jobs.db.fetch("SELECT name FROM contact")] == [(text + " y").strip()]
    assert jobs.reported(one)[0]["nome"].startswith("'")


async def test_a_row_that_the_encoding_cannot_read_is_rejected_and_the_others_come_in(jobs):
    text = "nome;fone\nInês;1133334444\n".encode() + "João;1133335555\n".encode("cp1252")
    one = await jobs.done(text)
    assert (one.added, one.rejected) == (1, 1)
    assert [row["reason"] for row in jobs.reported(one)] == ["not_readable"]


async def test_a_workbook_with_phones_as_floats_and_documents_as_numbers(jobs, tmp_path):
    path = tmp_path / "people.xlsx"
    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["Nome", "CPF", "Celular"])
    sheet.write_row(1, 0, ["Ana", 1234567890, 11987654321.0])
    sheet.write_row(2, 0, ["Beto", "529.982.247-25", "011 8765-4321"])
    book.close()
    one = await jobs.done(path.read_bytes())
    assert (one.added, one.rejected) == (2, 0)
    rows = await jobs.db.fetch("SELECT document FROM contact ORDER BY name")
    assert [row["document"] for row in rows] == ["01234567890", "52998224725"]
    numbers = await jobs.db.fetch("SELECT number FROM contact_phone")
    assert [row["number"] for row in numbers] == ["+5511987654321"] * 2


MANY = ";".join(f"x{n}" for n in range(198))


@pytest.mark.parametrize(
    "content",
    [
        "NOME;TELEFONE\r\nJOSÉ CONCEIÇÃO;(11) 98765-4321\r\n".encode("cp1252"),
        "\ufeffnome,telefone\nJOSÉ CONCEIÇÃO,11987654321\n".encode(),
        "Celular\n11987654321\n",
        f"nome;{MANY};celular\nJOSÉ CONCEIÇÃO;{MANY};11 8765 4321\n",
    ],
    ids=["Latin-1 with semicolons", "UTF-8 with BOM", "one column", "200 columns"],
)
async def test_files_of_every_habit_come_in_as_they_are(jobs, content):
    one = await jobs.done(content)
    assert (one.added, one.rejected, one.notes) == (1, 0, 0)
    row = await jobs.db.fetchrow(
        "SELECT name, number FROM contact JOIN contact_phone ON contact_id = contact.id"
    )
    assert row["number"] == "+5511987654321" and row["name"] in ("JOSÉ CONCEIÇÃO", "(11) 98765-4321")


async def test_all_that_a_column_may_become(jobs):
    await custom_fields.create(jobs.db, None, key="saldo", label="Saldo", kind="number")
    one = await jobs.done(
        "nome;cnpj;empresa;codigo;fone;email;obs;rua;uf;cep;Saldo\n"
        'Contato;12.ABC.345/01DE-35;ACME;C-9;1133334444;a@b.co / "c"@d.co;'
        'bom;Rua A;São Paulo;01310-100;"1.234,50"\n'
    )
    assert one.added == 1, jobs.reported(one)
    row = await jobs.db.fetchrow("SELECT * FROM contact")
    assert (row["kind"], row["document"], row["company"]) == ("company", "12ABC34501DE35", "ACME")
    assert (row["external_code"], row["notes"], row["custom"]) == ("C-9", "bom", {"saldo": "1234.5"})
    assert row["email"] == "a@b.co"
    assert [r["email"] for r in await jobs.db.fetch("SELECT email FROM contact_email")] == ['"c"@d.co']
    place = await jobs.db.fetchrow("SELECT * FROM contact_address")
    assert (place["street"], place["state"], place["postal_code"]) == ("Rua A", "SP", "01310100")


# -- who is the same -----------------------------------------------------------------------------------------


async def known(jobs, **facts):
    return await contacts.create(jobs.db, None, "Ana Velha", ["11 3333-4444"], **facts)


async def test_a_customer_we_have_is_brought_up_to_date_and_gets_the_new_numbers(jobs):
    ana = await known(jobs, document="529.982.247-25", email="old@example.com")
    one = await jobs.done("nome;cpf;fone;email\nAna Nova;52998224725;11 98765-4321;new@example.com\n")
    assert (one.added, one.updated, one.duplicates) == (0, 1, 0)
    now = await contacts.by_id(jobs.db, ana.id)
    assert now.name == "Ana Nova" and now.email == "old@example.com"
    assert now.phones == ("+551133334444", "+5511987654321")
    emails = await jobs.db.fetch("SELECT email FROM contact_email WHERE contact_id = $1", ana.id)
    assert [row["email"] for row in emails] == ["new@example.com"]


async def test_a_customer_we_have_can_stay_as_it_is(jobs):
    ana = await known(jobs, document="529.982.247-25")
    one = await jobs.done("nome;cpf;fone\nAna Nova;52998224725;11 98765-4321\n", on_known="keep")
    assert (one.added, one.updated, one.duplicates) == (0, 0, 1)
    assert await contacts.by_id(jobs.db, ana.id) == ana
    assert [(row["reason"], row["value"]) for row in jobs.reported(one)] == [("already_known", str(ana.id))]


async def test_a_name_made_up_for_a_bare_number_never_replaces_a_real_one(jobs):
    ana = await known(jobs)
    one = await jobs.done("telefone\n1133334444\n")
    assert one.updated == 1 and (await contacts.by_id(jobs.db, ana.id)).name == "Ana Velha"


async def test_two_documents_are_two_people_whatever_telephone_they_share(jobs):
    await known(jobs, document="529.982.247-25")
    one = await jobs.done(
        "nome;cpf;fone\nBeto;111.444.777-35;1133334444\nAna;52998224725;1133334444\nAlguém;;1133334444\n",
        matches=["phone"],
    )
    assert (one.added, one.updated, one.duplicates) == (1, 1, 1)


async def test_the_same_file_again_adds_nobody(jobs):
    first = await jobs.done(PEOPLE)
    again = await jobs.done(PEOPLE)
    assert (first.added, again.added, again.updated) == (2, 0, 2)
    assert await jobs.db.fetchval("SELECT count(*) FROM contact") == 2
    assert await jobs.db.fetchval("SELECT count(*) FROM contact_phone") == 3


async def test_without_anything_to_tell_them_apart_every_row_is_somebody(jobs):
    one = await jobs.done("nome;fone\nAna;1133334444\nAna;1133334444\n", matches=[])
    assert (one.added, one.duplicates) == (2, 0)


# -- the people of companies ---------------------------------------------------------------------------------

SHOP = "12.ABC.345/01DE-35"
FACTORY = "11.222.333/0001-81"
PAIRS = [
    "document",
    "company",
    "main.name",
    "main.phone",
    "main.email",
    "other.type",
    "other.name",
    "other.phone",
]


async def spoken_with(db):
    """Company, type, name, phones, e-mail of each, in the order shown."""
    rows = await db.fetch(
        """
        SELECT contact.company, type, contact_person.name, phones, contact_person.email
          FROM contact_person JOIN contact ON contact.id = contact_id AND kind = 'company'
         ORDER BY company, type <> 'main', position, contact_person.id
        """
    )
    return [tuple(row) for row in rows]


async def test_a_company_comes_in_with_its_main_contact_and_another(jobs):
    one = await jobs.done(
        "cnpj;empresa;c1;f1;e1;setor;c2;f2\n"
        f"{SHOP};Loja;Ana;11 98765-4321 / 1133334444;ana@loja.co;Financeiro;Beto;(21) 3333-4444\n"
        f"{FACTORY};Fábrica;;;;;;2133335555\n",
        targets=PAIRS,
        other_type="Compras",
    )
    assert (one.added, one.rejected, one.notes, one.phones) == (2, 0, 0, 4), jobs.reported(one)
    assert await spoken_with(jobs.db) == [
        ("Fábrica", "Compras", "(21) 3333-5555", ["+552133335555"], ""),
        ("Loja", "main", "Ana", ["+5511987654321", "+551133334444"], "ana@loja.co"),
        ("Loja", "Financeiro", "Beto", ["+552133334444"], ""),
    ]
    loja = (await contacts.search(jobs.db, "beto"))[0]
    assert loja.company == "Loja" and [person.name for person in loja.people] == ["Ana", "Beto"]


async def test_a_company_on_a_line_for_each_of_its_people_is_one_with_all_of_them(jobs):
    one = await jobs.done(
        "cnpj;empresa;setor;c2;f2\n"
        f"{SHOP};Loja;principal;Ana;1133334444\n"
        f"{SHOP};Loja;Financeiro;Beto;1133335555\n"
        f"{SHOP};Loja;Principal;Célia;1133336666\n"
        f"{SHOP};Loja;Financeiro;BETO;1133337777\n",
        targets=["document", "company", "other.type", "other.name", "other.phone"],
    )
    assert (one.added, one.duplicates) == (1, 3)
    assert await spoken_with(jobs.db) == [
        ("Loja", "main", "Ana", ["+551133334444"], ""),
        ("Loja", "Financeiro", "Beto", ["+551133335555", "+551133337777"], ""),
        ("Loja", "Outro", "Célia", ["+551133336666"], ""),
    ]
    assert {row["reason"] for row in jobs.reported(one)} == {"contact_added"}


async def test_a_company_we_have_keeps_its_people_and_a_new_main_contact_takes_the_place(jobs):
    await jobs.done(
        f"cnpj;empresa;c1;f1;e1;t;c2;f2\n{SHOP};Loja;Ana;1133334444;;Financeiro;Beto;1133335555\n",
        targets=PAIRS,
    )
    one = await jobs.done(
        f"cnpj;empresa;c1;f1;e1;t;c2;f2\n{SHOP};Loja;Célia;1133336666;;Compras;beto;1133337777\n",
        targets=PAIRS,
    )
    assert (one.added, one.updated) == (0, 1)
    assert await spoken_with(jobs.db) == [
        ("Loja", "main", "Célia", ["+551133336666"], ""),
        ("Loja", "Outro", "Ana", ["+551133334444"], ""),
        ("Loja", "Financeiro", "Beto", ["+551133335555", "+551133337777"], ""),
    ]
    kept = await jobs.done(
        f"cnpj;empresa;c1;f1;e1;t;c2;f2\n{SHOP};Loja;Davi;1133338888;;;;\n", targets=PAIRS, on_known="keep"
    )
    assert kept.updated == 0 and "Davi" not in [row[2] for row in await spoken_with(jobs.db)]


async def test_the_contact_of_somebody_who_is_no_company_is_left_out_and_told(jobs):
    one = await jobs.done(
        "cpf;nome;contato;fone\n529.982.247-25;Zé;Ana;1133334444\n",
        targets=["document", "name", "main.name", "phone"],
    )
    assert (one.added, one.notes) == (1, 1) and await spoken_with(jobs.db) == []
    assert [(row["reason"], row["value"]) for row in jobs.reported(one)] == [("~not_a_company", "Ana")]


@pytest.mark.parametrize(
    "settings, listed",
    [
        ({"company_target": "main"}, ["Loja"]),
        ({"company_target": "selected", "company_types": ["Financeiro"]}, ["Fábrica"]),
    ],
)
async def test_companies_are_listed_when_the_campaigns_contacts_can_be_called(jobs, settings, listed):
    here = await campaign(jobs.db, [jobs.by], **settings)
    text = (
        "cnpj;empresa;c1;f1;e1;t;c2;f2\n"
        f"{SHOP};Loja;Ana;1133334444;;;;\n"
        f"{FACTORY};Fábrica;;;;Financeiro;Beto;1133335555\n"
    )
    one = await jobs.done(text, campaign_id=here.id, targets=PAIRS)
    assert (one.added, one.listed) == (2, 1)
    assert await items(jobs.db) == listed


async def test_a_company_whose_contact_may_be_called_is_not_blocked(jobs):
    here = await campaign(jobs.db, [jobs.by])
    await blocklist.block(jobs.db, None, "11 3333-0001")
    text = (
        "cnpj;empresa;fone;c1;f1\n"
        f"{SHOP};Loja;1133330001;Ana;1133330002\n"
        f"{FACTORY};Fábrica;1133330001;Beto;1133330001\n"
    )
    one = await jobs.done(
        text,
        campaign_id=here.id,
        targets=["document", "company", "phone", "main.name", "main.phone"],
        matches=["document"],
    )
    assert (one.added, one.blocked, one.listed) == (2, 1, 1)
    assert await items(jobs.db) == ["Loja"]


# -- for a campaign ------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def winback(fresh_db, jobs):
    return await campaign(fresh_db, [jobs.by])


async def items(db):
    rows = await db.fetch(
        "SELECT contact.name FROM list_item JOIN contact ON contact.id = contact_id ORDER BY list_item.id"
    )
    return [row["name"] for row in rows]


async def test_a_campaigns_list_gets_the_people_in_the_files_order_and_its_history_a_line(jobs, winback):
    old = await known(jobs, document="529.982.247-25")
    text = "nome;cpf;fone\nZoe;;1133330001\nAna;52998224725;1133330002\nBia;;1133330003\nCid;;x\n"
    one = await jobs.done(text, campaign_id=winback.id)
    assert (one.added, one.updated, one.listed, one.rejected) == (2, 1, 3, 1)
    assert await items(jobs.db) == ["Zoe", "Bia", "Ana"]
    load = (await lists.loads(jobs.db, winback.id))[0]
    assert (load.kind, load.import_id, load.added, load.rejected, load.duplicates) == (
        "import",
        one.id,
        3,
        1,
        0,
    )
    assert (await contacts.by_id(jobs.db, old.id)).name == "Ana"
    again = await jobs.done(text.replace("Zoe;;1133330001", "Zoe;;1133339999"), campaign_id=winback.id)
    assert again.listed == 3 - 1  # Zoe and Bia have no document: new people; Ana is on the list
    assert (await lists.loads(jobs.db, winback.id))[0].duplicates == 1


async def test_blocked_numbers_are_counted_and_not_listed(jobs, winback):
    other = await campaign(jobs.db, [jobs.by], name="Other")
    await blocklist.block(jobs.db, None, "11 3333-0001")
    await blocklist.block(jobs.db, None, "11 3333-0002", campaign_id=winback.id)
    await blocklist.block(jobs.db, None, "11 3333-0003", campaign_id=other.id)
    one = await jobs.done(
        "nome;fone;fone2\nAna;1133330001;\nBia;1133330002;1133330001\nCid;1133330003;\nDou;1133330001;1133330009\n",
        campaign_id=winback.id,
        matches=[],
    )
    assert (one.added, one.blocked, one.listed) == (4, 2, 2)
    assert await items(jobs.db) == ["Cid", "Dou"]
    assert [(row["nome"], row["reason"]) for row in jobs.reported(one)] == [
        ("Ana", "blocked"),
        ("Bia", "blocked"),
    ]
    load = (await lists.loads(jobs.db, winback.id))[0]
    assert (load.added, load.blocked, load.rejected) == (2, 2, 0)


async def test_a_draft_or_ended_campaign_takes_nobody(jobs, winback):
    draft = await campaigns.create_draft(jobs.db, None, name="Draft", source="leads")
    one = await jobs.sent(PEOPLE, campaign_id=draft.id)
    with pytest.raises(Refused, match="has to be active"):
        await jobs.start(jobs.by, one.id)
    await campaigns.end(jobs.db, None, winback.id)
    with pytest.raises(Refused, match="has ended"):
        await jobs.sent(PEOPLE, campaign_id=winback.id)
    assert (await imports.found(jobs.db, one.id)).state == "previewed"


@pytest.mark.parametrize("on_failure, listed", [("skip", ["Bia"]), ("allow", ["Bia", "Cid"])])
async def test_the_campaigns_validation_is_asked_about_each_person(jobs, on_failure, listed):
    asked, everybody_asked = [], asyncio.Event()

    async def ask(campaign, person):
        asked.append(person.external_code)
        if person.external_code == "1":
            await everybody_asked.wait()  # one that is slow holds up no other
            return Verdict(False, "has paid")
        if len(asked) == 3:
            everybody_asked.set()
        slow = Refused("no answer within {seconds} seconds", seconds="3")
        return Verdict(True) if person.external_code == "2" else Verdict(False, str(slow), True, slow)

    jobs.ask = ask
    checked = await campaign(
        jobs.db, [jobs.by], validates=True, validate_list="https://example.com/ok",
        validation_inputs=["external_code"], validation_on_failure=on_failure,
    )  # fmt: skip
    text = "nome;codigo;fone\nAna;1;1133330001\nBia;2;1133330002\nCid;3;1133330003\n"
    one = await jobs.done(text, campaign_id=checked.id)
    assert asked == ["1", "2", "3"] and one.added == 3
    assert await items(jobs.db) == listed
    reported = {row["nome"]: row for row in jobs.reported(one)}
    assert reported.keys() == {"Ana", "Bia", "Cid"} - set(listed)
    assert "has paid" in reported["Ana"].values()
    (load,) = await lists.loads(jobs.db, checked.id)
    kept = [(each.contact, each.failed, str(each.why)) for each in await lists.refusals(jobs.db, load.id)]
    assert kept == [("Cid", True, "no answer within 3 seconds"), ("Ana", False, "has paid")]


# -- layouts -------------------------------------------------------------------------------------------------


async def test_a_remembered_layout_names_the_columns_of_the_next_file(jobs):
    one = await jobs.sent("K1;K2;K3\nAna;11987654321;x\n")
    options = one.options | {"area_code": "21", "matches": ["phone"]}
    await jobs.choose(jobs.by, one.id, ["name", "phone", ""], options, None, "Banco A")
    again = await jobs.sent("K3;k2;K1\ny;11987654322;Bia\n")
    assert [column["target"] for column in again.columns] == ["", "phone", "name"]
    assert again.options["area_code"] == "21" and again.layout_id is not None
    other = await jobs.sent("K3;K1\ny;Bia\n")
    assert other.layout_id is None


async def test_the_layout_a_campaign_expects_goes_before_any_other(jobs):
    one = await jobs.sent("K1;K2\nAna;11987654321\n")
    for name, targets in (("A", ["name", "phone"]), ("B", ["company", "phone"])):
        await jobs.choose(jobs.by, one.id, targets, one.options | {"matches": []}, None, name)
    for layout in await import_layouts.all(jobs.db):
        expecting = await campaign(
            jobs.db, [jobs.by], name=layout.name, source="layout", import_layout_id=layout.id
        )
        again = await jobs.sent("K1;K2\nBia;11987654321\n", campaign_id=expecting.id)
        assert again.columns[0]["target"] == layout.columns[0]["target"]


# -- all of it or nothing ------------------------------------------------------------------------------------


def many(rows):
    return "nome;fone\n" + "".join(f"Pessoa {n};119{80_000_000 + n}\n" for n in range(rows))


async def nothing_stays(jobs, one):
    assert await jobs.db.fetchval("SELECT count(*) FROM contact") == 0
    assert await jobs.db.fetchval("SELECT count(*) FROM list_item") == 0
    assert await jobs.db.fetchval("SELECT count(*) FROM campaign_load") == 0
    assert not (jobs.folder / f"{one.id}.report").exists()
    assert await jobs.db.fetch("SELECT FROM pg_class WHERE relname = 'stage'") == []


@pytest.mark.parametrize("phase", ["reading", "saving"])
async def test_a_cancelled_import_leaves_nothing_and_can_be_started_again(jobs, winback, phase):
    one = await jobs.sent(many(60_000), campaign_id=winback.id)
    await jobs.start(jobs.by, one.id)
    async for progress in jobs.follow(one.id):
        if progress.phase == phase and (phase == "reading" or progress.rows_done > 0):
            break
    await jobs.cancel(jobs.by, one.id)
    assert (await imports.found(jobs.db, one.id)).state == "cancelled"
    await nothing_stays(jobs, one)
    done = await jobs.carried_out(one.id)
    assert (done.state, done.added, done.listed) == ("done", 60_000, 60_000)


async def test_an_import_whose_database_refuses_leaves_nothing(jobs, winback):
    await jobs.db.execute("ALTER TABLE contact_phone ADD CONSTRAINT never CHECK (number <> '+5511980039999')")
    one = await jobs.sent(many(40_000), campaign_id=winback.id)
    await jobs.start(jobs.by, one.id)
    await until(lambda: not jobs._jobs)
    failed = await imports.found(jobs.db, one.id)
    assert failed.state == "failed" and failed.error_values == {"error": "CheckViolationError"}
    await nothing_stays(jobs, one)


def readers():
    """Import processes of ours, by their command."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    command = file.read()
            except OSError:
                continue
            if parent == os.getpid() and b"crm.import_worker" in command:
                found.append(int(entry))
    return found


async def test_a_reader_that_is_killed_fails_its_import_only(jobs):
    one = await jobs.sent(many(150_000))
    await jobs.start(jobs.by, one.id)
    [pid] = await until(readers)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not jobs._jobs)
    failed = await imports.found(jobs.db, one.id)
    assert failed.state == "failed" and "too large" in failed.error
    await nothing_stays(jobs, one)
    assert (await jobs.done(PEOPLE)).added == 2


async def test_a_workbook_with_one_cell_at_the_far_end_is_refused_by_its_reader_alone(jobs, tmp_path):
    path = tmp_path / "far.xlsx"
    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet()
    sheet.write(0, 0, "nome")
    sheet.write(1_048_575, 16_383, "x")
    book.close()
    with pytest.raises(Refused, match="too large to be opened as a workbook"):
        await jobs.sent(path.read_bytes())
    assert await imports.recent(jobs.db) == []


async def test_imports_are_carried_out_one_after_the_other(jobs):
    first, second = await jobs.sent(many(20_000)), await jobs.sent(many(20_000))
    await jobs.start(jobs.by, first.id)
    await jobs.start(jobs.by, second.id)
    async for progress in jobs.follow(second.id):
        if progress.phase == "waiting":
            assert first.id in jobs._jobs
    done = [await imports.found(jobs.db, one.id) for one in (first, second)]
    assert [one.added for one in done] == [20_000, 0] and done[1].updated == 20_000


async def test_what_a_stopped_server_left_running_has_failed_and_its_file_is_kept(jobs):
    one = await jobs.sent(PEOPLE)
    await jobs.db.execute("UPDATE import SET state = 'running' WHERE id = $1", one.id)
    stray = jobs.folder / "99.report"
    stray.write_text("x")
    await jobs.clean()
    failed = await imports.found(jobs.db, one.id)
    assert failed.state == "failed" and "Nothing of the file was imported" in failed.error
    assert not stray.exists()
    assert (await jobs.carried_out(one.id)).added == 2


async def test_a_file_above_the_limit_is_refused_and_not_kept(jobs, monkeypatch):
    monkeypatch.setattr(imports, "BYTES_MAX", 1 << 20)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"nome;fone\n" * 10_000

    with pytest.raises(Refused, match="larger than"):
        await jobs.receive(jobs.by, "endless.csv", endless())
    assert [path for path in jobs.folder.iterdir() if path.is_file()] == []


async def test_a_done_import_is_neither_started_nor_changed_again(jobs):
    one = await jobs.done(PEOPLE)
    for act in (
        jobs.start(jobs.by, one.id),
        jobs.remove(jobs.by, one.id),
        jobs.choose(jobs.by, one.id, [column["target"] for column in one.columns], one.options, None),
        jobs.read_again(jobs.by, one.id, one.preview.reading),
    ):
        with pytest.raises(Refused, match="can no longer be changed"):
            await act


@pytest.mark.parametrize("role", [Role.AGENT, Role.BACK_OFFICE, Role.AUDITOR])
async def test_only_who_runs_campaigns_imports(jobs, role):
    one = await jobs.sent(PEOPLE)
    other = await somebody(jobs.db, role)
    with pytest.raises(Refused, match="run_campaigns"):
        await jobs.start(other, one.id)
    with pytest.raises(Refused, match="run_campaigns"):
        await jobs.cancel(other, one.id)


async def test_files_in_the_folder_for_imports_are_offered_and_only_those(jobs, tmp_path):
    jobs.inbox.mkdir(parents=True)
    (jobs.inbox / "a.csv").write_text(PEOPLE)
    (jobs.inbox / ".hidden").write_text("x")
    (jobs.inbox / "folder").mkdir()
    assert jobs.waiting_files() == ["a.csv"]
    one = await imports.found(jobs.db, await jobs.take(jobs.by, "a.csv"))
    assert one.name == "a.csv" and (await jobs.carried_out(one.id)).added == 2
    for name in ("../x", ".hidden", "folder", "b.csv"):
        with pytest.raises(Refused, match="no file"):
            await jobs.take(jobs.by, name)
