"""Counts that arrive after their page, and marks for all, in a real Chromium."""

import asyncio

from playwright.async_api import expect

from crm import blocklist, filters
from tests.crm.campaigning import campaign, everybody, people
from tests.webui.test_import_browser import page, site

__all__ = ["page", "site"]  # fixtures


async def test_an_estimate_is_replaced_by_what_was_counted(site, page, monkeypatch):
    await people(site.db, 7)
    saved = await everybody(site.db, site.boss.user)
    count, counted = filters.count, asyncio.Event()

    async def slow(db, tree, seconds=filters.COUNT_SECONDS):
        if seconds == filters.COUNT_SECONDS:
            return filters.Count(400, False, 0, 900)
        await counted.wait()
        return await count(db, tree, seconds)

    monkeypatch.setattr(filters, "count", slow)
    await page.goto(f"{site.url}filters/{saved.id}")
    found = page.locator(".builder-count")
    await expect(found).to_have_text("no máximo 900 clientes")
    counted.set()
    await expect(found).to_have_text("7 clientes")
    counted.clear()
    await page.goto(f"{site.url}campaigns/new")
    await page.locator("[name=filter_id]").select_option(str(saved.id))
    told = page.locator("[data-audience]")
    await expect(told).to_have_text("Este filtro encontra agora no máximo 900 clientes.")
    counted.set()
    await expect(told).to_have_text("Este filtro encontra 7 clientes agora.")


async def test_the_figures_of_a_shown_list_arrive_after_its_first_people(site, page):
    await people(site.db, 3)
    saved = await everybody(site.db, site.boss.user)
    made = await campaign(site.db, [site.boss.user], source="filter", filter_id=saved.id)
    await page.goto(f"{site.url}campaigns/{made.id}/list?show=1")
    await expect(page.locator(".tile-figure").first).to_have_text("3seriam adicionados")
    await expect(page.get_by_text("Person 3")).to_be_visible()


async def test_all_numbers_shown_are_unblocked_at_once(site, page):
    for n in range(3):
        await blocklist.block(site.db, site.boss.user, f"+551196000000{n}", None, "pediu")
    await page.goto(f"{site.url}blocklist")
    page.on("dialog", lambda asked: asked.accept())
    await page.get_by_label("Marcar todos").check()
    await page.get_by_label("Por que podem ser chamados de novo").fill("engano")
    await page.get_by_role("button", name="Desbloquear os escolhidos").click()
    await expect(page.locator("[name=id]")).to_have_count(0)
    assert await site.db.fetchval("SELECT count(*) FROM blocked_number") == 0
