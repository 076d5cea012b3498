"""An AWS account on this machine: the API (moto), and real containers for what the API says exists."""

import os
from pathlib import Path

# moto reads these when it is imported: AWS's managed policies exist, and the one image is this machine's.
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
os.environ.setdefault("MOTO_AMIS_PATH", str(Path(__file__).with_name("amis.json")))
