"""Send pull-updates and pipeline requests over HTTP.

What is safe to repeat is repeated here until an answer begins (the header of a pull is here); from
then on an answer that breaks is an error, and whoever reads it asks for what is missing. Nothing follows a
redirect to another host: the token would go with it.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import httpx

from turso_sync_nb.errors import ProtocolError, RemoteError, RemoteFailedError, RemoteRefusedError, UsageError
from turso_sync_nb.generators import ended
from turso_sync_nb.protocol.pipeline import encode_request
from turso_sync_nb.protocol.pull_updates import DATABASE_HEADER, PullDecoder, PullHeader
from turso_sync_nb.remote.address import (
    Text,
    ask_token,
    ask_url,
    base_url,
    checked_secret,
    clean_url,
    is_loopback,
)
from turso_sync_nb.remote.answers import (
    BUSY_STATUSES,
    REFUSED_BEFORE_IT_RAN,
    decoded,
    of_status,
    of_transport,
    refuse_other_forms,
    web_page,
)
from turso_sync_nb.remote.body import read_body
from turso_sync_nb.remote.compression import Compression
from turso_sync_nb.remote.in_flight import EXTENSION, Calls
from turso_sync_nb.remote.pull_response import PullResponse, closed
from turso_sync_nb.remote.redirect import redirected
from turso_sync_nb.remote.resolve import Resolver
from turso_sync_nb.remote.retry import RetryPolicy, retry_after_s
from turso_sync_nb.remote.stream import Stream
from turso_sync_nb.remote.traffic import Traffic
from turso_sync_nb.remote.transport import Lent
from turso_sync_nb.secret import Secret
from turso_sync_nb.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from turso_sync_nb.protocol.pipeline import Request, Response, ResponseBody, SqlError
    from turso_sync_nb.protocol.pull_updates import PullRequest
    from turso_sync_nb.remote.in_flight import Call as CallInFlight
    from turso_sync_nb.units import PageId

REDIRECTS_MAX: Final = 3
"""Redirects that are followed in a row, so that a circle of them ends."""

USER_AGENT: Final = f"turso-sync-nb/{VERSION}"

SENT_TOGETHER: Final = 256 * 1024
"""Bytes of a body that are handed to the connection at once."""

DATABASE_NAME_MAX: Final = 100
"""Characters of a database's name that are looked at; the embedded server's have 32."""

_LOG: Final = logging.getLogger(__name__)
"""Logs each request at level DEBUG: address, outcome, time; no token, no SQL."""

_CLOSED_WITHIN_S: Final = 0.3
"""Seconds in which a stream that failed is closed; else the remote closes it, some seconds later."""

ERROR_BODY_MAX: Final = 64 * 1024
"""Bytes of an error's body that are read."""

Begun = TypeVar("Begun")

Begin: TypeAlias = "Callable[[httpx.Response, Sequence[Secret]], Begun]"
"""Makes something of an answer; the secrets are those that were sent."""

_PROTOBUF: Final = "application/protobuf"
_JSON: Final = "application/json"


@dataclass(frozen=True)
class Timeouts:
    """Seconds without progress before a request is given up."""

    connect_s: float = 10.0
    read_s: float = 60.0


@dataclass(frozen=True)
class Call:
    """One request: where, what, and whether it may be repeated after it may have run."""

    path: str
    body: bytes
    content_type: str
    repeatable: bool
    waits_s: float = 0.0
    """Seconds that the remote may take before it begins to answer, as it was asked to."""
    method: str = "POST"
    answered_by: frozenset[int] = frozenset({httpx.codes.OK})
    """Statuses of an answer; any other is an error."""


