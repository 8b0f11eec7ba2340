"""Random networks of the operators that are listed: by tiles they are right, or refused."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings

from operator_fuzz import Drawn, networks, outcome


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@example(Drawn(("one-map", "cross", "standardised"), (30, 44), 11))
@given(networks(most=4))
def test_a_random_network_is_right_or_refused(network: Drawn) -> None:
    assert not outcome(network).startswith("wrong"), str(network)
