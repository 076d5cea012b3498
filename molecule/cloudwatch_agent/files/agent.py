#!/usr/bin/python3
"""Of the agent's habits those that the role relies on: it translates its configuration when it starts, and listens."""

import json
import shutil
import socket
import threading
from pathlib import Path

ETC = Path("/opt/aws/amazon-cloudwatch-agent/etc")
SOURCE = ETC / "amazon-cloudwatch-agent.json"


def listening(kind, address):
    host, port = address.split(":")
    here = socket.socket(socket.AF_INET, kind)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    here.bind((host, int(port)))
    if kind == socket.SOCK_STREAM:
        here.listen()
    return here


collected = json.loads(SOURCE.read_text())["metrics"]["metrics_collected"]
sockets = [listening(socket.SOCK_DGRAM, collected["statsd"]["service_address"])]
if "otlp" in collected:
    sockets.append(listening(socket.SOCK_STREAM, collected["otlp"]["grpc_endpoint"]))
shutil.copyfile(SOURCE, ETC / "amazon-cloudwatch-agent.toml")
threading.Event().wait()
