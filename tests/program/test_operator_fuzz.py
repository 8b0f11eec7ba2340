"""Random networks of the operators that are listed: by tiles they are right, or refused."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from operator_fuzz import NAMES, Drawn, drawn, is_runnable, outcome

networks = st.builds(
    Drawn,
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(tuple),
    shape=st.sampled_from([(30, 44), (31, 23), (24, 40)]),
    tile=st.sampled_from([7, 11, 16]),
)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(networks)
def test_a_random_network_is_right_or_refused(network: Drawn) -> None:
    assume(is_runnable(network))
    assert not outcome(network).startswith("wrong"), str(network)


def test_the_script_draws_the_same_networks_again() -> None:
    assert drawn(Random(3)) == drawn(Random(3))
