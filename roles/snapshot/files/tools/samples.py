#!/usr/bin/env python3
"""Asks the live server sample queries, with which the copy's answers are compared.

In two steps: which queries, before the copy is made (`choose`); the answers, while writes are held back (`ask`), in as
little time as possible. Chroma's index is approximate, and the copy builds the part anew that was not on the disk yet:
records, vectors and counts must be equal, and most of what a query finds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import urllib.error
from pathlib import Path
from typing import Any

from chroma import Server

RESULTS = 10
SAME = 0.7
SLOWER = 3  # times, and at least so many seconds: less is noise
SLOWER_BY = 0.1
NEAR = 1000  # a record is taken from the first ones: Chroma counts its way to a later one


def choose(server: Server, collections: list[str], number: int) -> list[dict[str, Any]]:
    """Questions to some collections; each is asked once, so that its index is in memory."""
    questions: list[dict[str, Any]] = []
    for collection in random.sample(collections, len(collections)):
        if len(questions) >= number:
            break
        try:
            count = server.ask(f"{collection}/count")
            place = random.randrange(min(count, NEAR)) if count else 0  # noqa: S311 - a sample, no secret
            got = server.ask(f"{collection}/get", {"limit": 1, "offset": place, "include": ["embeddings"]})
            if vectors := got.get("embeddings"):
                questions.append({"collection": collection, "vector": vectors[0]})
                server.ask(f"{collection}/query", query(vectors[0]))
        except urllib.error.HTTPError as error:
            # Deleted meanwhile, or torn: the proof tells.
            if error.code != 404:
                print(f"collection {collection}: {error.code}", file=sys.stderr)
    return questions


def query(vector: list[float]) -> dict[str, Any]:
    """The body of a question."""
    return {"query_embeddings": [vector], "n_results": RESULTS, "include": ["embeddings", "distances"]}


def ask(server: Server, questions: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """The answers, as many as the time allows."""
    until = time.monotonic() + seconds
    answers = []
    for question in questions:
        left = until - time.monotonic()
        if left <= 0:
            break
        collection = question["collection"]
        try:
            count = server.ask(f"{collection}/count", seconds=left)
            found = server.ask(f"{collection}/query", query(question["vector"]), seconds=max(left, 0.05))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                continue
            raise
        except TimeoutError:
            break
        records = dict(zip(found["ids"][0], found["embeddings"][0], strict=True))
        answers.append(
            {**question, "count": count, "records": records, "farthest": max(found["distances"][0], default=0)}
        )
    return answers


def fault_of(server: Server, answer: dict[str, Any]) -> str | None:
    """How the copy's answer differs from the live server's."""
    collection, records = answer["collection"], answer["records"]
    count = server.ask(f"{collection}/count")
    if count != answer["count"]:
        return f"it has {count} records, and the live server had {answer['count']}"
    got = server.ask(f"{collection}/get", {"ids": list(records), "include": ["embeddings"]}) if records else {"ids": []}
    vectors = dict(zip(got["ids"], got.get("embeddings") or [], strict=False))
    if different := sum(vectors.get(name) != vector for name, vector in records.items()):
        return f"{different} of {len(records)} records that a query found have other vectors than in the live server"
    found = server.ask(f"{collection}/query", query(answer["vector"]))
    near = {
        name for name, far in zip(found["ids"][0], found["distances"][0], strict=False) if far <= answer["farthest"]
    }
    same = near & set(records)
    # Of records that are as near as each other, each answer has some.
    if others := sorted(near - same):
        same |= set(server.ask(f"{collection}/get", {"ids": others, "include": []})["ids"])
    if len(same) < SAME * len(records):
        return f"a query finds {len(same)} of the {len(records)} records that the live server found, or as near ones"
    return None


def pace(server: Server, answers: list[dict[str, Any]]) -> float:
    """Seconds that half of the queries take at most."""
    taken = []
    for answer in answers:
        began = time.monotonic()
        server.ask(f"{answer['collection']}/query", query(answer["vector"]))
        taken.append(time.monotonic() - began)
    return statistics.median(taken) if taken else 0.0


def slowness_of(server: Server, answers: list[dict[str, Any]], before: float) -> str | None:
    """How much later another server answers than the present one, whose pace was measured `before`."""
    after = pace(server, answers)
    if after > max(before * SLOWER, before + SLOWER_BY):
        return f"a query takes {after * 1000:.0f} ms, and {before * 1000:.0f} ms with the present server"
    return None


def main() -> int:
    """Run while writes are held back; the time of everything here is time that clients wait."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=0.5)
    arguments = parser.parse_args()
    questions = json.loads(arguments.questions.read_text(encoding="utf-8"))
    try:
        answers = ask(Server(arguments.port), questions, arguments.seconds)
    except OSError as error:
        print(f"The live server does not answer the sample queries: {error}", file=sys.stderr)
        return 1
    arguments.answers.write_text(json.dumps(answers), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
