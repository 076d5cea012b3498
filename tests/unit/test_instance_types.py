"""What instance types are and how many vectors fit in them."""

from __future__ import annotations

import pytest
from ansible_collections.chromafleet.aws.plugins.filter.instance_type_fault import instance_type_fault
from ansible_collections.chromafleet.aws.plugins.filter.sizing import sizing
from ansible_collections.chromafleet.aws.plugins.module_utils import instance_types

CAPACITIES = {
    "t3.small": (2, 2),
    "t4g.2xlarge": (8, 32),
    "m7i.large": (2, 8),
    "m7i-flex.xlarge": (4, 16),
    "r7i.2xlarge": (8, 64),
    "r7g.medium": (1, 8),
    "r7i.48xlarge": (192, 1536),
    "c7i.4xlarge": (16, 32),
    "m4.large": None,
    "x2idn.16xlarge": None,
    "m7i.metal-24xl": None,
    "nonsense": None,
}
# Chroma's own table: it is right where it was measured.
TABLE = [(2, 250_000), (4, 700_000), (8, 1_700_000), (16, 3_600_000), (32, 7_500_000), (64, 15_000_000)]


@pytest.mark.parametrize("name", CAPACITIES)
def test_capacity(name):
    assert instance_types.capacity(name) == CAPACITIES[name]


@pytest.mark.parametrize(("memory", "vectors"), TABLE)
def test_the_table_holds(memory, vectors):
    assert instance_types.vectors_that_fit(memory, 1024) == vectors
    assert instance_types.vectors_that_fit(memory, 512) == 2 * vectors


def test_between_and_beyond_the_table():
    assert instance_types.vectors_that_fit(1, 1024) == 0
    assert instance_types.vectors_that_fit(12, 1024) == 2_650_000
    assert instance_types.vectors_that_fit(128, 1024) == 30_000_000


SMALLEST = [
    (250_000, 1024, "t3.medium", "t3.small"),
    (250_001, 1024, "t3.small", "t3.medium"),
    (1_700_000, 1024, "t3.small", "m7i.large"),
    (3_600_000, 1024, "t3.small", "r7i.large"),
    (5_000_000, 1536, "t3.small", "r7i.xlarge"),
    (5_000_000, 1536, "t4g.small", "r7g.xlarge"),
    (400_000_000, 3072, "m7i.large", ""),
]


@pytest.mark.parametrize(("vectors", "dimensions", "now", "wanted"), SMALLEST)
def test_the_smallest_type_that_fits(vectors, dimensions, now, wanted):
    found = sizing(now, vectors, dimensions)
    assert found["smallest"] == wanted
    assert found["fits"] == (now == wanted or (vectors, now) == (250_000, "t3.medium"))


def test_a_type_whose_memory_is_not_known_does_not_count_as_fitting():
    found = sizing("x2idn.16xlarge", 1_000_000, 1024)
    assert (found["fits"], found["memory"], found["smallest"]) == (False, 0, "m7i.large")


def test_numbers_may_be_texts():
    assert sizing("m7i.large", "1000000", "1024") == sizing("m7i.large", 1_000_000, 1024)


def test_disk_is_the_data_and_some_room():
    assert instance_types.disk(2_450_000, 1024) == 15
    assert instance_types.disk(5_000_000, 1536) == 36


def test_every_offered_type_exists_and_has_its_architecture():
    known = set(instance_types.known_types())
    for processor, offered in instance_types.OFFERED.items():
        assert set(offered) <= known
        assert {instance_types.architecture(name) for name in offered} == {processor}


ARCHITECTURES = {
    "a1.large": "arm64",
    "m7gd.large": "arm64",
    "im4gn.large": "arm64",
    "g5g.xlarge": "arm64",
    "g4dn.xlarge": "x86_64",
    "m7i-flex.large": "x86_64",
    "r8i.large": "x86_64",
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture(name):
    assert instance_types.architecture(name) == ARCHITECTURES[name]


FAULTS = {
    ("m7i.large", "debian-13-amd64-*"): "",
    ("t4g.medium", "debian-13-arm64-*"): "",
    ("x2idn.16xlarge", "al2023-ami-2023.*-x86_64"): "",
    ("t4g.medium", ""): "",
    ("t4g.medium", "debian-13-amd64-*"): (
        "whose processor is arm64, but the image debian-13-amd64-* is for x86_64: choose a type or an image of the "
        "other kind."
    ),
    ("m7i.lrage", "debian-13-amd64-*"): (
        "which is no instance type of AWS's: did you mean m7i.large? (For a type younger than the installed botocore "
        "run `pip install --upgrade botocore`.)"
    ),
    ("huge", ""): (
        "which is no instance type of AWS's: use one such as m7i.large. (For a type younger than the installed "
        "botocore run `pip install --upgrade botocore`.)"
    ),
}


@pytest.mark.parametrize(("name", "image"), FAULTS)
def test_fault(name, image):
    assert instance_type_fault(name, image) == FAULTS[name, image]
