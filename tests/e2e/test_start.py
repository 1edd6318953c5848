"""Starting, stopping and being killed: `make run` as a new user tries it."""

import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.e2e.product import PASSWORD, RAMAL, ROOT, Product, folder, running


def test_it_prints_where_it_serves_and_as_whom_to_log_in(product: Product):
    said = product.said()
    assert product.url in said and "agent1" in said and "supervisor" in said and PASSWORD in said


def test_healthz_says_it_serves_and_other_pages_need_a_login(product: Product):
    assert urllib.request.urlopen(product.url + "/healthz").status == 200
    for path in ("/", "/desk", "/wallboard", "/tabulations", "/metrics"):
        try:
            answer = urllib.request.urlopen(product.url + path)
        except urllib.error.HTTPError as refused:
            assert refused.code in {401, 403, 404}, path
        else:
            assert "/login" in answer.url, path


def survivors(children: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(children, timeout=10)
    return [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


def test_it_starts_again_in_seconds_after_a_stop_and_after_a_kill_and_keeps_its_data():
    with running(RAMAL_MEDIA_WORKERS="1") as product:
        marker = product.data / "demo.json"
        made = marker.read_bytes() if marker.exists() else b""

        children = product.children()
        assert product.stop() == 0
        assert not product.errors(), product.errors()
        assert survivors(children) == []
        product.start_again()

        children = product.children()
        product.kill()
        assert survivors(children) == []
        product.start_again()
        assert (marker.read_bytes() if marker.exists() else b"") == made
        assert PASSWORD in product.said()


def test_a_second_instance_on_the_same_data_is_refused_in_one_line(product: Product):
    second = Product(product.folder)
    second.log = product.folder / "second.log"
    second.start(wait=False)
    assert second.process is not None
    assert second.process.wait(60) != 0
    said = second.said().strip()
    assert "Traceback" not in said and "already" in said, said
    assert product.serves()


def test_a_taken_port_stops_the_start_in_one_line():
    with folder() as own, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [RAMAL, "demo"],
            cwd=ROOT,
            env={**Product(own).environment, "RAMAL_HTTP_PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=120,
            start_new_session=True,
        )
    assert done.returncode != 0
    assert str(port) in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("RAMAL_HTTP_PORT", "eighty", "port"),
        ("RAMAL_HTTP_PORT", "70000", "65535"),
        ("RAMAL_MEDIA_PORTS", "20000", "low-high"),
        ("RAMAL_LANGUAGE", "tlh", "pt_BR"),
        ("RAMAL_SIP_BAN_AFTER", "0", "from 1 to"),
        ("RAMAL_HTTP_PROT", "8080", "RAMAL_HTTP_PROT"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name_its_value_and_what_is_allowed(
    name: str, value: str, allowed: str, tmp_path: Path
):
    environment = {key: text for key, text in os.environ.items() if not key.startswith("RAMAL_")}
    done = subprocess.run(
        [RAMAL, "demo"],
        cwd=ROOT,
        env={**environment, "RAMAL_DATA": str(tmp_path), name: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert name.removeprefix("RAMAL_").lower() in lines[0].lower()
    assert value in lines[0] and allowed in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_during_the_start_leaves_nothing_running():
    with running(RAMAL_MEDIA_WORKERS="1") as product:
        product.stop()
        product.start(wait=False)
        assert product.process is not None
        while not product.children() and product.process.poll() is None:
            pass
        children = product.children()
        os.killpg(product.process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        product.process.wait(30)
        assert survivors(children) == []
        product.start_again()
