import asyncio
import csv
import json

import pytest
import pytest_asyncio

from crm import campaigns, contacts, custom_fields, imports, lists, users
from crm.form import Kind
from crm.imports import Imports
from crm.refused import Refused
from crm.users import Role
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
        db, None, login=f"boss.{role}", name="Boss", role=role, password="correct horse battery", language="en"
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
