"""What bad SIP gets: an answer per RFC or silence, and never a disturbed call."""

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.customer import CUSTOMER, SOFTPHONE, Customers
from tests.e2e.product import PATIENCE, Product, running, until
from tests.e2e.seat import Softphone, seat

REQUEST = (
    "{method} sip:{number}@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK{branch}\r\n"
    "Max-Forwards: {hops}\r\n"
    "From: <sip:tester@127.0.0.1>;tag={branch}\r\n"
    "To: <sip:{number}@127.0.0.1>\r\n"
    "Call-ID: {branch}@tester\r\n"
    "CSeq: 1 {method}\r\n"
    "Contact: <sip:tester@127.0.0.1:{port}>\r\n"
    "{extra}"
    "Content-Length: 0\r\n\r\n"
)


async def test_an_unknown_number_gets_404(product: Product, customers: Customers):
    call = customers.call("7777").call
    await call.over
    assert call.status == 404


async def test_an_unregistered_extension_gets_480(product: Product, customers: Customers):
    call = customers.call("1006").call
    await call.over
    assert call.status == 480


async def test_a_call_without_a_common_codec_gets_488(product: Product):
    body = (
        "v=0\r\no=x 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=audio 40000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n"
    )
    with udp(product) as ask:
        request = ask.request("INVITE", "4000", "Content-Type: application/sdp\r\n")
        request = request.replace("Content-Length: 0\r\n\r\n", f"Content-Length: {len(body)}\r\n\r\n{body}")
        answer = await ask.final_answer(request)
        assert answer.startswith("SIP/2.0 488 ")


class Asker:
    """A socket that sends SIP written by hand and reads what comes back."""

    def __init__(self, product: Product, opened: socket.socket) -> None:
        self._socket, self._to = opened, ("127.0.0.1", product.sip_port)
        self.port = opened.getsockname()[1]

    def request(self, method: str, number: str, extra: str = "", hops: int = 70) -> str:
        branch = f"{random.getrandbits(48):x}"
        return REQUEST.format(
            method=method, number=number, port=self.port, branch=branch, extra=extra, hops=hops
        )

    async def send(self, data: str | bytes) -> None:
        packet = data if isinstance(data, bytes) else data.encode()
        await asyncio.get_running_loop().sock_sendto(self._socket, packet, self._to)

    async def answer(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 65536)).decode()

    async def final_answer(self, request: str) -> str:
        await self.send(request)
        while (answer := await self.answer()).startswith("SIP/2.0 1"):
            pass
        return answer

    async def silent(self, seconds: float = 1.0) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_recv(self._socket, 65536)
        except TimeoutError:
            return True
        return False


@contextmanager
def udp(product: Product) -> Iterator[Asker]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.setblocking(False)
        yield Asker(product, opened)


async def test_protocol_errors_are_answered_as_the_rfc_says(product: Product):
    with udp(product) as ask:
        cases = [
            (ask.request("OPTIONS", "ping"), "200"),
            (ask.request("OPTIONS", "ping", "Require: time-travel\r\n"), "420"),
            (ask.request("INVITE", "4000", hops=0), "483"),
            (ask.request("BYE", "4000"), "481"),
            (ask.request("FLY", "4000"), ("405", "501")),
            (ask.request("OPTIONS", "ping").replace("CSeq: 1 OPTIONS", "CSeq: 1 BYE"), "400"),
        ]
        for request, status in cases:
            answer = await ask.final_answer(request)
            assert answer.split()[1] in status, (request, answer)


async def test_storms_of_malformed_messages_do_not_disturb_a_call(
    product: Product, customers: Customers, tmp_path: Path
):
    async with seat(product, tmp_path, "agent4", "1004") as agent:
        await agent.ready()
        customer = customers.call("4001")
        phone = await agent.rung()
        await customer.until_hears(SOFTPHONE)
        dice = random.Random(7)
        with udp(product) as ask:
            whole = ask.request("INVITE", "nobody").encode()
            for number in range(3000):
                match number % 5:
                    case 0:
                        packet = dice.randbytes(dice.randrange(1, 1200))
                    case 1:
                        packet = whole[: dice.randrange(1, len(whole))]
                    case 2:
                        spot = dice.randrange(len(whole))
                        packet = whole[:spot] + dice.randbytes(4) + whole[spot:]
                    case 3:
                        packet = whole.replace(b"Content-Length: 0", b"Content-Length: -99999999999")
                    case _:
                        packet = b"INVITE " + b"A" * 5000 + b" SIP/2.0\r\n\r\n"
                await ask.send(packet)
                if number % 10 == 0:
                    await asyncio.sleep(0.002)  # our own telephones must keep their pace too
            assert customer.hears(SOFTPHONE, 1.0)
        await until(lambda: customer.hears(SOFTPHONE, 1.0) and phone.hears(CUSTOMER, 1.0))
        assert not customer.call.over.done()
        with udp(product) as ask:
            assert (await ask.final_answer(ask.request("OPTIONS", "ping"))).split()[1] == "200"
        await agent.client.request("ClearConnection")
        await customer.call.over
    assert not product.errors(), product.errors()


async def test_broken_streams_on_tcp_are_closed_and_others_served(product: Product):
    for rubbish in [b"\x00" * 200_000, b"INVITE " + b"A" * 200_000, b"Content-Length: 12\r\n\r\n" * 10]:
        reader, writer = await asyncio.open_connection("127.0.0.1", product.sip_port)
        writer.write(rubbish)
        try:
            async with asyncio.timeout(PATIENCE):
                while await reader.read(65536):
                    pass
        except ConnectionError:
            pass
        writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", product.sip_port)
    request = REQUEST.format(
        method="OPTIONS", number="ping", port=1, branch="fine", extra="", hops=70
    ).replace("SIP/2.0/UDP", "SIP/2.0/TCP")
    writer.write(request.encode())
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readline()).startswith(b"SIP/2.0 200")
    writer.close()


async def test_a_wrong_password_is_refused_and_then_its_source_banned(tmp_path: Path):
    with running(RAMAL_SIP_BAN_AFTER="3", RAMAL_SIP_BAN_SECONDS="3", RAMAL_MEDIA_WORKERS="1") as product:
        for attempt in range(3):
            phone = Softphone(product, "1005")
            assert await phone.register(tmp_path / str(attempt), password="not the password") != 0
        with udp(product) as ask:
            await ask.send(ask.request("OPTIONS", "ping"))
            assert await ask.silent()  # banned: not a word

            async def heard_again() -> bool:
                await ask.send(ask.request("OPTIONS", "ping"))
                return not await ask.silent(0.3)

            await until(heard_again)
        assert await Softphone(product, "1005").register(tmp_path / "right") == 0