class HttpRemote:
    """A remote database behind a URL; safe for threads.

    ``url`` and ``auth_token`` may be callables, asked for each request. ``compress``: ask for compressed
    pages; ``None``: unless the server is on this machine. ``transport`` carries the requests, and is closed
    by whoever made it.
    """

    def __init__(
        self,
        url: Text,
        auth_token: Text = None,
        *,
        encryption_key: str | Secret | None = None,
        compress: bool | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url, auth_token, encryption_key = Secret(url), Secret.of(auth_token), Secret.of(encryption_key)
        self.saved_url = url.use(clean_url) if url.kind == "text" else None
        self.traffic = Traffic()
        self._url = url
        self._token = auth_token
        self._encryption_key = checked_secret(encryption_key, "encryption key")
        self._retry = retry or RetryPolicy()
        limits = timeouts or Timeouts()
        self._options: dict[str, Any] = {
            "headers": {"accept-encoding": "identity", "user-agent": USER_AGENT},
            "transport": Lent(transport) if transport else None,
        }
        self._read_s, self._connect_s = limits.read_s, limits.connect_s
        here = self.saved_url is not None and is_loopback(self.saved_url)
        self._compression = Compression(wanted=not here if compress is None else compress)
        self._resolver = None if transport else Resolver()
        self.takes_several = not transport and all(one.kind == "text" for one in (url, auth_token) if one)
        """Whether one verb may send requests beside each other: what callers give is asked one by one."""
        self._keeps_streams = True  # unless an answer says otherwise
        self._begin()

    def _begin(self) -> None:
        """Begin without requests or connections."""
        self._calls = Calls()
        self._clients: dict[tuple[bool, bool], httpx.Client] = {}
        self._clients_lock = threading.Lock()

    whole_only = False
    """Whether the protocol gives whole databases alone, not chosen pages of them."""

    def witnesses(self, revision: str) -> Iterator[tuple[PageId, bytes]] | None:  # noqa: ARG002 - another kind's
        """Return pages that tell whether the server has ``revision``; None: any page can be asked for."""
        return None

    @property
    def display_url(self) -> str:
        """Return the address without secrets."""
        return self.saved_url or "(address from a function)"

    def close(self) -> None:
        """Let go of connections; may be repeated. A request after it opens new ones."""
        with self._clients_lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def stop(self, thread: int | None = None) -> None:
        """End the requests of ``thread``, or of all; each raises :class:`StoppedError` there."""
        self._calls.stop(thread)

    def beside(self) -> HttpRemote:
        """Return a further remote to the same database; requests and connections are its own.

        They are counted with this one's.
        """
        other = copy(self)
        other._begin()  # noqa: SLF001 - its own kind
        return other

    def end(self) -> None:
        """End all requests, those to come too; each raises :class:`StoppedError` in its thread."""
        self._calls.end()

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Have this thread's requests in the block end within ``seconds``, and none be tried again."""
        return self._calls.within(seconds)

    def on_behalf_of(self, thread: int) -> AbstractContextManager[None]:
        """Have this thread's requests in the block count as those of ``thread``."""
        return self._calls.on_behalf_of(thread)

    def __repr__(self) -> str:
        return f"<HttpRemote {self.display_url}>"

    # The two requests

    @contextmanager
    def pull_updates(self, request: PullRequest) -> Iterator[PullResponse]:
        """Ask for pages, those of a pull or of a lazy read; the answer is good inside the ``with`` block.

        Compressed where that pays.

        Raises:
            RemoteError: no answer, a refusal, or a failure, after the tries that are worth it.
            ProtocolError: an answer without a header that makes sense.
        """
        compress = self._compression.wanted(request)
        with ExitStack() as answers:
            try:
                asked = replace(request, encoding="zstd") if compress else request
                answer = answers.enter_context(self._pull_once(asked))
            except RemoteError as error:
                if not compress or not self._compression.may_be_refused(error):
                    raise
                answer, compress = answers.enter_context(self._pull_once(request)), False
                self._compression.answered(compressed=False)
            if compress:
                self._compression.answered(compressed=True)
            yield answer

    def pipeline(self, requests: Sequence[Request]) -> list[Response | SqlError]:
        """Run SQL requests in order and return an answer for each.

        Not repeated once it may have run: after a :class:`RemoteFailedError` the caller does not know.
        """
        return self._exchange(requests, None).responses

    @contextmanager
    def stream(self) -> Iterator[Stream | None]:
        """Give a stream, closed at the end; ``None`` where the remote keeps none, which is asked once.

        Raises:
            RemoteError, ProtocolError: no answer, or one that makes no sense.
        """
        stream = Stream(self._exchange)
        self._keeps_streams = self._keeps_streams and stream.begin()
        try:
            yield stream if self._keeps_streams else None
        except BaseException:
            with self.within(_CLOSED_WITHIN_S):
                stream.close()
            raise
        stream.close()

    def _exchange(self, requests: Sequence[Request], baton: str | None) -> ResponseBody:
        call = Call("/v2/pipeline", encode_request(requests, baton), _JSON, repeatable=False)

        def begin(response: httpx.Response, secrets: Sequence[Secret]) -> ResponseBody:
            return decoded(self._body(response), secrets)

        with self._answer(call, begin) as body:
            return body

    # How an answer comes about

    @contextmanager
    def _pull_once(self, request: PullRequest) -> Iterator[PullResponse]:
        def begin(response: httpx.Response, _: Sequence[Secret]) -> PullResponse:
            decoder = PullDecoder(check_bounds=not request.server_revision)
            chunks = self._chunks(response)
            header = self._header(decoder, chunks, response)
            named = response.headers.get(DATABASE_HEADER, "")[:DATABASE_NAME_MAX]
            return PullResponse(header, decoder, chunks, named)

        waits_s = (request.long_poll_timeout_ms or 0) / 1000
        call = Call("/pull-updates", request.encode(), _PROTOBUF, repeatable=True, waits_s=waits_s)
        with self._answer(call, begin) as answer, closing(answer):
            yield answer

    @contextmanager
    def _answer(self, call: Call, begin: Begin[Begun]) -> Iterator[Begun]:
        """Send ``call``, and give what ``begin`` makes of the answer; it is closed where the block ends."""
        with self._calls.call() as in_flight:
            yield from self._with_retries(call, begin, in_flight)

    def _with_retries(self, call: Call, begin: Begin[Begun], in_flight: CallInFlight) -> Iterator[Begun]:
        policy = self._retry if in_flight.deadline_s is None else replace(self._retry, attempts=1)
        retries = policy.start(in_flight.sleep)
        while True:
            in_flight.refuse_stopped()
            url = ask_url(self._url)
            shown = url.use(clean_url)
            token = ask_token(self._token, url)
            began_s = time.perf_counter()
            try:
                response = self._send_following_redirects(call, url.use(base_url), token, in_flight)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                _tell(call, shown, began_s, type(error).__name__)
                in_flight.refuse_stopped()
                if retries.wait():
                    continue
                self.traffic.unanswered()
                raise of_transport(error, shown) from None
            except httpx.HTTPError as error:
                _tell(call, shown, began_s, type(error).__name__)
                in_flight.refuse_stopped()
                if call.repeatable and retries.wait():
                    continue
                self.traffic.unanswered()
                raise of_transport(error, shown) from None
            _tell(call, shown, began_s, f"status {response.status_code}")
            secrets = [secret for secret in (token, self._encryption_key) if secret]
            try:
                if response.status_code in call.answered_by:
                    refuse_other_forms(response, shown)
                    try:
                        begun = begin(response, secrets)
                    except RemoteFailedError:
                        if call.repeatable and retries.wait():
                            continue
                        raise
                    yield begun
                    return
                error_text = self._error_text(response)
            finally:
                response.close()
            again = BUSY_STATUSES if call.repeatable else REFUSED_BEFORE_IT_RAN
            if response.status_code in again and retries.wait(
                retry_after_s(response.headers.get("retry-after"))
            ):
                continue
            raise of_status(response.status_code, error_text, shown, secrets)

    def _headers(self, call: Call, token: Secret | None) -> dict[str, str]:
        """Return the headers of ``call`` with the secrets, below ``_send_without_secret_frames`` alone."""
        headers = {"content-type": call.content_type, "content-length": str(len(call.body))}
        if token:
            headers["authorization"] = f"Bearer {token.reveal()}"
        if self._encryption_key:
            headers["x-turso-encryption-key"] = self._encryption_key.reveal()
        return headers

    def _send_following_redirects(
        self, call: Call, base: str, token: Secret | None, in_flight: CallInFlight
    ) -> httpx.Response:
        """Send ``call`` below ``base``, following redirects within its host."""
        try:
            url = httpx.URL(base + call.path)
        except httpx.InvalidURL:
            raise UsageError(f"{base} is no URL", hint="check the address") from None
        for _ in range(REDIRECTS_MAX + 1):
            if self._resolver:
                self._resolver.check(url, self._connect_s)
            client = self._client(url)
            response = _send_without_secret_frames(
                client, partial(self._build_request, client, url, call, token, in_flight)
            )
            if not response.has_redirect_location:
                return response
            response.close()
            url = redirected(url, response)
        raise RemoteRefusedError(
            f"the server at {clean_url(base)} redirected more than {REDIRECTS_MAX} times",
            hint="check the address",
        )

    def _build_request(
        self, client: httpx.Client, url: httpx.URL, call: Call, token: Secret | None, in_flight: CallInFlight
    ) -> httpx.Request:
        return client.build_request(
            call.method,
            url,
            content=self._counted(call.body),
            headers=self._headers(call, token),
            timeout=self._timeout(call, in_flight),
            extensions={"trace": in_flight.trace, EXTENSION: in_flight},
        )

    def _timeout(self, call: Call, in_flight: CallInFlight) -> httpx.Timeout:
        if in_flight.deadline_s is None:
            return httpx.Timeout(self._read_s + call.waits_s, connect=self._connect_s)
        left_s = max(in_flight.deadline_s - time.monotonic(), 0.001)
        return httpx.Timeout(min(left_s, self._connect_s))

    def _client(self, url: httpx.URL) -> httpx.Client:
        """Return the client for ``url``.

        For hosts of this machine no proxy of the environment is asked; the certificates, which take 40 ms
        to load, are loaded for https alone.
        """
        encrypted, direct = url.scheme == "https", is_loopback(str(url))
        with self._clients_lock:
            if (encrypted, direct) not in self._clients:
                try:
                    verify = httpx.create_ssl_context() if encrypted else False  # obeys SSL_CERT_FILE
                    client = httpx.Client(**self._options, verify=verify, trust_env=not direct)
                except (ValueError, ImportError, OSError) as error:  # OSError: no file SSL_CERT_FILE
                    raise UsageError(
                        f"ask the remote: no HTTP client with this environment ({type(error).__name__})",
                        hint="check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR",
                    ) from None  # the text may hold a proxy's password
                self._clients[encrypted, direct] = client
            return self._clients[encrypted, direct]

    def _counted(self, body: bytes) -> Iterator[bytes]:
        """Yield a request's body, counted as a connection takes it: not before there is one."""
        self.traffic.begun()
        for first in range(0, len(body), SENT_TOGETHER):
            part = body[first : first + SENT_TOGETHER]
            self.traffic.sent(len(part))
            yield part

    def _chunks(self, response: httpx.Response) -> Iterator[bytes]:
        """Yield the body as it arrives, counted; a body that ends too early is an error."""
        _refuse_closed(response)
        with ended(read_body(response)) as arriving:
            try:
                for chunk in arriving:
                    self.traffic.received(len(chunk))
                    yield chunk
                    _refuse_closed(response)
            except GeneratorExit:  # before what is collected then would wait for it
                response.close()
                raise
            except httpx.HTTPError as error:
                response.request.extensions[EXTENSION].refuse_stopped()
                raise of_transport(error, self._shown(response)) from None

    def _body(self, response: httpx.Response) -> bytes:
        body = b"".join(self._chunks(response))
        if body.lstrip().startswith(b"<"):
            raise web_page(self._shown(response))
        return body

    def _header(self, decoder: PullDecoder, chunks: Iterator[bytes], response: httpx.Response) -> PullHeader:
        """Read until the header is here, and return it; pages that came with it stay in ``decoder``."""
        beginning = b""
        for chunk in chunks:
            beginning = beginning or chunk[:1]
            if beginning == b"<":
                raise web_page(self._shown(response))
            decoder.take(chunk)  # no generator is left to be collected, where a Ctrl-C is swallowed
            if decoder.header is not None:
                return decoder.header
        decoder.finish()
        raise ProtocolError("read header: it did not arrive", hint="check the address")

    def _error_text(self, response: httpx.Response) -> str:
        body = b""  # the status says enough when its text cannot be had
        with suppress(RemoteError), ended(self._chunks(response)) as chunks:
            for chunk in chunks:
                body += chunk
                if len(body) > ERROR_BODY_MAX:
                    break
        return body.decode(errors="replace")

    @staticmethod
    def _shown(response: httpx.Response) -> str:
        return clean_url(str(response.request.url))


def _tell(call: Call, shown: str, began_s: float, outcome: str) -> None:
    """Log the outcome of an attempt of ``call``, before the body of the answer is read."""
    ms, length = (time.perf_counter() - began_s) * 1000, len(call.body)
    _LOG.debug("%s %s to %s: %d bytes, %s after %.1f ms", call.method, call.path, shown, length, outcome, ms)


def _send_without_secret_frames(client: httpx.Client, build: Callable[[], httpx.Request]) -> httpx.Response:
    """Build and send a request; an error comes without the frames below, whose variables hold the headers."""
    try:
        return client.send(build(), stream=True, follow_redirects=False)
    except BaseException as error:  # noqa: BLE001 - raised again
        raise error.with_traceback(None) from None


def _refuse_closed(response: httpx.Response) -> None:
    if response.is_closed:
        raise closed()
