"""A reader serves what is published, takes newer data over without a failed read, and leaves the rest to the writer."""

import contextlib
import http.client
import json
import time

import pytest
from cell import ACME, AGE, COLLECTIONS, MOST, SNAPSHOT, STATUS, seconds_of, wait_until
from load import running

QUERY = {"query_embeddings": [[1.0] * 16], "n_results": 5, "include": ["distances"]}


@contextlib.contextmanager
def reading(cell, clients=3):
    """Clients that read through the reader all the time, and none fails; what they saw: when, age, snapshot."""
    seen = []

    def get(load, client, path):
        began = time.time()
        try:
            status, headers, _ = client.ask("POST", f"{path}/get", {"limit": 3, "include": ["embeddings"]})
            seen.append((began, time.time(), int(headers[AGE]), headers[SNAPSHOT]))
        except (OSError, http.client.HTTPException, TypeError) as broken:
            client.connection.close()
            status = repr(broken)
        load.seen["get"][status] += 1

    def read(load, number):
        # Past the query cache, but for one of them.
        client = cell.client(**({} if number == 2 else {"Cache-Control": "no-cache"}))
        while not load.ended.is_set():
            path = f"{COLLECTIONS}/{cell.collections[('small', 'large')[number % 2]]}"
            load.note("query", client, "POST", f"{path}/query", QUERY)
            load.note("count", client, "GET", f"{path}/count")
            get(load, client, path)

    with running(*[read] * clients) as load:
        load.until(20)
        yield seen
        load.until(20)
    assert {kind: set(told) for kind, told in load.seen.items()} == {key: {200} for key in ("query", "count", "get")}
    print(f"{load.total()} reads, the slowest {max(load.slowest.values()):.2f} s")


def test_units(cell):
    assert cell.reader.service("chromafleet-reader").is_enabled
    assert cell.reader.service("chromafleet-reader").is_running
    assert cell.reader.service("chromadb-probe.timer").is_running
    # What writes to the data, or makes copies of it, is the writer's.
    for name in ("chromadb.service", "chromadb-checkpoint.timer", "chromadb-sweep.timer", "chromafleet-snapshot.timer"):
        assert not cell.reader.file(f"/etc/systemd/system/{name}").exists


def test_data_is_what_was_published(cell):
    assert cell.client().ask("GET", "/ready")[0] == 200
    for collection in cell.collections.values():
        headers, found = cell.read(cell.reader, collection)
        assert headers[SNAPSHOT] == cell.latest()["id"]
        assert found == cell.read(cell.writer, collection)[1]
    assert len(found) == 0
    assert len(cell.read(cell.reader, cell.collections["large"])[1]) == 1500


def test_one_server_runs_and_is_probed(cell):
    (server,) = cell.servers()
    serving = cell.status()["serving"]
    assert server == f"chromadb-{serving['slot']}"
    cell.reader.check_output("systemctl start chromadb-probe.service")
    probed = json.loads(cell.reader.check_output("cat /run/chromafleet/probe.json"))
    assert (probed["failed"], probed["collections"]) == (False, 3)


def test_servers_are_confined_as_the_writers_is(cell):
    name = cell.servers()[0]
    form = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.Config.User}} {{.HostConfig.RestartPolicy.Name}}"
    assert cell.reader.check_output("docker inspect --format %s %s", form, name) == "true [ALL] 10001:10001 no"
    limit = int(cell.reader.check_output("docker inspect --format '{{.HostConfig.Memory}}' %s", name))
    assert limit < int(cell.reader.check_output("awk '/MemTotal/ {print $2}' /proc/meminfo")) * 1024 / 2


def test_refreshes_fail_no_read(cell):
    """Three, with changes in each; the age is that of the snapshot which the answer comes from."""
    began = cell.latest()
    times, durations = {began["id"]: seconds_of(began)}, []
    with reading(cell) as seen:
        for version in (2, 3, 4):
            cell.write(cell.collections["small"], {f"s{number}": version for number in range(0, 100, version)})
            cell.write(cell.collections["large"], {f"l{number}": version for number in range(300 * version)})
            record = cell.snapshot()
            times[record["id"]] = seconds_of(record)
            started = time.monotonic()
            cell.catch_up()
            durations.append(round(time.monotonic() - started, 1))
            assert len(cell.servers()) == 1
    assert {name for *_, name in seen} == set(times)
    # nginx counts whole seconds.
    assert [one for one in seen if not one[0] - 1.1 <= times[one[3]] + one[2] <= one[1]] == []
    assert cell.read(cell.reader, cell.collections["large"])[1] == cell.read(cell.writer, cell.collections["large"])[1]
    print(f"refreshes took {durations} s; steps {cell.status()['seconds']}")


