"""Hooks of the business before a call: those that answer, hang, throw and lie."""

import asyncio
import contextlib
import time

import pytest
from aiohttp import web

from dialer.validation import AT_ONCE, INPUTS, Person, Validation, Verdict, verdict

ANA = Person("C-17", "42", "52998224725")


@pytest.fixture
async def validation(db):
    validation = Validation(db)
    yield validation
    await validation.close()


async def procedure(db, name, body, kind="boolean", arguments="text, text, text", language="plpgsql"):
    await db.execute(
        f"CREATE OR REPLACE FUNCTION validation.{name}({arguments}) RETURNS {kind} LANGUAGE {language} "
        f"AS $body$ {body} $body$"
    )


@contextlib.asynccontextmanager
async def address(answer):
    """An HTTP address that answers so; what it was asked is kept in `asked`."""
    asked = []

    async def handle(request):
        asked.append(await request.json())
        return await answer(request)

    app = web.Application()
    app.router.add_post("/ask", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)  # not waiting for those that hang
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/ask", asked
    finally:
        await runner.cleanup()


async def test_a_procedure_is_told_what_was_chosen_in_its_order_and_says_yes_or_no(db, validation):
    await procedure(db, "says", "SELECT $1 = 'C-17' AND $2 = '52998224725'", arguments="text, text",
                    language="sql")  # fmt: skip
    chosen = ["document", "external_code"]
    assert await validation.ask("procedure:says", chosen, ANA, 3) == Verdict(True)
    other = Person("C-18", "43", "52998224725")
    assert await validation.ask("procedure:says", chosen, other, 3) == Verdict(False)


@pytest.mark.parametrize(
    ("said", "expected"),
    [("''", Verdict(True)), ("NULL", Verdict(True)), ("'In debt'", Verdict(False, "In debt"))],
)
async def test_a_procedure_may_answer_with_the_reason_why_not(db, validation, said, expected):
    await procedure(db, "why_not", f"SELECT {said}::text", "text", "", "sql")
    assert await validation.ask("procedure:why_not", [], ANA, 3) == expected


async def test_a_procedure_that_throws_has_failed_with_its_own_words(db, validation):
    await procedure(db, "throws", "BEGIN RAISE EXCEPTION 'no table of debts'; END")
    answer = await validation.ask("procedure:throws", INPUTS, ANA, 3)
    assert answer == Verdict(False, "no table of debts", failed=True)


async def test_a_procedure_that_hangs_is_given_up_and_does_not_go_on_in_the_database(db, validation):
    await procedure(db, "hangs", "BEGIN PERFORM pg_sleep(600); RETURN true; END")
    begun = time.monotonic()
    answer = await validation.ask("procedure:hangs", INPUTS, ANA, 1)
    assert answer.failed and "1 seconds" in answer.why and time.monotonic() - begun < 5
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%validation.\"hangs%'"
    )
    assert await db.fetchval(running + " AND pid <> pg_backend_pid()") == 0


async def test_procedures_that_hang_leave_the_database_to_others(db, validation):
    await procedure(db, "hangs", "BEGIN PERFORM pg_sleep(600); RETURN true; END")
    asking = [
        asyncio.create_task(validation.ask("procedure:hangs", INPUTS, ANA, 1)) for _ in range(AT_ONCE * 4)
    ]
    async with asyncio.timeout(0.9):
        assert await db.fetchval("SELECT 1") == 1
    assert all(answer.failed for answer in await asyncio.gather(*asking))


async def test_a_procedure_that_is_not_there_or_is_no_name_has_failed(validation):
    assert (await validation.ask("procedure:nowhere", INPUTS, ANA, 3)).failed
    for hook in ('procedure:a"; DROP TABLE contact; --', "procedure:", "says", "ftp://host/x", ""):
        assert (await validation.ask(hook, INPUTS, ANA, 3)).failed


async def test_a_procedure_without_an_answer_has_failed(db, validation):
    await procedure(db, "silent", "SELECT NULL::boolean", "boolean", "", "sql")
    assert (await validation.ask("procedure:silent", [], ANA, 3)).failed


async def test_an_address_is_told_what_was_chosen_and_answers(validation):
    async def no(_request):
        return web.json_response({"allowed": False, "reason": "Contract under review"})

    async with address(no) as (url, asked):
        answer = await validation.ask(url, ["document"], ANA, 3)
    assert answer == Verdict(False, "Contract under review")
    assert asked == [{"document": "52998224725"}]


async def test_an_address_that_hangs_breaks_or_talks_too_much_has_failed(validation):
    async def hangs(_request):
        await asyncio.sleep(600)

    async def breaks(_request):
        raise web.HTTPInternalServerError

    async def elsewhere(_request):
        raise web.HTTPFound("http://127.0.0.1:1/")

    async def nonsense(_request):
        return web.Response(text="<html>")

    async def endless(_request):
        return web.Response(text='"' + "x" * 200_000 + '"')

    for answer, seconds in [(hangs, 0.3), (breaks, 3), (elsewhere, 3), (nonsense, 3), (endless, 3)]:
        async with address(answer) as (url, _):
            said = await validation.ask(url, INPUTS, ANA, seconds)
            assert said.failed and said.why and not said.allowed, answer


async def test_nobody_at_the_address_has_failed(validation):
    assert (await validation.ask("http://127.0.0.1:1/ask", INPUTS, ANA, 3)).failed


@pytest.mark.parametrize("said", [None, 1, 0, [], {}, {"allowed": "yes"}, {"ok": True}, 1.5])
def test_what_is_neither_yes_nor_no_has_failed(said):
    assert verdict(said).failed and not verdict(said).allowed
