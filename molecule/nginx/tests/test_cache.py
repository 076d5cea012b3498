"""The query cache: what is answered from it, what isn't, and that it is never older than an acknowledged write."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from race import COLLECTIONS, TOKENS, Race, connect, new_collection
from test_limits import READER, STATUS, flood

ACME = "molecule-acme-read-0123456789abcdef"
ADMIN = "molecule-admin-0123456789abcdef"
FRESH = "molecule-fresh-0123456789abcdef0"
PASSWORD = "molecule-valkey-0123456789abcdef"
NEXT_PASSWORD = "molecule-valkey-next-0123456789a"
SETTINGS = "/etc/nginx/chromafleet/cache.json"
LUA = "/etc/nginx/chromafleet/lua/chromafleet"
MAX_ENTRY_SIZE = 65536
BODY_IN_MEMORY = 131072
QUERY = {"query_embeddings": [[1, 2]], "n_results": 1}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def url(host):
    return f"https://{host.interface('eth0').addresses[0]}"


@pytest.fixture(scope="module")
def client(url):
    with connect(url, TOKENS[0]) as made:
        yield made


@pytest.fixture
def collection(client, cache_in_use):
    path = new_collection(client)
    record = {"ids": ["a"], "embeddings": [[1, 2]], "documents": ["first"], "metadatas": [{"n": 1}]}
    assert client.post(f"{path}/add", json=record).status_code == 201
    return path


class Valkey:
    """The cell's, on the host."""

    def __init__(self, host):
        self.host = host
        self.password = PASSWORD
        self.program = host.check_output("command -v valkey-cli || command -v redis-cli")

    def say(self, *words):
        server = "--tls --cacert /srv/valkey/ca.pem -h cache.molecule.test -p 6390"
        command = f"{self.program} {server} --no-auth-warning --raw -a %s" + " %s" * len(words)
        return self.host.check_output(command, self.password, *words)

    def signal(self, name):
        self.host.check_output(f"systemctl kill --signal={name} molecule-valkey")

    def kill(self):
        self.signal("KILL")
        self.host.check_output("timeout 20 sh -c 'while systemctl is-active molecule-valkey; do sleep 0.05; done'")

    def start(self):
        self.host.check_output("systemctl reset-failed molecule-valkey; systemctl start molecule-valkey")
        self.host.check_output(
            "timeout 20 bash -c 'until echo > /dev/tcp/127.0.0.1/6390; do sleep 0.05; done' 2>/dev/null"
        )


@pytest.fixture
def valkey(host):
    """As it was before, whatever a test did to it."""
    made = Valkey(host)
    yield made
    made.signal("CONT")
    made.kill()
    host.check_output(
        "cd /srv/valkey && ln --force --symbolic cache.pem served.pem && ln --force --symbolic cache.key served.key"
    )
    host.check_output("rm --force /srv/valkey/dump.rdb")
    made.start()