def test_query_cache_has_one_version_for_each_snapshot(cell):
    """Nobody is answered from other data, and what the writer said is not kept."""
    client = cell.client()
    path = f"{COLLECTIONS}/{cell.collections['small']}/query"
    question = QUERY | {"query_embeddings": [[time.time()] * 16]}
    for _ in range(2):
        said, answers = [], []
        # Nobody waits for a Valkey that is late: then it is asked again.
        while len(said) < 2 or (said[-1] == "miss" and len(said) < 5):
            status, headers, text = client.ask("POST", path, question)
            assert (status, headers[SNAPSHOT]) == (200, cell.latest()["id"])
            said.append(headers["X-Cache"])
            answers.append(json.loads(text)["ids"])
        assert (said[0], said[-1]) == ("miss", "hit")
        assert answers == answers[:1] * len(answers)
        cell.again()
        cell.catch_up()
    young = cell.make(f"kept-by-nobody-{int(time.time())}")
    for _ in range(2):
        status, headers, _ = client.ask("POST", f"{COLLECTIONS}/{young}/query", question)
        assert (status, headers[AGE], headers["X-Cache"]) == (200, "0", "off")
    tool = cell.reader.check_output("basename $(command -v redis-cli || command -v valkey-cli)")
    keys = cell.reader.check_output(f"{tool} --no-auth-warning -a molecule-valkey-0123456789abcdef --scan")
    assert cell.collections["small"] in keys
    assert young not in keys


def test_what_is_younger_than_the_snapshot_comes_from_the_writer(cell):
    name = f"young-{int(time.time())}"
    young = cell.make(name)
    cell.write(young, {"y1": 1, "y2": 1})
    client = cell.client()
    for method, path, body in (
        ("GET", f"{COLLECTIONS}/{name}", None),
        ("GET", f"{COLLECTIONS}/{young}/count", None),
        ("POST", f"{COLLECTIONS}/{young}/query", QUERY),
        ("POST", f"{COLLECTIONS}/{young}/query", QUERY | {"where_document": {"$contains": "document"}}),
    ):
        status, headers, text = client.ask(method, path, body)
        assert (status, headers[AGE], headers[SNAPSHOT]) == (200, "0", None), text
    # Who is told what there is, is told what the snapshot has.
    status, headers, text = client.ask("GET", COLLECTIONS)
    assert headers[SNAPSHOT] == cell.latest()["id"]
    assert name not in {one["name"] for one in json.loads(text)}
    # What nobody has, nobody finds.
    status, headers, text = client.ask("GET", f"{COLLECTIONS}/never-made")
    assert (status, headers[AGE], json.loads(text)["error"]) == (404, "0", "NotFoundError")


def test_writes_through_the_reader(cell):
    client = cell.client()
    name = f"through-the-reader-{int(time.time())}"
    made = cell.make(name, host=cell.reader)
    cell.write(made, {"r1": 1}, host=cell.reader)
    assert client.json("GET", f"{COLLECTIONS}/{made}/count") == 1
    status, headers, _ = client.ask("DELETE", f"{COLLECTIONS}/{name}")
    assert (status, headers[AGE]) == (200, "0")
    small = cell.collections["small"]
    before = client.json("GET", f"{COLLECTIONS}/{small}/count")
    cell.write(small, {f"new{time.time()}": 1}, host=cell.reader)
    assert client.json("GET", f"{COLLECTIONS}/{small}/count") == before
    assert cell.client(**{MOST: "0"}).json("GET", f"{COLLECTIONS}/{small}/count") == before + 1


