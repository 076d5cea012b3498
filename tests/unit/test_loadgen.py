"""The load generator of the benchmarks: its arithmetic, and the program against servers that misbehave."""

import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from loadgen import RESULT, Load, Outcome, Target, back_to_back, build, periodic, poisson, write_bodies, zipf


def outcome(*rows, seconds=10):
    """Of (due, latency, status, retry_after)."""
    results = np.array([(due, latency, 0, status, wait, False) for due, latency, status, wait in rows], RESULT)
    return Outcome(results, seconds, processor=0, reconnects=0)


def test_percentiles_are_those_of_the_requests():
    hundred = outcome(*((0, milliseconds / 1000, 200, False) for milliseconds in range(1, 101)))
    assert [hundred.percentile(share) for share in (50, 95, 99, 100)] == [0.05, 0.095, 0.099, 0.1]


def test_what_has_no_answer_is_infinitely_slow():
    some = outcome(*[(0, 0.01, 200, False)] * 97, (0, 0.001, 503, True), (0, 0.001, 500, False), (0, 0.001, -1, False))
    assert some.percentile(97) == 0.01
    assert some.percentile(98) == float("inf")


def test_only_those_who_are_told_when_to_come_again_are_no_errors():
    some = outcome((0, 1, 503, True), (0, 1, 429, True), (0, 1, 503, False), (0, 1, 500, True), (0, 1, -2, False))
    assert some.told_to_wait == 2
    assert some.errors == 3
    assert some.failures == {"no answer in time": 1, "429": 1, "500": 1, "503": 2}


def test_an_answer_that_comes_after_the_end_is_not_in_the_rate():
    assert outcome((0, 1, 200, False), (9, 0.5, 201, False), (9, 2, 200, False), (9, 0.5, 500, False)).rate == 0.2


def test_several_runs_are_told_as_one():
    both = Outcome.of_all([outcome((0, 1, 200, False)), outcome((0, 3, 200, False))])
    assert both.percentile(100) == 3
    assert both.rate == 0.1


def test_requests_come_independently_at_the_rate_that_was_asked_for():
    times = poisson(200, 50, range(13000), seed=1)["at"]
    gaps = np.diff(times)
    assert len(times) == pytest.approx(200 * 50, rel=0.05)
    assert times[-1] < 50
    assert gaps.min() >= 0
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_each_client_asks_once_in_a_period():
    times = periodic(100, 10, 30, range(300), seed=1)["at"]
    assert len(times) == 300
    assert np.all(np.diff(times) >= 0)
    assert np.allclose(times[:100] + 10, times[100:200])


def test_a_schedule_has_no_more_requests_than_bodies():
    with pytest.raises(ValueError, match="only 3 bodies"):
        poisson(100, 1, range(3), seed=1)


def test_repeating_bodies_follow_zipf():
    counts = np.bincount(zipf(1000, 200_000, seed=1), minlength=1000)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.1)
    assert counts.sum() == 200_000


