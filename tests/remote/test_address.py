"""Addresses: what is one, what of it is shown, and where a redirect may lead from it."""

from __future__ import annotations

import httpx
import pytest

from turso_sync_nb.errors import RemoteRefusedError, UsageError
from turso_sync_nb.remote.address import base_url, clean_url, is_loopback
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.remote.redirect import redirected

TOKEN = "eyJ.secret-of-mine.sig"  # noqa: S105 - no real one


@pytest.mark.parametrize(
    ("url", "location", "leads"),
    [
        ("http://h/a", "/b#f", "http://h/b"),
        ("http://h/a", "https://h/a", "https://h/a"),
        ("http://h:81/a", "https://h:81/a", "https://h:81/a"),
        ("http://h/a", "http://other:name@h/a", "http://h/a"),
        ("http://h/a", "https://h:444/a", None),
        ("http://h/a", "http://h:81/a", None),
        ("http://h/a", "https://h.evil/a", None),
        ("http://h/a", "https://h@evil/a", None),
        ("http://h/a", "//evil/a", None),
        ("https://h/a", "http://h/a", None),
        ("https://h/a", "http://h:443/a", None),
    ],
)
def test_where_a_redirect_may_lead(url, location, leads):
    """The same scheme, host and port, or https on that port; never less encryption, nor user info."""
    response = httpx.Response(308, headers={"location": location})
    if leads:
        assert redirected(httpx.URL(url), response) == httpx.URL(leads)
    else:
        with pytest.raises(RemoteRefusedError, match="redirected to http"):
            redirected(httpx.URL(url), response)


@pytest.mark.parametrize(
    "url",
    ["ftp://host", "ws://host", "wss://host", "host:8080", "", "garbage", "http://", "http://[::1",
     "http://h:99999", "libsql:", f"file:///x?authToken={TOKEN}"],
)  # fmt: skip
def test_what_is_no_address_is_refused_at_once(url):
    """Any other scheme, or none, is UsageError with a hint, and shows no token."""
    with pytest.raises(UsageError, match="libsql") as caught:
        HttpRemote(url)
    assert TOKEN not in str(caught.value)


def test_libsql_means_https():
    """libsql:// and turso:// are asked by https, and shown as they were given."""
    assert base_url("libsql://db.example.org/x/") == "https://db.example.org/x"
    assert base_url("turso://db.example.org:444") == "https://db.example.org:444"
    assert clean_url("libsql://u:p@db.example.org/?authToken=t&tls=1#f") == "libsql://db.example.org?tls=1"
    assert clean_url("http://[::1]:8080/") == "http://[::1]:8080"


def test_parameters_named_like_secrets_are_not_shown():
    """Of the address's parameters only those with harmless names are shown and saved."""
    secret = "&".join(f"{name}=SECRET" for name in ("auth_token", "jwt", "api-key", "Token", "%61uthToken"))
    assert clean_url(f"http://h/x?{secret}&tls=1") == "http://h/x?tls=1"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:1", True),
        ("http://127.0.0.1.example.org", False),
        ("http://localhost.example.org", False),
        ("http://10.0.0.1", False),
        ("http://0x7f.example.org", False),
    ],
)
def test_which_hosts_are_this_machine(url, here):
    """Localhost and loopback addresses are; names that begin like them are not."""
    assert is_loopback(url) is here
