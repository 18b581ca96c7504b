"""Secret: a token, a key, or an address that may hold one; no traceback, repr or attribute shows its text.

IPython's ``%xmode Verbose`` prints arguments and variables of every frame. An argument that may hold a secret
is put into a ``Secret`` in the first line of the function that takes it. Frames below
:meth:`Secret.use` do see the text: their part of a traceback is dropped.

Plain text becomes a ``Secret`` in ``api.py``, ``connection/arguments.py``, ``remote/http.py`` and
``server/local.py`` (arguments), ``server/command.py`` and ``jupyter/tokens.py`` (environment, keyring),
``jupyter/arguments.py`` (``--token``), ``jupyter/notebook.py`` (the prompt), ``remote/address.py`` (a URL).
An address on a notebook's line is plain text: ``mask_secrets`` of ``failures`` masks the secrets in it.

Plain text leaves a ``Secret`` in the callers of ``use`` and ``reveal`` alone. They are in ``api.py``,
``remote/http.py``, ``remote/address.py``, ``remote/answers.py``, ``connection/arguments.py``,
``jupyter/arguments.py``, ``jupyter/failures.py``, ``server/app.py`` and ``server/local.py``. After
``HttpRemote._headers`` it is in httpx's request. ``_send_without_secret_frames`` of ``remote/http.py`` keeps
it out of tracebacks, ``cleaned`` and ``decoded`` of ``remote/answers.py`` out of errors, ``clean_url`` of
``remote/address.py`` out of logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, overload

from turso_sync_nb.errors import RemoteError, SyncError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

R = TypeVar("R")


class Secret:
    """Text that must not be seen, or a function that gives such text when a request needs it."""

    __slots__ = ("reveal",)

    reveal: Callable[[], Any]
    """Return what was put in. Only what sends or parses it calls this, and keeps it in no variable."""

    def __init__(self, value: object) -> None:
        self.reveal = value.reveal if isinstance(value, Secret) else lambda: value

    @overload
    @staticmethod
    def of(value: None) -> None: ...
    @overload
    @staticmethod
    def of(value: object) -> Secret: ...
    @staticmethod
    def of(value: object) -> Secret | None:
        """Return ``value`` as a secret; ``None`` and an empty text are none."""
        return None if value is None or value == "" else Secret(value)

    @property
    def kind(self) -> str:
        """Return ``"text"``, ``"function"``, or the name of another type, which is of no use here."""
        return self.use(_kind)

    def use(self, function: Callable[[Any], R]) -> R:
        """Return what ``function`` makes of the text; its error comes without the frames that hold it."""
        try:
            return function(self.reveal())
        except BaseException as error:  # noqa: BLE001 - raised again; Ctrl-C shows frames too
            raise error.with_traceback(None) from None

    def asked(self, name: str) -> Secret | None:
        """Return the text for this request: a function, called ``name`` in messages, is asked for it.

        Raises:
            RemoteError: the function failed.
            UsageError: it gave something else than text or ``None``.
        """
        answer: Secret | None = self.use(_asked(name)) if self.kind == "function" else self
        if answer is not None and answer.kind != "text":
            raise UsageError(f"ask {name}: the function gave {answer.kind}", hint="give text, or None")
        return answer

    def __repr__(self) -> str:
        return "***"


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    return "function" if callable(value) else type(value).__name__


def _asked(name: str) -> Callable[[Callable[[], object]], Secret | None]:
    def ask(function: Callable[[], object]) -> Secret | None:
        try:
            return Secret.of(function())
        except SyncError:
            raise
        except Exception as error:  # noqa: BLE001 - a user's code, whose text may hold a secret
            raise RemoteError(
                f"ask {name}: the function failed with {type(error).__name__}",
                hint=f"call your {name} by itself to see",
            ) from None

    return ask