class Server(BaseHTTPRequestHandler):
    """Does what the body says."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, float]]

    def do_POST(self):
        wish = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append((wish, time.monotonic()))
        if wish == "hang up":
            self.close_connection = True
        elif wish == "say nothing":
            time.sleep(2)
        elif wish == "slow":
            time.sleep(0.1)
            self.answer(200)
        elif wish == "chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in (b"5\r\nhello\r\n", b"0\r\n\r\n"):
                self.wfile.write(chunk)
                time.sleep(0.05)
        elif wish == "later":
            first = sum(asked == "later" for asked, _ in self.server.asked) == 1
            self.answer(503 if first else 200, {"Retry-After": "1"} if first else {})
        elif wish == "last":
            self.answer(200, {"Connection": "close"})
        elif wish == "large":
            self.answer(200, {"X-Cache": "hit"}, b"x" * 200_000)
        else:
            self.answer(int(wish))

    def answer(self, status, headers=None, body=b"{}"):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build(tmp_path_factory.mktemp("loadgen") / "loadgen")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    files = ["-keyout", folder / "key", "-out", folder / "certificate"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", *files], check=True
    )
    return folder


@pytest.fixture(params=[False, True], ids=["http", "tls"])
def server(request, certificate):
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    httpd.asked = []
    if request.param:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "certificate", certificate / "key")
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    httpd.target = Target(httpd.server_port, tls=request.param)
    yield httpd
    httpd.shutdown()


@pytest.fixture
def send(server, program, tmp_path):
    def send(wishes, schedule=None, **options):
        write_bodies(tmp_path / "bodies", [wish.encode() for wish in wishes])
        load = Load(tmp_path, (str(program),), str(tmp_path))
        schedule = back_to_back(range(len(wishes))) if schedule is None else schedule
        return load.run(server.target, "/any", "bodies", schedule, **{"connections": 1, **options})

    return send


def test_every_answer_is_counted_by_its_status(send):
    done = send(["200", "201", "503", "500", "chunks", "large", "last", "200"], mark="X-Cache: hit")
    assert done.results["status"].tolist() == [200, 201, 503, 500, 200, 200, 200, 200]
    assert done.failures == {"500": 1, "503": 1}
    assert done.errors == 2
    assert done.results["marked"].tolist() == [False] * 5 + [True, False, False]
    assert done.reconnects == 1


def test_lost_and_silent_connections_are_errors_and_the_next_request_is_sent(send):
    schedule = back_to_back(range(3))
    schedule["at"] = [0, 0, 1]
    done = send(["hang up", "say nothing", "200"], schedule, timeout=0.5)
    assert done.failures == {"connection lost": 1, "no answer in time": 1}
    assert done.results["status"].tolist() == [-1, -2, 200]


def test_a_request_that_no_connection_was_free_for_in_time_is_not_sent(server, send):
    assert send(["say nothing", "200"], timeout=0.5).failures == {"no answer in time": 2}
    assert [wish for wish, _ in server.asked] == ["say nothing"]


def test_latency_counts_from_the_moment_a_request_was_due(send):
    """Five at once over one connection: each waits for those before it."""
    latencies = send(["slow"] * 5).results["latency"]
    assert np.all(latencies >= [0.1, 0.2, 0.3, 0.4, 0.5])


def test_requests_are_not_sent_before_they_are_due(server, send):
    schedule = back_to_back(range(3))
    schedule["at"] = [0, 0.3, 0.6]
    assert send(["200"] * 3, schedule).results["due"].tolist() == pytest.approx([0, 0.3, 0.6])
    assert server.asked[2][1] - server.asked[0][1] > 0.3


def test_all_connections_are_in_use(server, send):
    seen = set()
    original = server.finish_request
    server.finish_request = lambda request, address: (seen.add(address), original(request, address))
    assert send(["200"] * 40, connections=8).failures == {}
    assert len(seen) == 8


def test_a_client_that_is_told_to_wait_asks_the_same_again_then(server, send):
    done = send(["later", *["slow"] * 100], closed=1.5)
    assert done.told_to_wait == 1
    assert done.errors == 0
    assert [wish for wish, _ in server.asked][:2] == ["later", "later"]
    assert server.asked[1][1] - server.asked[0][1] >= 1


def test_a_closed_loop_ends_with_its_time(send):
    done = send(["slow"] * 100, connections=2, closed=1)
    assert 2 <= len(done.results) <= 20
    assert done.results["due"].max() < 1
    assert done.seconds == 1


def test_a_closed_loop_that_runs_out_of_requests_says_so(send, capfd):
    with pytest.raises(subprocess.CalledProcessError):
        send(["200"] * 3, closed=1)
    assert "the schedule has 3 requests, too few for 1 seconds" in capfd.readouterr().err


def test_a_server_that_is_not_there_is_named(program, tmp_path, capfd):
    write_bodies(tmp_path / "bodies", [b"200"])
    with pytest.raises(subprocess.CalledProcessError):
        Load(tmp_path, (str(program),), str(tmp_path)).run(
            Target(1), "/any", "bodies", back_to_back([0]), connections=1
        )
    assert "port 1: Connection refused" in capfd.readouterr().err


def test_program_is_built_once(program):
    before = Path(program).stat().st_mtime_ns
    assert Path(build(program)).stat().st_mtime_ns == before