def test_a_client_limits_the_age(cell):
    path = f"{COLLECTIONS}/{cell.collections['small']}/count"
    age = int(cell.client().ask("GET", path)[1][AGE])
    status, headers, _ = cell.client(**{MOST: str(age + 100)}).ask("GET", path)
    assert (status, headers[SNAPSHOT]) == (200, cell.latest()["id"])
    wait_until(lambda: int(cell.client().ask("GET", path)[1][AGE]) > 0)
    for most in ("0", "0.5"):
        status, headers, _ = cell.client(**{MOST: most}).ask("GET", path)
        assert (status, headers[AGE], headers[SNAPSHOT]) == (200, "0", None)
    status, _, text = cell.client(**{MOST: "soon"}).ask("GET", path)
    assert status == 400
    assert MOST in json.loads(text)["message"]


def test_a_tenants_token_is_judged_by_both(cell):
    admin = cell.client(cell.writer)
    for path, name in (("/api/v2/tenants", "acme"), ("/api/v2/tenants/acme/databases", "shop")):
        admin.ask("POST", path, {"name": name})
    shop = "/api/v2/tenants/acme/databases/shop/collections"
    made = cell.make("orders", cell.reader, shop, ACME)
    acme = cell.client(token=ACME)
    assert acme.json("GET", f"{shop}/{made}/count") == 0
    # Of another tenant, whether the snapshot has it or the writer only.
    assert acme.ask("GET", f"{COLLECTIONS}/small")[0] == 403
    assert acme.ask("GET", f"{shop}/{cell.collections['small']}/count")[0] == 404
    assert cell.client(token="unknown").ask("GET", COLLECTIONS)[0] == 401


def test_without_the_writer_reads_go_on(cell):
    path = f"{COLLECTIONS}/{cell.collections['small']}"
    cell.writer.check_output("systemctl stop nginx")
    try:
        with reading(cell):
            client = cell.client()
            for method, where, body in (
                ("POST", COLLECTIONS, {"name": "none"}),
                ("POST", f"{path}/upsert", {"ids": ["x"], "embeddings": [[1.0] * 16]}),
                ("GET", f"{COLLECTIONS}/never-made", None),
            ):
                status, headers, text = client.ask(method, where, body)
                assert (status, headers["Retry-After"]) == (503, "5")
                assert json.loads(text)["error"] == "InternalError"
            assert client.ask("GET", "/ready")[0] == 200
    finally:
        cell.writer.check_output("systemctl start nginx")
    wait_until(lambda: cell.client(**{MOST: "0"}).ask("GET", f"{path}/count")[0] == 200)


def test_a_load_balancer_without_a_writer_is_told_in_json(cell):
    """It answers in HTML, and without Retry-After."""
    cell.writer.check_output("systemctl stop nginx")
    server = (
        "import http.server, ssl\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    protocol_version = 'HTTP/1.1'\n"
        "    def do_GET(self):\n"
        "        self.send_response(503)\n"
        "        self.send_header('Content-Type', 'text/html')\n"
        "        self.send_header('Content-Length', '9')\n"
        "        self.end_headers()\n"
        "        self.wfile.write(b'<b>no</b>')\n"
        "made = http.server.ThreadingHTTPServer(('', 443), Handler)\n"
        "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
        "context.load_cert_chain('/etc/nginx/tls/host.crt', '/etc/nginx/tls/host.key')\n"
        "made.socket = context.wrap_socket(made.socket, server_side=True)\n"
        "made.serve_forever()\n"
    )
    pid = cell.writer.check_output("setsid python3 -c %s >/dev/null 2>&1 & echo $!", server)
    try:
        cell.writer.check_output("timeout 20 sh -c 'until ss -ltn | grep -q :443; do sleep 0.1; done'")
        status, headers, text = cell.client(**{MOST: "0"}).ask("GET", COLLECTIONS)
        assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "5", "application/json")
        assert "writer" in json.loads(text)["message"]
    finally:
        cell.writer.check_output(f"kill {pid}")
        cell.writer.check_output("systemctl start nginx")


