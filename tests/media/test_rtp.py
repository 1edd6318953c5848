"""Two telephones speak through the engine over plain RTP: what each hears is measured."""

from cti.media.engine import Connected


async def test_two_callers_hear_each_other(engine, caller):
    ana = await caller(engine, "ana", hertz=440)
    bruno = await caller(engine, "bruno", hertz=620)
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    await bruno.hears(440)
    await engine.told(Connected("ana"))


async def test_one_offer_one_answer_and_two_laws(engine, caller, phone):
    ana = await caller(engine, "ana", hertz=440, law="PCMU")
    bruno = phone(hertz=620, law="PCMA")
    bruno.learn(await engine.rtp_offer("bruno"))
    await engine.rtp_accept("bruno", bruno.sdp())
    bruno.start()
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    await bruno.hears(440)
