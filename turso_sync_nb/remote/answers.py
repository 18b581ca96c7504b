"""Map HTTP statuses and foreign errors to ours, each with a hint.

Raised ``from None``: httpx's errors hold the request, and with it the token.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

import httpx

from turso_sync_nb.errors import (
    ProtocolError,
    RemoteError,
    RemoteFailedError,
    RemoteRefusedError,
    RemoteUnreachableError,
)
from turso_sync_nb.protocol.pipeline import decode_response, with_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from turso_sync_nb.protocol.pipeline import ResponseBody
    from turso_sync_nb.secret import Secret

TEXT_MAX: Final = 200
"""Characters of a server's own words that are shown."""

SECRET_PART_MIN: Final = 8
"""Characters at the beginning of a secret that are worth hiding."""

BUSY_STATUSES: Final = frozenset({429, 502, 503, 504})
"""The server, or what stands before it, asks to come back: safe to repeat what may be repeated."""

REFUSED_BEFORE_IT_RAN: Final = frozenset({429})
"""Statuses that say that a request was surely not executed."""

A_WEB_PAGE: Final = "a web page"

_HINTS: Final = {
    400: "the server does not understand this request: check that it is a Turso sync server",
    401: "give a valid token (auth_token=, --token-env or TURSO_AUTH_TOKEN)",
    403: "this token may not do that: get one with the rights for this database",
    404: "check the address: there is no database to sync there",
    405: "check the address: there is no database to sync there",
    413: "the server takes only smaller requests",
    429: "the server is asked too often: wait a little",
}


def of_status(status: int, text: str, url: str, secrets: Iterable[Secret]) -> RemoteError:
    """Return the error for an answer of ``status`` with the body ``text``."""
    error = _of_status(status, cleaned(text, secrets), url)
    error.status = status
    return error


def _of_status(status: int, words: str, url: str) -> RemoteError:
    did = "refused" if 400 <= status < 500 else "failed"  # noqa: PLR2004 - HTTP's own borders
    message = f"the server at {url} {did}: status {status}" + (f", {words}" if words else "")
    if words == A_WEB_PAGE:
        return RemoteRefusedError(message, hint="check the address: a web server answers, not a database")
    if "encrypt" in words.lower():
        hint = "give the database's base64 key as remote_encryption_key"
        return RemoteRefusedError(message, hint=hint)
    if 400 <= status < 500:  # noqa: PLR2004 - HTTP's own borders
        return RemoteRefusedError(message, hint=_HINTS.get(status, "check address and token"))
    return RemoteFailedError(message, hint="try again; if it stays so, look at the server's log")


def of_transport(error: httpx.HTTPError, url: str) -> RemoteError:
    """Return the error for a connection that failed or broke."""
    if isinstance(error, httpx.LocalProtocolError):  # its text may hold the headers, and with them the token
        return RemoteFailedError(f"the request to {url} could not be sent", hint="check token and address")
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return RemoteUnreachableError(f"no connection in time to {url}", hint="check address and network")
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return RemoteFailedError(
            f"no answer in time from {url}", hint="try again; the server may be overloaded"
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return RemoteUnreachableError(
            f"no connection to {url}: its certificate is not valid here",
            hint="check the address; SSL_CERT_FILE may name a certificate of your own to trust",
        )
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        why = re.sub(r"^\[Errno -?\d+\] ", "", cleaned(str(error), ()))
        return RemoteUnreachableError(
            f"no connection to {url}: {why}",
            hint="check that the server runs, and its address",
        )
    said, *_ = re.split(r"[:'\"]", str(error), maxsplit=1)  # h11 goes on with what the server sent
    return RemoteFailedError(
        f"the answer of {url} broke off ({cleaned(said, ()) or type(error).__name__})", hint="try again"
    )


def web_page(url: str) -> ProtocolError:
    """Return the error for an address that answers with a web page."""
    return ProtocolError(
        f"a web page answers at {url}",
        hint="check the address: it must be the database's, not a site's",
    )


def refuse_other_forms(response: httpx.Response, url: str) -> None:
    """Raise ProtocolError for an answer that is compressed, a web page, or does not say where it ends."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ProtocolError(
            f"the answer of {url} is compressed ({cleaned(encoding, ())}), which was not asked for",
            hint="check what stands between here and the server, such as a proxy",
        )
    if "html" in response.headers.get("content-type", ""):
        raise web_page(url)
    ends = "content-length" in response.headers or "transfer-encoding" in response.headers
    if not ends and response.http_version.startswith("HTTP/1"):
        raise ProtocolError(
            f"the answer of {url} does not say where it ends, so a cut one would look whole",
            hint="check what stands between here and the server, such as a proxy",
        )


def _masked(text: str, secret: str) -> str:
    for length in range(len(secret), min(len(secret), SECRET_PART_MIN) - 1, -1):
        text = text.replace(secret[:length], "***")
    return text


def decoded(body: bytes, secrets: Sequence[Secret]) -> ResponseBody:
    """Return the answers in ``body``; errors in it do not repeat the secrets that were sent, rows may.

    Raises:
        ProtocolError: it makes no sense.
    """
    try:
        return with_errors(decode_response(body), partial(_all_masked, secrets))
    except ProtocolError as error:
        raise ProtocolError(
            _all_masked(secrets, error.args[0]), hint=error.hint
        ) from None  # the cause quotes


def _all_masked(secrets: Iterable[Secret], text: str) -> str:
    for secret in secrets:
        text = secret.use(partial(_masked, text))
    return text


def cleaned(text: str, secrets: Iterable[Secret]) -> str:
    """Return foreign ``text`` fit for one line: no control characters, no secrets, not long.

    The beginning of a secret is masked too: servers like to cut what they quote.
    """
    text = _all_masked(secrets, text)
    text = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text[: 10 * TEXT_MAX])).strip()
    if text.startswith("<"):
        return A_WEB_PAGE
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
