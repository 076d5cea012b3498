"""Store the corpus in the fleet through its load balancer, ask it, and check every answer against an exact search."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path

import boto3
import chromadb
import numpy as np
from chromadb.config import Settings

sys.path.insert(0, str(Path(__file__).parent))
from corpus import documents, embed

ENDPOINT = os.environ.get("DEMO_ENDPOINT", "chroma.localhost")
COLLECTION = "ansible-modules"
BATCH = 500
NEIGHBOURS = 3
QUESTIONS = {
    "create a virtual private cloud": "amazon.aws.ec2_vpc_net",
    "application load balancer with listeners": "amazon.aws.elb_application_lb",
    "store a password in the secrets manager": "community.aws.secretsmanager_secret",
    "resize an auto scaling group": "amazon.aws.autoscaling_group",
    "copy files to object storage": "amazon.aws.s3_object",
    "manage DNS records": "community.general.nsupdate",
    "add a user to a postgres database": "community.postgresql.postgresql_user",
}


logging.getLogger("httpx").setLevel(logging.WARNING)


def token() -> str:
    """The fleet's first API token, from Secrets Manager."""
    secrets = boto3.client(
        "secretsmanager", endpoint_url="http://127.0.0.1:5500", region_name="us-east-1",
        aws_access_key_id="local", aws_secret_access_key="local",
    )  # fmt: skip
    return json.loads(secrets.get_secret_value(SecretId="chromafleet/demo/tokens")["SecretString"])["tokens"][0][
        "token"
    ]


def connect(bearer: str) -> chromadb.api.ClientAPI:
    """What a user's program does; only the authority of the certificate is this machine's own."""
    state = os.environ.get("CHROMAFLEET_LOCAL_STATE", Path.home() / ".local/state/chromafleet-local")
    return chromadb.HttpClient(
        host=ENDPOINT, port=443, ssl=True, headers={"Authorization": f"Bearer {bearer}"},
        settings=Settings(chroma_server_ssl_verify=str(Path(state, "pki/ca.pem")), anonymized_telemetry=False),
    )  # fmt: skip


def main() -> int:
    """Print the questions, the answers, and how long each step took."""
    corpus = documents()
    started = time.monotonic()
    vectors = embed([document.text for document in corpus])
    print(f"{len(corpus)} documents, {vectors.shape[1]} dimensions, embedded in {time.monotonic() - started:.1f} s")

    started = time.monotonic()
    collection = connect(token()).get_or_create_collection(
        COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    for first in range(0, len(corpus), BATCH):
        part = slice(first, first + BATCH)
        collection.upsert(
            ids=[document.id for document in corpus[part]],
            documents=[document.text for document in corpus[part]],
            metadatas=[{"collection": document.collection} for document in corpus[part]],
            embeddings=vectors[part],
        )
    print(f"stored through https://{ENDPOINT} in {time.monotonic() - started:.1f} s; it holds {collection.count()}\n")

    wrong = 0
    for question, expected in QUESTIONS.items():
        vector = embed([question])
        started = time.monotonic()
        answer = collection.query(query_embeddings=vector, n_results=NEIGHBOURS, include=["documents", "distances"])
        took = (time.monotonic() - started) * 1000
        exact = [corpus[row].id for row in np.argsort(-(vectors @ vector[0]), kind="stable")[:NEIGHBOURS]]
        right = answer["ids"][0] == exact and expected in exact
        wrong += not right
        print(f"? {question}  ({took:.0f} ms, {'equals the exact search' if right else f'WRONG: exact is {exact}'})")
        for name, distance, text in zip(answer["ids"][0], answer["distances"][0], answer["documents"][0], strict=True):
            print(f"    {distance:.3f}  {name:40.40}  {text:.60}")
    print(f"\n{len(QUESTIONS) - wrong} of {len(QUESTIONS)} questions: the nearest neighbours are right.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
