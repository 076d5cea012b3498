# SPDX-License-Identifier: Apache-2.0
"""What an instance type is and how many vectors fit in it, without a call to AWS."""

from __future__ import annotations

import re
from functools import cache
from math import ceil

try:
    import botocore.session
except ImportError:  # AnsibleAWSModule says so itself
    botocore = None

X86, ARM = "x86_64", "arm64"

#: Chroma's own table: memory (GiB) to vectors of 1024 dimensions.
TABLE = {2: 250_000, 4: 700_000, 8: 1_700_000, 16: 3_600_000, 32: 7_500_000, 64: 15_000_000}
TABLE_DIMENSIONS = 1024
#: Chroma's rule of thumb: how many of them a GiB holds, and the GiB that the disk needs besides.
VECTORS_OF_A_GIB = 245_000
DISK_BESIDES = 5

#: Size to (vCPUs, GiB) of the burstable families.
BURSTABLE = {
    "nano": (2, 0.5),
    "micro": (2, 1),
    "small": (2, 2),
    "medium": (2, 4),
    "large": (2, 8),
    "xlarge": (4, 16),
    "2xlarge": (8, 32),
}
#: GiB for each vCPU, in every family with these letters since the fifth generation.
RATIOS = {"c": 2, "m": 4, "r": 8}
NAME = re.compile(r"(?P<letter>[a-z]+)(?P<generation>\d+)(?P<options>[a-z]*)(-flex)?\.(?P<size>.+)")
MULTIPLE = re.compile(r"(\d*)xlarge")

GRAVITON = ["medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge"]
INTEL = [*GRAVITON[1:], "24xlarge", "48xlarge"]
#: What is offered to somebody whose type is too small.
OFFERED = {
    X86: [*(f"t3.{size}" for size in BURSTABLE), *(f"{family}.{size}" for family in ("m7i", "r7i") for size in INTEL)],
    ARM: [
        *(f"t4g.{size}" for size in BURSTABLE),
        *(f"{family}.{size}" for family in ("m7g", "r7g") for size in GRAVITON),
    ],
}


@cache
def known_types() -> list[str]:
    """The types that the installed botocore knows; empty without botocore."""
    if botocore is None:
        return []
    return list(botocore.session.get_session().get_service_model("ec2").shape_for("InstanceType").enum)


def exists(instance_type: str) -> bool:
    """Whether AWS has this type, as far as the installed botocore knows."""
    return any(instance_type in offered for offered in OFFERED.values()) or instance_type in known_types()


def architecture(instance_type: str) -> str:
    """The processor: the letter after the generation is a g in Graviton's families."""
    match = NAME.fullmatch(instance_type)
    return ARM if match and (match["options"].startswith("g") or match["letter"] + match["generation"] == "a1") else X86


def capacity(instance_type: str) -> tuple[int, float] | None:
    """The type's vCPUs and memory (GiB), or None where its name does not tell them."""
    match = NAME.fullmatch(instance_type)
    if match is None:
        return None
    if match["letter"] == "t":
        return BURSTABLE.get(match["size"])
    ratio = RATIOS.get(match["letter"])
    if ratio is None or int(match["generation"]) < 5:
        return None
    vcpus = {"medium": 1, "large": 2}.get(match["size"], 0)
    if multiple := MULTIPLE.fullmatch(match["size"]):
        vcpus = 4 * int(multiple[1] or 1)
    return (vcpus, vcpus * ratio) if vcpus else None


def vectors_that_fit(memory: float, dimensions: int) -> int:
    """How many vectors a server with this memory (GiB) holds: the table, straight lines between its rows."""
    rows = [row for row in TABLE if row <= memory]
    if not rows:
        return 0
    below = rows[-1]
    above = next((row for row in TABLE if row > memory), None)
    if above is None:
        vectors = TABLE[below] * memory / below
    else:
        vectors = TABLE[below] + (TABLE[above] - TABLE[below]) * (memory - below) / (above - below)
    return int(vectors * TABLE_DIMENSIONS / dimensions)


def smallest(vectors: int, dimensions: int, processor: str) -> str | None:
    """The smallest type that holds the vectors: least memory, then fewest vCPUs; None when none does."""
    fitting = [
        (memory, vcpus, name)
        for name in OFFERED[processor]
        for vcpus, memory in [capacity(name)]
        if vectors_that_fit(memory, dimensions) >= vectors
    ]
    return min(fitting)[2] if fitting else None


def disk(vectors: int, dimensions: int) -> int:
    """GiB of disk that the vectors need."""
    return ceil(vectors * dimensions / (VECTORS_OF_A_GIB * TABLE_DIMENSIONS)) + DISK_BESIDES
