"""Find a token: on the line, in the environment, in the keyring, or by asking the user.

Rules of this file: a token is in no message, output or notebook variable. It is asked for at each request,
so one that is renewed in the environment or keyring is in force at once.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.suggestions import did_you_mean
from turso_sync_nb.secret import Secret

if TYPE_CHECKING:
    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook

VARIABLE: Final = "TURSO_AUTH_TOKEN"
KEYRING_SERVICE: Final = "turso_sync_nb"


def token_of(notebook: Notebook, arguments: Arguments, url: str | None) -> Secret | None:
    """Return what reads the token when a request needs it; ``None`` when there is none.

    The first of: ``--token``, the variable of ``--token-env``, ``TURSO_AUTH_TOKEN``, the keyring's entry of
    service ``turso_sync_nb`` for the host.

    Raises:
        UsageError: the variable is not set.
    """
    literal, variable = arguments.secrets.get("token"), arguments.get("token_env")
    if literal is not None:
        notebook.warn(
            f"the token is now saved in this notebook; remove it and set {VARIABLE}, or use --token-env"
        )
        return literal
    if variable is not None:
        return _of_variable(variable)
    if VARIABLE in os.environ:
        return Secret(lambda: os.environ.get(VARIABLE))
    host = _host(url)
    return Secret(lambda: _of_keyring(host)) if host and _of_keyring(host) else None


def asked_for(notebook: Notebook, url: str | None) -> Secret | None:
    """Ask the user for the token; ``None`` where nobody can be asked, or nothing was given."""
    return notebook.ask_secret(f"token for {_host(url) or 'the remote'}: ")


def _of_variable(variable: str) -> Secret:
    if not os.environ.get(variable):
        shown = variable if variable.isidentifier() and variable.isupper() else "of --token-env"
        guess = did_you_mean(variable, (key for key in os.environ if "TOKEN" in key))
        raise UsageError(
            f"read the token: the environment variable {shown} is not set",
            hint=guess or "set it before Jupyter starts, or with os.environ in an earlier cell",
        )
    return Secret(lambda: os.environ.get(variable))


def _host(url: str | None) -> str:
    try:
        return urlsplit(url or "").hostname or ""
    except ValueError:
        return ""


def _of_keyring(host: str) -> str | None:
    """Return the keyring's token for ``host``; nothing where there is no keyring that answers."""
    try:
        keyring = importlib.import_module("keyring")
        found = keyring.get_password(KEYRING_SERVICE, host)
    except Exception:  # noqa: BLE001 - a keyring that is locked or broken is none
        return None
    return found if isinstance(found, str) else None
