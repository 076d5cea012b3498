# SPDX-License-Identifier: Apache-2.0
"""What tells certificates apart."""

from __future__ import annotations

import base64
import hashlib
import re

PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def fingerprints(*texts: str) -> list[str]:
    """SHA-256 of every certificate in texts of PEM, each once: AWS may repeat the certificate in its chain."""
    found = {hashlib.sha256(base64.b64decode(body)).hexdigest() for text in texts for body in PEM.findall(text)}
    return sorted(found)
