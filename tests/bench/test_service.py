"""What the benchmark of the sandbox calls is answered well, and its sum is right; how fast, no test says (S1)."""

from __future__ import annotations

import pytest

from tests.bench.service import BATCH, calls, rate_of
from tests.sandbox.client import Client, key_pair


def test_S1_every_call_of_the_mix_succeeds_again_and_again() -> None:
    client = Client("legacy")
    client.add_key(key_pair())
    for name, call in calls(client).items():
        for _ in range(2):
            response = call()
            assert response.status in (200, 204), name
    (batch,) = [call for name, call in calls(client).items() if "batch" in name]
    assert [item["status"] for item in batch().json()["responses"]] == [200] * BATCH


def test_S1_a_mix_counts_the_requests_of_a_batch() -> None:
    assert rate_of([0.001, 0.001, 0.002]) == pytest.approx((2 + BATCH) / 0.004)