def test_questions_are_told_to_root_only(cell):
    ask = "curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:8081/recent"
    assert cell.reader.check_output(ask) == "403"
    cell.client().json("POST", f"{COLLECTIONS}/{cell.collections['small']}/query", QUERY | {"n_results": 7})
    found = json.loads(cell.reader.check_output("curl --silent --local-port 700-1000 http://127.0.0.1:8081/recent"))
    assert 1 <= len(found) <= 50
    assert {one["method"] for one in found} <= {"POST", "GET"}


def refused(cell, before, kind):
    """What is published must not serve: what served before goes on, and the metric tells."""

    def failed():
        # It tries again and again, and tells of one attempt.
        status = cell.status()
        return status if (status["state"], status.get("kind")) == ("failed", kind) else None

    found = wait_until(failed, 90, what=cell.status)
    assert cell.serving() == before["id"]
    wait_until(lambda: len(cell.servers()) == 1, what=cell.servers)
    assert metrics(cell)["ReaderRefreshFailed"] == 1
    return found["error"]


def metrics(cell):
    """In the agent's place, what is sent when the reader begins anew."""
    listen = (
        "import socket, subprocess\n"
        "agent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "agent.bind(('127.0.0.1', 8125))\n"
        "agent.settimeout(30)\n"
        "subprocess.run(['systemctl', 'restart', 'chromafleet-reader'], check=True)\n"
        "while 'ReaderRefresh' not in (said := agent.recv(4096).decode()):\n"
        "    pass\n"
        "print(said)\n"
    )
    lines = cell.reader.check_output("python3 -c %s", listen).splitlines()
    assert {tuple(sorted(line.split("|#")[1].split(","))) for line in lines} == {("Cell:main", "Fleet:molecule")}
    return {line.split(":")[0]: float(line.split(":")[1].split("|")[0]) for line in lines}


def test_age_is_a_metric(cell):
    told = metrics(cell)
    assert told["ReaderRefreshFailed"] == 0
    assert told["DataAgeSeconds"] == pytest.approx(time.time() - seconds_of(cell.latest()), abs=10)


def test_wrong_counts_are_refused(cell):
    collections = cell.latest()["collections"]
    wrong = [one | {"records": one["records"] + 1} if one["name"] == "large" else one for one in collections]
    before = cell.again(collections=wrong)
    with reading(cell, clients=1):
        said = refused(cell, before, "broken-copy")
    cell.publish(before)
    assert "collection large" in said
    cell.catch_up()


def test_flipped_bits_are_refused(cell):
    """In everything that the repository holds: what is fetched is not what was proved."""
    cell.write(cell.collections["large"], {f"l{number}": 9 for number in range(1200)})
    # What differs is fetched, and only that.
    cell.reader.check_output("systemctl stop chromafleet-reader")
    before = cell.latest()
    cell.snapshot()
    with cell.api.flipped(cell.bucket, "main/restic/data/"):
        cell.reader.check_output("rm -rf /var/cache/chromafleet/restic/*; systemctl start chromafleet-reader")
        failed = wait_until(
            lambda: cell.status() if cell.status().get("state") == "failed" else None, 90, what=cell.status
        )
        assert failed["step"] == "bring"
        assert cell.serving() == before["id"]
    cell.catch_up()


def test_s3_away(cell, request):
    """One failure is none; when it stays, it is told. What serves goes on."""
    record = cell.latest()
    cell.api.inject("s3", "GetObject", "AccessDenied", status=403, times=1000)
    request.addfinalizer(cell.api.heal)
    said = refused(cell, record, "access-denied")
    assert "provision.yml" in said
    cell.api.heal()
    wait_until(lambda: cell.status()["state"] == "done", what=cell.status)
    assert metrics(cell)["ReaderRefreshFailed"] == 0


