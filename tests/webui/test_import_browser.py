"""A whole import in a real Chromium: a workbook is sent, its columns named, its progress and report seen."""

import csv
import io
import json

import pytest_asyncio
import xlsxwriter
from playwright.async_api import async_playwright, expect

from config import Settings
from crm import centre, contacts, import_layouts
from crm.users import Role
from tests.crm.campaigning import campaign
from tests.fakes.wall import FakeWall
from tests.webui.site import serving
from webui.auth import COOKIE

ROWS = 5000
# What the server tells the page, kept over its reload at the end.
REMEMBER = """
const Real = window.EventSource;
window.EventSource = class extends Real {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", (message) => {
      const told = JSON.parse(sessionStorage.told ?? "[]");
      sessionStorage.told = JSON.stringify([...told, JSON.parse(message.data)]);
    });
  }
};
"""


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    async with serving(fresh_db, FakeWall(await centre.load(fresh_db)), Settings(data=tmp_path)) as site:
        site.boss = await site.reader(Role.SUPERVISOR, "pt_BR")
        yield site


@pytest_asyncio.fixture
async def page(site):
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        context = await chromium.new_context(
            viewport={"width": 1366, "height": 768}, locale="pt-BR", accept_downloads=True
        )
        await context.add_cookies([{"name": COOKIE, "value": site.boss.token, "url": site.url}])
        await context.add_init_script(REMEMBER)
        page = await context.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        yield page
        await chromium.close()
        assert [said for said in complaints if "status of 422" not in said] == []


def mailing(path):
    """As a sales department writes it: telephones as numbers, a formula, a wrong CNPJ."""
    book = xlsxwriter.Workbook(str(path), {"strings_to_formulas": False})
    sheet = book.add_worksheet("Base")
    sheet.write_row(
        0,
        0,
        ["CNPJ", "Razão Social", "Telefone", "Contato", "Celular do contato", "E-mail do contato", "Praça"],
    )
    sheet.write_row(
        1, 0, ["12.ABC.345/01DE-35", "ACME", 1133334444.0, "Ana", 11987654321.0, "ana@acme.co", "Sul"]
    )
    sheet.write_row(2, 0, ["11.222.333/0001-82", "=cmd|' /C calc'!A0", 1133335555, "", "", "", ""])
    for line in range(3, ROWS + 1):
        sheet.write_row(line, 0, ["", f"Empresa {line}", 11_960_000_000 + line, "", "", "", ""])
    book.close()


async def test_a_workbook_is_imported_from_the_first_page_to_its_report(site, page, tmp_path):
    winback = await campaign(site.db, [site.boss.user], name="Renovação")
    mailing(tmp_path / "mailing.xlsx")
    await page.goto(site.url + "imports")
    await page.locator("#f-campaign").select_option(label="Renovação")
    await page.locator("#f-file").set_input_files(tmp_path / "mailing.xlsx")
    await page.get_by_role("button", name="Enviar").click()

    columns = page.locator("form#columns")
    chosen = await columns.locator("select[name^=column]").evaluate_all("(all) => all.map((e) => e.value)")
    assert chosen == ["document", "company", "phone", "main.name", "main.phone", "main.email", ""]
    first = page.locator("section[aria-labelledby=tried] tbody tr").first
    await expect(first).to_contain_text("ACME")
    await expect(first).to_contain_text("contato principal: Ana · (11) 98765-4321 · ana@acme.co")
    second = page.locator("section[aria-labelledby=tried] tbody tr").nth(1)
    await expect(second.locator(".badge-bad")).to_be_visible()  # told before anything is saved
    left_out = columns.locator("tr[data-column]").nth(6)
    assert "gone" in (await left_out.get_attribute("class") or "")
    await columns.locator("#f-column6").select_option("notes")
    assert "gone" not in (await left_out.get_attribute("class") or "")
    await columns.locator("[name=layout_name]").fill("Comercial")
    await columns.locator("button[value=start]").click()

    taken = page.get_by_role("link", name="Linhas não aceitas")
    await expect(taken).to_be_visible(timeout=600_000)
    told = json.loads(await page.evaluate("sessionStorage.told"))
    shares = [each["share"] for each in told if each["state"] == "running"]
    assert shares == sorted(shares) and any(0 < share < 1 for share in shares)
    assert told[-1]["state"] == "done"
    facts = await page.locator("dl.facts").inner_text()
    assert f"{ROWS - 1}" in facts.replace(".", "") and "Renovação" in facts

    async with page.expect_download() as download:
        await taken.click()
    content = (await (await download.value).path()).read_bytes().decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(content), delimiter=";")
    assert header[:4] == ["Linha", "Motivo", "Coluna", "Valor"]
    assert [row[0] for row in rows] == ["3"] and rows[0][5] == "'=cmd|' /C calc'!A0"

    [acme] = await contacts.search(site.db, "acme")
    assert (acme.phones, acme.notes) == (("+551133334444",), "Sul")
    assert [(each.type, each.name, each.phones) for each in acme.people] == [
        ("main", "Ana", ("+5511987654321",))
    ]
    listed = await site.db.fetchval("SELECT count(*) FROM list_item WHERE campaign_id = $1", winback.id)
    assert listed == ROWS - 1
    assert [layout.name for layout in await import_layouts.all(site.db)] == ["Comercial"]


async def test_a_file_that_is_no_table_says_so_where_it_was_sent(site, page, tmp_path):
    (tmp_path / "foto.csv").write_bytes(bytes(range(256)) * 200)
    await page.goto(site.url + "imports")
    await page.locator("#f-file").set_input_files(tmp_path / "foto.csv")
    await page.get_by_role("button", name="Enviar").click()
    await expect(page.locator(".notice-bad")).to_contain_text("não é texto nem planilha")
    assert await page.locator("#f-file").is_visible()
