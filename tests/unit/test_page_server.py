"""The page over a socket, and the process beside a sweep."""

import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection

import pytest
from kept_outputs_factory import make_run

from mtray import side_process
from mtray.cli import main
from mtray.page_process import page_beside
from mtray.serving.command import started


@pytest.fixture
def served(tmp_path):
    server, address = started([make_run(tmp_path)], 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server, address
    server.shutdown()
    server.server_close()


def test_from_the_address_to_the_data(served):
    server, address = served
    assert re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/\?token=[\w-]{{43}}", address)
    assert server.server_address[0] == "127.0.0.1"
    with urllib.request.urlopen(address) as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    connection = HTTPConnection("127.0.0.1", server.port)
    for target, kind in {
        "/": "text/html",
        "/page/main.js": "text/javascript",
        "/page/page.css": "text/css",
        "/api/0/state": "application/json",
    }.items():
        connection.request("GET", target, headers={"Cookie": cookie})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.headers["Content-Type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert len(answer.read()) == int(answer.headers["Content-Length"]) > 0
    connection.request("POST", "/api/0/state", body=b"x" * 10, headers={"Cookie": cookie})
    assert connection.getresponse().status == 405
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address)


def test_a_client_that_sends_rubbish_or_leaves_ends_nothing(served, capfd):
    server, _ = served
    long = b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"
    rubbish = (b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe / HTTP/1.1\r\n\r\n", b"GET / HTT")
    for content in (*rubbish, long):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(content)
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/")
    assert connection.getresponse().status == 401
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("port", ["-1", "65536", "x", "1.5"])
def test_a_port_that_is_none(tmp_path, capsys, port):
    with pytest.raises(SystemExit):
        main(["serve", str(tmp_path), "--port", port])
    assert f"expected a port from 0 to 65535, found '{port}'" in capsys.readouterr().err


def test_a_port_in_use(served, tmp_path, capsys):
    server, _ = served
    assert main(["serve", str(tmp_path / "runs" / "mine"), "--port", str(server.port)]) == 2
    assert f"--port {server.port}: cannot be listened on" in capsys.readouterr().err


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["serve", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_the_page_beside_a_sweep_begins_and_ends_with_it(tmp_path):
    said, seen = [], threading.Event()
    with page_beside(tmp_path / "not-there-yet", 0, lambda text: (said.append(text), seen.set())):
        assert seen.wait(60)
        address = re.search(r"http://\S+", said[0])[0]
        with urllib.request.urlopen(address) as answer:
            assert answer.status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)
    assert len(said) == 1


def test_it_ends_when_the_sweep_is_killed(tmp_path):
    command = [sys.executable, "-m", "mtray", "serve", str(tmp_path), "--beside-sweep"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert "token=" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    "program, said",
    [("raise SystemExit('no room')", "no room"), ("import os; os._exit(3)", None)],
)
def test_a_page_that_does_not_start_ends_nothing(tmp_path, monkeypatch, program, said):
    real, heard = subprocess.Popen, []

    def popen(command, **options):
        return real([sys.executable, "-c", program], **options)

    monkeypatch.setattr(side_process.subprocess, "Popen", popen)
    with page_beside(tmp_path, 0, heard.append):
        end = time.monotonic() + 20
        while said and not heard and time.monotonic() < end:
            time.sleep(0.01)
    assert heard == ([said] if said else [])


def test_no_python_no_page(tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(side_process.sys, "executable", str(tmp_path / "none"))
    with page_beside(tmp_path, 0, heard.append):
        pass
    assert len(heard) == 1 and heard[0].startswith("page: not started: ")