@pytest.mark.parametrize("step", ["copy", "bring", "check", "start", "prove", "warm", "switch", "drain"])
def test_killed_in_a_step(cell, step):
    """kill -9 of everything that refreshes; the next run ends what it began, and no read fails."""
    kill = (
        "pid=$(systemctl show --property MainPID --value chromafleet-reader)\n"
        f'until read -r line < {STATUS} && [[ $line == *\'"step": "{step}"\'* ]]; do :; done\n'
        "kill -9 $pid"
    )
    restarts = "systemctl show --property NRestarts --value chromafleet-reader"
    # The step that the refresh before ended with is not this one's.
    cell.reader.check_output("""sed --in-place 's/"step": "[a-z]*"/"step": "none"/' %s""", STATUS)
    before = int(cell.reader.check_output(restarts))
    with reading(cell, clients=1):
        cell.reader.check_output("setsid timeout 120 bash -c %s >/dev/null 2>&1 &", kill)

        def killed():
            # Some steps are over before a busy machine has looked: then with another refresh.
            if cell.serving() == cell.latest()["id"]:
                cell.again()
            return int(cell.reader.check_output(restarts)) > before

        wait_until(killed, 120, what=cell.status)
        cell.catch_up()
    assert len(cell.servers()) == 1


def test_after_a_boot_it_serves_at_once(cell):
    """Without S3: what was proved last is on the disk."""
    before = cell.serving()
    slot = cell.status()["serving"]["slot"]
    stop = f"systemctl stop chromafleet-reader nginx chromadb@{slot}; rm -rf /run/chromafleet/serving.env"
    cell.reader.check_output(stop)
    assert cell.servers() == []
    cell.api.inject("s3", "GetObject", "SlowDown", status=503, times=1000)
    try:
        cell.reader.check_output("systemctl start nginx chromafleet-reader")
        wait_until(lambda: cell.client().ask("GET", "/ready")[0] == 200)
        assert cell.serving() == before
        assert cell.client().json("GET", f"{COLLECTIONS}/{cell.collections['small']}/count") > 0
    finally:
        cell.api.heal()
    cell.catch_up()


def test_a_killed_server_comes_back(cell):
    slot = cell.status()["serving"]["slot"]
    cell.reader.check_output(f"docker kill chromadb-{slot}")
    # Waits at nginx meanwhile; nobody has asked this, so that no cache knows it.
    asked = f"{COLLECTIONS}/{cell.collections['small']}/count?asked={time.time()}"
    assert cell.client().json("GET", asked) > 0
    assert cell.servers() == [f"chromadb-{slot}"]


def test_damaged_data_is_fetched_anew(cell):
    """What must not serve is given up, the writer answers, and the snapshot comes again."""
    known = cell.status()
    slot = known["serving"]["slot"]
    cell.reader.check_output(f"systemctl stop chromafleet-reader chromadb@{slot}")
    cell.reader.check_output(
        f"truncate --size 100 $(ls -S /var/lib/chromadb/slots/{slot}/data/*/data_level0.bin | head -n 1)"
    )
    cell.reader.check_output("systemctl start chromafleet-reader")
    wait_until(lambda: cell.status()["began"] > known["began"], what=cell.status)
    cell.catch_up()
    check = "/usr/bin/python3 /usr/local/lib/chromafleet/chromadb/check.py /var/lib/chromadb/slots/*/data"
    assert "is given up" in cell.reader.check_output("journalctl --unit chromafleet-reader --lines 40 --output cat")
    cell.reader.check_output(check.replace("*", cell.status()["serving"]["slot"]))
    assert len(cell.read(cell.reader, cell.collections["large"])[1]) == 1500


def test_nothing_published(cell):
    """A new cell: not ready, it says so, and the writer is asked; then it serves by itself."""
    record = cell.latest()
    slot = cell.status()["serving"]["slot"]
    cell.reader.check_output(f"systemctl stop chromafleet-reader chromadb@{slot}; rm /var/lib/chromafleet/serving.json")
    cell.s3.delete_object(Bucket=cell.bucket, Key="main/latest.json")
    cell.reader.check_output("systemctl start chromafleet-reader")
    wait_until(lambda: cell.status().get("state") == "waiting", what=cell.status)
    assert "playbooks/backup.yml" in cell.status()["error"]
    assert cell.reader.check_output("chromafleet-reader brief") == "waiting"
    status, _, text = cell.client().ask("GET", "/ready")
    assert (status, json.loads(text)["status"]) == (503, "not ready")
    status, headers, _ = cell.client().ask("GET", f"{COLLECTIONS}/{cell.collections['small']}/count")
    assert (status, headers[AGE], headers[SNAPSHOT]) == (200, "0", None)
    cell.publish(record)
    cell.catch_up()
