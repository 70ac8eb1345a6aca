"""Places of clients that follow jobs: of all, of one tenant, of one address."""

import pytest

from app.domain.errors import ProviderBusy
from app.runtime.jobs.followers import Followers


def test_followers_are_limited_in_all_by_tenant_and_by_network():
    followers = Followers(most=4, per_tenant=3, per_network=2)
    with followers.place("acme", "a"), followers.place("acme", "a"):
        with pytest.raises(ProviderBusy):
            followers.require_place("globex", "a")
        with followers.place("acme", ""):
            with pytest.raises(ProviderBusy):
                followers.require_place("acme", "b")
            with followers.place("globex", ""), pytest.raises(ProviderBusy):
                followers.require_place("initech", "c")
        followers.require_place("acme", "b")
    followers.require_place("acme", "a")


def test_follower_that_is_refused_or_fails_takes_no_place():
    followers = Followers(most=1)
    with pytest.raises(ZeroDivisionError), followers.place("acme", "a"):
        with pytest.raises(ProviderBusy), followers.place("acme", "a"):
            raise AssertionError
        assert followers.count == 1
        raise ZeroDivisionError

    assert followers.count == 0