def eventually(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_used(client, path):
    """The last of three equal questions comes from the cache; the second doesn't yet where nothing was asked twice."""
    question = {"include": [], "ids": [uuid.uuid4().hex]}
    for _ in range(2):
        client.post(f"{path}/get", json=question)
    return client.post(f"{path}/get", json=question).headers["X-Cache"] == "hit"


@pytest.fixture
def probed(client, chroma):
    return new_collection(client)


@pytest.fixture
def cache_in_use(client, chroma, probed):
    """The node does not leave Valkey alone any more that an earlier test had taken away."""
    eventually(lambda: is_used(client, probed))


def log_of(host, mark):
    lines = host.check_output("grep --fixed-strings %s /var/log/nginx/access.log", mark)
    return [json.loads(line) for line in lines.splitlines()]


def told(answer):
    return answer.status_code, answer.headers.get("X-Cache"), answer.json()


def until_kept(ask):
    """What the cache says first, and when it has the answer: nobody waits for a Valkey that is late."""
    said = [ask().headers["X-Cache"] for _ in range(2)]
    while said[-1] == "miss" and len(said) < 5:
        said.append(ask().headers["X-Cache"])
    return said[0], said[-1]


# --- What is answered from it --------------------------------------------------------------------------------------


def test_nothing_of_before_is_served_of_other_data(host, client, collection):
    """As after a restore: what is there stays in Valkey, and counts no more, on no node of the cell."""
    question = {"ids": ["a"], "include": ["documents"]}
    eventually(lambda: client.post(f"{collection}/get", json=question).headers["X-Cache"] == "hit")
    host.check_output("curl --silent --fail --request DELETE http://127.0.0.1:8081/cache")
    assert client.post(f"{collection}/get", json=question).headers["X-Cache"] == "miss"
    eventually(lambda: client.post(f"{collection}/get", json=question).headers["X-Cache"] == "hit")
    assert host.run("curl --silent --fail --request PUT http://127.0.0.1:8081/cache").rc != 0


@pytest.mark.parametrize(
    ("method", "operation", "body"),
    [("GET", "count", None), ("POST", "get", {"ids": ["a"]}), ("POST", "query", QUERY)],
    ids=["count", "get", "query"],
)
def test_the_second_of_two_equal_reads_comes_from_the_cache(host, client, collection, method, operation, body):
    mark = uuid.uuid4().hex
    first, second = (client.request(method, f"{collection}/{operation}?{mark}", json=body) for _ in range(2))
    assert told(first)[:2] == (200, "miss")
    assert told(second) == (200, "hit", first.json())
    assert second.headers["Content-Type"] == first.headers["Content-Type"]
    assert [(line["cache"], line["upstream_status"]) for line in log_of(host, mark)] == [("miss", "200"), ("hit", "")]


def test_where_nothing_is_asked_twice_it_is_looked_for_only_what_was_asked_lately(client, collection):
    def status(question):
        return client.post(f"{collection}/get", json={"include": [], "ids": [question]}).headers["X-Cache"]

    # One connection, so one worker: each counts for itself.
    assert [status(f"different-{n}") for n in range(1001)] == 1000 * ["miss"] + ["skipped"]
    assert [status("again") for _ in range(3)] == ["skipped", "miss", "hit"]
    assert [status("another") for _ in range(2)] == ["miss", "hit"]


def test_other_reads_of_the_api_are_not_cached(client, collection):
    for path in ("/api/v2/heartbeat", COLLECTIONS, f"{collection}/indexing_status"):
        assert "X-Cache" not in client.get(path).headers


WRITES = {
    "add": ("POST", "/add", {"ids": ["b"], "embeddings": [[1, 3]]}),
    "upsert": ("POST", "/upsert", {"ids": ["a"], "embeddings": [[1, 3]]}),
    "update": ("POST", "/update", {"ids": ["a"], "embeddings": [[1, 3]]}),
    "delete": ("POST", "/delete", {"ids": ["a"]}),
    "metadata": ("PUT", "", {"new_metadata": {"seen": 1}}),
    "one that is refused": ("POST", "/add", {"ids": ["b"], "embeddings": [[1, 2, 3]]}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_write_replaces_what_was_known(host, client, collection, write):
    assert until_kept(lambda: client.get(f"{collection}/count")) == ("miss", "hit")
    method, path, body = write
    mark = uuid.uuid4().hex
    answer = client.request(method, f"{collection}{path}?{mark}", json=body)
    assert told(client.get(f"{collection}/count"))[1] == "miss"
    (line,) = log_of(host, mark)
    assert int(line["upstream_status"]) == line["status"] == answer.status_code
    assert float(line["upstream_time"]) <= line["request_time"] + 0.01


def test_a_write_in_pieces_of_unknown_length(client, collection):
    answer = client.post(f"{collection}/add", content=iter([b'{"ids":["b"],', b'"embeddings":[[2,2]]}']))
    assert answer.status_code == 201
    assert client.get(f"{collection}/count").json() == 2


def test_a_write_that_was_written_to_the_disk_first(client, collection):
    record = {"ids": ["b"], "embeddings": [[1, 2]], "documents": ["x" * (2 * BODY_IN_MEMORY)]}
    assert client.post(f"{collection}/add", json=record).status_code == 201
    assert client.post(f"{collection}/get", json={"ids": ["b"]}).json()["documents"] == record["documents"]


def test_a_write_that_chroma_does_not_answer(client, collection, chroma):
    chroma("stop --time 2")
    answer = client.post(f"{collection}/add", json={"ids": ["b"], "embeddings": [[1, 3]]})
    assert (answer.status_code, answer.json()["error"]) == (503, "InternalError")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_deleted_collection_answers_nothing(client, collection):
    assert until_kept(lambda: client.get(f"{collection}/count")) == ("miss", "hit")
    name = client.get(f"{COLLECTIONS}/by-id/{collection.rpartition('/')[2]}").json()["name"]
    assert client.delete(f"{COLLECTIONS}/{name}").status_code == 200
    assert client.get(f"{collection}/count").status_code == 404


def test_a_deleted_database_answers_nothing_and_the_others_go_on(client, collection):
    name = f"d{uuid.uuid4().hex}"
    databases = "/api/v2/tenants/default_tenant/databases"
    assert client.post(databases, json={"name": name}, headers=bearer(ADMIN)).status_code == 200
    made = client.post(f"{databases}/{name}/collections", json={"name": "gone"}).json()["id"]
    gone = f"{databases}/{name}/collections/{made}/count"
    for path in (gone, f"{collection}/count"):
        assert until_kept(lambda path=path: client.get(path)) == ("miss", "hit")
    assert client.delete(f"{databases}/{name}", headers=bearer(ADMIN)).status_code == 200
    assert client.get(gone).status_code == 404
    assert told(client.get(f"{collection}/count"))[1] == "hit"


def test_getting_or_creating_a_collection_costs_nobody_the_cache(client, collection):
    assert until_kept(lambda: client.get(f"{collection}/count")) == ("miss", "hit")
    assert client.post(COLLECTIONS, json={"name": "any", "get_or_create": True}).status_code == 200
    assert told(client.get(f"{collection}/count"))[1] == "hit"


def test_another_question_gets_another_answer(client, collection):
    """Also one that differs in the query or in a header only, and also those that nginx writes to the disk."""
    assert client.post(f"{collection}/add", json={"ids": ["b"], "embeddings": [[9, 9]]}).status_code == 201
    near = [client.post(f"{collection}/query", json={**QUERY, "query_embeddings": [at]}) for at in ([1, 2], [9, 9])]
    assert [answer.json()["ids"] for answer in near] == [[["a"]], [["b"]]]
    assert [answer.headers["X-Cache"] for answer in near] == ["miss", "miss"]
    assert client.post(f"{collection}/query?limit=1", json=QUERY).headers["X-Cache"] == "miss"
    assert client.post(f"{collection}/get", json=QUERY).headers["X-Cache"] == "miss"
    wrong = {"Content-Type": "text/plain"}
    assert client.post(f"{collection}/query", json=QUERY, headers=wrong).headers["X-Cache"] == "miss"
    padding = " " * (2 * BODY_IN_MEMORY)
    for wanted in "abab":
        answer = client.post(f"{collection}/get", content=json.dumps({"ids": [wanted]}) + padding)
        assert (answer.headers["X-Cache"], answer.json()["ids"]) == ("bypass", [wanted])


def test_a_large_answer_is_not_kept(client, collection):
    sizes = {"fits": MAX_ENTRY_SIZE // 2, "large": 2 * MAX_ENTRY_SIZE}
    record = {"ids": list(sizes), "embeddings": [[0, 0]] * 2, "documents": ["x" * size for size in sizes.values()]}
    assert client.post(f"{collection}/add", json=record).status_code == 201
    for name, last in (("fits", "hit"), ("large", "miss")):
        asks = []

        def ask(name=name, asks=asks):
            asks.append(client.post(f"{collection}/get", json={"ids": [name]}))
            return asks[-1]

        assert until_kept(ask) == ("miss", last)
        assert all(len(answer.json()["documents"][0]) == sizes[name] for answer in asks)


@pytest.mark.parametrize(
    "headers", [{"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=0, No-Store"}, bearer(FRESH)], ids=str
)
def test_opting_out(client, collection, headers):
    for _ in range(2):
        assert told(client.get(f"{collection}/count", headers=headers)) == (200, "off", 1)
    # Nothing was kept of it either.
    assert told(client.get(f"{collection}/count"))[1] == "miss"


def test_authorization_comes_first(client, collection):
    assert until_kept(lambda: client.get(f"{collection}/count")) == ("miss", "hit")
    assert client.get(f"{collection}/count", headers=bearer(ACME)).status_code == 403
    assert client.get(f"{collection}/count", headers=bearer("wrong")).status_code == 401
    foreign = collection.replace("default_tenant", "acme")
    assert client.get(f"{foreign}/count", headers=bearer(ACME)).status_code == 404
    # Who is for all tenants may ask under any path, as Chroma itself lets him, but not the cache.
    for _ in range(2):
        assert told(client.get(f"{foreign}/count", headers=bearer(ADMIN))) == (200, "bypass", 1)


def test_hits_count_against_the_limit_of_a_token(host, collection):
    told = Counter(line.strip() for line in flood(host, f"{collection}/count#[1-4000]", READER, STATUS))
    assert set(told) == {"200", "429 1"}


def test_a_hit_needs_no_chroma(client, collection, chroma):
    assert until_kept(lambda: client.get(f"{collection}/count")) == ("miss", "hit")
    chroma("pause")
    try:
        assert told(client.get(f"{collection}/count")) == (200, "hit", 1)
    finally:
        chroma("unpause")


# --- One for many --------------------------------------------------------------------------------------------------


def ask_while_chroma_stands_still(host, url, chroma, collection, number, meanwhile=lambda ask: None):
    """Equal questions, of which none can be answered before all of them are there; their lines in the access log."""
    mark = uuid.uuid4().hex
    question = f"{collection}/count?{mark}"

    def ask(client):
        return told(client.get(question))

    clients = [connect(url, TOKENS[i % len(TOKENS)]) for i in range(number)]
    with ThreadPoolExecutor(number) as pool:
        for client in clients:
            client.get("/health")
        chroma("pause")
        try:
            meanwhile(question)
            answers = [pool.submit(ask, client) for client in clients]
            # All of them have been read: Chroma can't be the reason for which none has an answer.
            eventually(lambda: all(future.running() for future in answers))
            time.sleep(0.5)
        finally:
            chroma("unpause")
        answers = [future.result() for future in answers]
    for client in clients:
        client.close()
    return answers, log_of(host, mark)


def test_equal_questions_at_the_same_time_reach_chroma_once(host, url, collection, client, chroma):
    client.get(f"{collection}/count")
    answers, lines = ask_while_chroma_stands_still(host, url, chroma, collection, 40)
    assert {(status, count) for status, _, count in answers} == {(200, 1)}
    assert sum(line["upstream_status"] != "" for line in lines) == 1
    assert sorted({cache for _, cache, _ in answers}) in (["miss", "shared"], ["hit", "miss", "shared"])


def test_a_leader_that_leaves_takes_nobody_along(host, url, collection, client, chroma):
    client.get(f"{collection}/count")

    def leave(question):
        with connect(url, TOKENS[0]) as impatient, pytest.raises(httpx.ReadTimeout):
            impatient.get(question, timeout=0.5)

    def joined(question):
        thread = threading.Thread(target=leave, args=(question,))
        thread.start()
        # It leads by now, and leaves while the others wait for it.
        time.sleep(0.2)

    answers, _ = ask_while_chroma_stands_still(host, url, chroma, collection, 20, meanwhile=joined)
    assert {(status, count) for status, _, count in answers} == {(200, 1)}


# --- Never older than an acknowledged write ------------------------------------------------------------------------


def test_no_read_is_older_than_an_acknowledged_write(url, cache_in_use):
    outcome = Race(url).run(5)
    print(outcome)
    assert outcome.stale == []
    assert outcome.failed == []
    assert outcome.writes > 20
    assert outcome.caches["hit"] > 50


@pytest.fixture
def broken(host):
    """A second nginx, whose Lua code replaces the generation before Chroma has answered rather than after."""
    code = host.file(f"{LUA}/cache.lua").content_string
    ask = re.search(r"    local said = passage\.write\(\)\n", code).group()
    replace = re.search(r"    local done = valkey\.use\((?:.*\n)+?    end\)\n", code).group()
    code = code.replace(replace, "").replace(ask, replace + ask)
    host.check_output("mkdir -p /srv/broken && cp --recursive /etc/nginx/chromafleet/. /srv/broken")
    encoded = base64.b64encode(code.encode()).decode()
    host.check_output(f"echo {encoded} | base64 --decode > /srv/broken/lua/chromafleet/cache.lua")
    host.check_output('sed --in-place \'s/"molecule"/"broken"/\' /srv/broken/cache.json')
    others = {
        "/etc/nginx/chromafleet": "/srv/broken",
        ":8081": ":8082",
        "443 ssl": "4443 ssl",
        "/run/nginx.pid": "/run/broken.pid",
    }
    edits = "; ".join(f"s|{ours}|{theirs}|" for ours, theirs in others.items())
    host.check_output(f"sed '{edits}' /etc/nginx/nginx.conf > /srv/broken/nginx.conf")
    host.check_output("nginx -c /srv/broken/nginx.conf")
    yield 4443
    host.check_output("nginx -c /srv/broken/nginx.conf -s quit")


def test_the_race_finds_a_protocol_that_is_wrong(url, broken, cache_in_use):
    race = Race(f"{url}:{broken}")
    with race.running():
        eventually(lambda: race.outcome.stale or race.outcome.failed)
    print(race.outcome)
    assert race.outcome.failed == []


def test_an_older_valkey_revives_nothing(client, collection, valkey):
    """It comes back with what it had on its disk: an entry, and the generation that made it valid."""
    valkey.say("SAVE")
    for _ in range(2):
        assert client.get(f"{collection}/count").json() == 1
    valkey.say("SAVE")
    assert client.post(f"{collection}/add", json={"ids": ["b"], "embeddings": [[1, 3]]}).status_code == 201
    valkey.kill()
    valkey.start()
    assert int(valkey.say("DBSIZE")) > 0
    for _ in range(20):
        assert client.get(f"{collection}/count").json() == 2


def test_a_write_of_which_valkey_learnt_nothing(client, collection, valkey):
    """Its entry would be valid when Valkey comes back, had the node not noted what it owes."""
    assert until_kept(lambda: client.get(f"{collection}/count")) == ("miss", "hit")
    valkey.signal("STOP")
    assert client.post(f"{collection}/add", json={"ids": ["b"], "embeddings": [[1, 3]]}).status_code == 201
    valkey.signal("CONT")
    for _ in range(20):
        assert client.get(f"{collection}/count").json() == 2
    eventually(lambda: is_used(client, collection))


# --- Valkey in trouble ---------------------------------------------------------------------------------------------


def race_through(url, trouble):
    race = Race(url)
    with race.running():
        race.over.wait(1)
        trouble(race)
    print(race.outcome)
    assert race.outcome.failed == []
    assert race.outcome.stale == []
    assert race.outcome.caches["hit"] > 0
    return race.outcome


def test_valkey_is_killed_and_comes_back(url, client, cache_in_use, probed, valkey):
    def trouble(race):
        valkey.kill()
        eventually(lambda: race.outcome.caches["bypass"] > 20)
        valkey.start()
        eventually(lambda: is_used(client, probed))

    outcome = race_through(url, trouble)
    assert outcome.percentile(1) < 3


def test_valkey_hangs_and_goes_on(url, client, cache_in_use, probed, valkey):
    """After the first few requests, each of which waits its 250 ms, it is left alone."""

    def trouble(race):
        valkey.signal("STOP")
        race.over.wait(2)
        bypassed = race.outcome.caches["bypass"]
        eventually(lambda: race.outcome.caches["bypass"] > bypassed + 50)
        valkey.signal("CONT")
        eventually(lambda: is_used(client, probed))

    outcome = race_through(url, trouble)
    assert outcome.percentile(1) < 3


def test_valkey_is_full_and_forgets_nothing(url, client, cache_in_use, probed, valkey):
    def trouble(race):
        valkey.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
        valkey.say("CONFIG", "SET", "maxmemory", "1mb")
        eventually(lambda: race.outcome.caches["bypass"] > 20)
        valkey.say("CONFIG", "SET", "maxmemory", "64mb")
        eventually(lambda: is_used(client, probed))

    race_through(url, trouble)


def test_valkey_is_full_and_forgets_what_is_oldest(url, cache_in_use, probed, client, valkey):
    valkey.say("CONFIG", "SET", "maxmemory", "3mb")
    race_through(url, lambda race: race.over.wait(2))
    eventually(lambda: is_used(client, probed))


def test_a_valkey_that_is_another_is_not_used(host, client, collection, valkey):
    """Its certificate is good, but for another name: it learns neither the password nor a question."""
    valkey.kill()
    host.check_output(
        "cd /srv/valkey && ln --force --symbolic other.pem served.pem && ln --force --symbolic other.key served.key"
    )
    valkey.start()
    for _ in range(10):
        assert told(client.get(f"{collection}/count")) == (200, "bypass", 1)


def test_a_rotated_password(client, collection, valkey):
    assert until_kept(lambda: client.get(f"{collection}/count")) == ("miss", "hit")
    valkey.say("CONFIG", "SET", "requirepass", NEXT_PASSWORD)
    valkey.password = NEXT_PASSWORD
    valkey.say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for _ in range(10):
        assert told(client.get(f"{collection}/count"))[:2] == (200, "hit")


# --- What it tells -------------------------------------------------------------------------------------------------


def test_counters_for_the_host(host, client, collection):
    def counters():
        return json.loads(host.check_output("curl --silent --fail http://127.0.0.1:8081/cache"))

    before = counters()
    for _ in range(3):
        client.get(f"{collection}/count")
    client.get(f"{collection}/count", headers={"Cache-Control": "no-cache"})
    after = counters()
    assert {name: after[name] - before[name] for name in ("hit", "miss", "off")} == {"hit": 2, "miss": 1, "off": 1}
    assert 0 < after["hit_ratio"] < 1
    assert (after["enabled"], after["resting"], after["in_doubt"]) == (True, False, False)


def test_the_password_is_in_one_file_of_root(host):
    file = host.file(SETTINGS)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    # By a file, because the search's own command line would be found.
    host.check_output("sed --quiet 's/^requirepass //p' /srv/valkey/valkey.conf > /srv/valkey/password")
    search = "grep --recursive --files-with-matches --binary-files=text --fixed-strings --file /srv/valkey/password"
    places = "/etc /root /home /opt /run /tmp /usr/local /var /proc/[0-9]*/environ /proc/[0-9]*/cmdline"
    assert host.run(f"{search} {places}").stdout.split() == [SETTINGS]
    assert host.run(f"journalctl --no-pager | {search} -").stdout == ""
