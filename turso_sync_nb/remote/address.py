"""Resolve URLs and tokens, values or callables, for each request; mask them for display.

``libsql://`` and ``turso://`` mean ``https://``. User info and parameters that are named like secrets are
stripped from whatever is shown or saved. Of these ``authToken`` is used, where no other token is given.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qs, unquote, unquote_plus, urlencode, urlsplit, urlunsplit

from turso_sync_nb.errors import RemoteUnreachableError, UsageError
from turso_sync_nb.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

Text: TypeAlias = str | Callable[[], str | None] | Secret | None
"""An address, a token or a key as it may be given."""

_SCHEMES: Final = {"http": "http", "https": "https", "libsql": "https", "turso": "https"}
_TOKEN_PARAMETER: Final = "authtoken"  # noqa: S105 - its name
_SECRET_PARAMETERS: Final = frozenset(
    {_TOKEN_PARAMETER, "token", "accesstoken", "jwt", "key", "apikey", "encryptionkey", "password", "secret"}
    | {"auth", "authorization", "sig", "signature", "accesskey"}
)
"""Parameters that are never shown nor saved; case, ``-`` and ``_`` in them do not count."""

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


def clean_url(url: str) -> str:
    """Return ``url`` as it may be shown and saved: no user info, no token, no fragment, no last slash.

    Raises:
        UsageError: it is no address of a database.
    """
    parts = urlsplit(_checked(url))
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is not None:
        host = f"{host}:{parts.port}"
    query = {name: values for name, values in parse_qs(parts.query).items() if not _names_a_secret(name)}
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), urlencode(query, doseq=True), ""))


def base_url(url: str) -> str:
    """Return the http(s) URL below which the endpoints of ``url`` lie, without secrets."""
    parts = urlsplit(clean_url(url))
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, parts.path, "", ""))


def token_in(url: str) -> Secret | None:
    """Return the token that ``url`` itself carries."""
    for name, values in parse_qs(urlsplit(url).query).items():
        if name.lower() == _TOKEN_PARAMETER:
            return Secret(values[0])
    return None


def holds_secret(url: str) -> bool:
    """Return whether ``url`` has user info or a parameter that is named like a secret."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return "@" in parts.netloc or any(map(_names_a_secret, parse_qs(parts.query)))
    return False


def secrets_in(text: str) -> list[Secret]:
    """Return the secrets of all URLs in ``text``, as they are written and as they are meant.

    In a URL these are user info and its password, and the values of parameters that are named like secrets.
    """
    return [
        Secret(form)
        for url in _URL.findall(text)
        for written in _secret_parts(url)
        for form in {written, unquote(written), unquote_plus(written)}
        if form
    ]


def _secret_parts(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        yield url
        return
    user_info = parts.netloc.rpartition("@")[0]
    yield from (user_info, user_info.partition(":")[2])
    for parameter in f"{parts.query}&{parts.fragment}".split("&"):
        name, _, value = parameter.partition("=")
        if _names_a_secret(unquote_plus(name)):
            yield from (value, value.rstrip("\"'"))  # text around the URL may have quoted it


def is_loopback(url: str) -> bool:
    """Return whether ``url`` is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_in_clear(url: str) -> bool:
    """Return whether what is sent to ``url`` crosses a network unencrypted; to what is no URL nothing is."""
    with suppress(ValueError):
        return urlsplit(url).scheme in ("http", "ws") and not is_loopback(url)
    return False


def _names_a_secret(parameter: str) -> bool:
    return parameter.lower().replace("-", "").replace("_", "") in _SECRET_PARAMETERS


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in _SCHEMES or not host:
        raise UsageError(
            "connect: the address is not that of a database"
            + (f" ({parts.scheme}://...)" if parts.scheme else ""),
            hint="write it as http://HOST:PORT, https://HOST, libsql://HOST or turso://HOST",
        )
    return url


def ask_url(url: Secret) -> Secret:
    """Return the address for this request.

    Raises:
        RemoteUnreachableError: the callable says "not now" by ``None``.
        RemoteError: the callable failed.
    """
    answer = url.asked("remote_url")
    if answer is None:
        error = RemoteUnreachableError(
            "ask the remote: paused, its address is not known now", hint="try again later"
        )
        error.paused = True
        raise error
    return answer


def ask_token(token: Secret | None, url: Secret) -> Secret | None:
    """Return the token for this request: the given one, else the one in ``url``."""
    given = token.asked("auth_token") if token else None
    return checked_secret(given or url.use(token_in), "token")


def checked_secret(secret: Secret | None, name: str) -> Secret | None:
    """Return ``secret`` if it can be sent in a header, which is not so with blanks and line breaks.

    Raises:
        UsageError: it cannot; the message does not show it.
    """
    if secret is not None and not secret.use(_can_be_sent):
        raise UsageError(
            f"ask the remote: the {name} holds characters that no {name} has",
            hint="check for line breaks and blanks",
        )
    return secret


def _can_be_sent(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
