"""Follow redirects within one host only: the token and the key travel with them.

A redirect keeps the POST and its body, for 301 and 302 as well, which browsers would turn into a GET.
303 asks for another request than was made, and is refused.
"""

from __future__ import annotations

import httpx

from turso_sync_nb.errors import RemoteRefusedError
from turso_sync_nb.remote.address import clean_url
from turso_sync_nb.remote.answers import cleaned


def redirected(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    """Return where ``response``, which has a Location, leads from ``url``; without user info.

    That is the same scheme, host and port, or https instead of http on the same port (443 for 80).

    Raises:
        RemoteRefusedError: it leads elsewhere, or is no longer encrypted.
    """
    shown = clean_url(str(url))
    if response.status_code == httpx.codes.SEE_OTHER:
        raise RemoteRefusedError(
            f"the server at {shown} redirected to another page", hint="check the address"
        )
    try:
        target = url.join(response.headers["location"]).copy_with(userinfo=b"", fragment=None)
    except (httpx.InvalidURL, ValueError):
        target = httpx.URL()
    upgraded = (url.scheme, target.scheme) == ("http", "https")
    if (upgraded or url.scheme == target.scheme) and (url.host, url.port) == (target.host, target.port):
        return target
    place = f"{target.scheme}://{target.netloc.decode()}" if target.host else "nowhere"
    raise RemoteRefusedError(
        f"the server at {shown} redirected to {cleaned(place, ())}, refused",
        hint="if that place is right, connect to it",
    )
