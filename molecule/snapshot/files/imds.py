"""The credentials of an instance's role, by version 2 of the metadata service only."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "X-aws-ec2-metadata-token"
ROLES = "/latest/meta-data/iam/security-credentials/"


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header(f"{TOKEN}-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        self.answer(200, "molecule-token")

    def do_GET(self):
        if self.headers.get(TOKEN) != "molecule-token":
            self.answer(401)
        elif self.path == ROLES:
            self.answer(200, "molecule-writer")
        elif self.path == f"{ROLES}molecule-writer":
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            keys = {
                "AccessKeyId": "ASIAMOLECULE",
                "SecretAccessKey": "molecule-secret-key",
                "Token": "molecule-session",
            }
            more = {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": ends, "Expiration": ends}
            self.answer(200, json.dumps(keys | more))
        else:
            self.answer(404)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("169.254.169.254", 80), Handler).serve_forever()
