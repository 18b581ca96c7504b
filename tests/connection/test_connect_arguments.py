"""Arguments of connect(), each by itself: what it is taken for, or that it is refused without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from turso_sync_nb.connection import arguments
from turso_sync_nb.errors import UsageError
from turso_sync_nb.options import PartialSyncOpts, PartialSyncPrefixBootstrap, RemoteEncryptionCipher
from turso_sync_nb.secret import Secret

PARTIAL = PartialSyncOpts(bootstrap_strategy=PartialSyncPrefixBootstrap(length=4096))
CIPHER = RemoteEncryptionCipher.Aes256Gcm
NO = UsageError
SECRET = "token-text"  # noqa: S105 - looked for in messages

TAKEN = [
    (arguments.chosen_partial, (None, None), None),
    (arguments.chosen_partial, (PARTIAL, None), PARTIAL),
    (arguments.chosen_partial, (None, PARTIAL), PARTIAL),
    (arguments.chosen_partial, (PARTIAL, PARTIAL), NO),
    (arguments.chosen_partial, ({"length": 1}, None), NO),
    (arguments.check_kinds, ("x", None, None), None),
    (arguments.check_kinds, (Path("x"), Secret("http://x"), Secret(lambda: SECRET)), None),
    (arguments.check_kinds, (b"x", None, None), NO),
    (arguments.check_kinds, (None, None, None), NO),
    (arguments.check_kinds, ("x", Secret(7), None), NO),
    (arguments.check_kinds, ("x", None, Secret([SECRET])), NO),
    (arguments.checked_transform, (None,), None),
    (arguments.checked_transform, (len,), len),
    (arguments.checked_transform, ("skip",), NO),
    (arguments.checked_names, ([],), ()),
    (arguments.checked_names, ({"a"},), ("a",)),
    (arguments.checked_names, ("drafts",), NO),
    (arguments.checked_names, (["a", 1],), NO),
    (arguments.checked_threshold, (None,), None),
    (arguments.checked_threshold, (1,), 1),
    (arguments.checked_threshold, (0,), NO),
    (arguments.checked_threshold, (1.5,), NO),
    (arguments.checked_wait, (None,), None),
    (arguments.checked_wait, (0,), 0),
    (arguments.checked_wait, (arguments.LONG_POLL_MAX_MS,), arguments.LONG_POLL_MAX_MS),
    (arguments.checked_wait, (arguments.LONG_POLL_MAX_MS + 1,), NO),
    (arguments.checked_wait, (-1,), NO),
    (arguments.checked_wait, ("1s",), NO),
    (arguments.checked_room, (None,), None),
    (arguments.checked_room, (256 * 4096,), 256),
    (arguments.checked_room, (257 * 4096 - 1,), 256),
    (arguments.checked_room, ("2MiB",), 512),
    (arguments.checked_room, (256 * 4096 - 1,), NO),
    (arguments.checked_room, ("much",), NO),
    (arguments.checked_room, (1e9,), NO),
    (arguments.checked_request, (None,), None),
    (arguments.checked_request, (4096,), 1),
    (arguments.checked_request, (8191,), 1),
    (arguments.checked_request, (4095,), NO),
    (arguments.checked_request, ("1MB",), NO),
    (arguments.checked_name, (None,), arguments.CLIENT_NAME),
    (arguments.checked_name, ("Zoë's",), "Zoë's"),
    (arguments.checked_name, ("",), NO),
    (arguments.checked_name, ("a\nb",), NO),
    (arguments.checked_name, (7,), NO),
    (arguments.checked_reserve, (None, None), 0),
    (arguments.checked_reserve, (None, 255), 255),
    (arguments.checked_reserve, (None, 256), NO),
    (arguments.checked_reserve, (None, -1), NO),
    (arguments.checked_reserve, (None, "28"), NO),
    (arguments.checked_reserve, (CIPHER, None), 28),
    (arguments.checked_reserve, ("AES-256-GCM", 28), 28),
    (arguments.checked_reserve, (CIPHER, 32), NO),
    (arguments.checked_reserve, ("rot13", None), NO),
    (arguments.refuse_others, ({},), None),
    (arguments.refuse_others, ({"logical_mvcc_pull": False},), None),
    (arguments.is_legacy, ("v1", None, None, None), False),
    (arguments.is_legacy, ("v1", 10, None, None), NO),
    (arguments.is_legacy, ("v2", None, None, None), NO),
    (arguments.refuse_others, ({"experimental_features": Secret("")},), None),
    (arguments.refuse_others, ({"wal_pull_batch_size": Secret(SECRET)},), NO),
    (arguments.refuse_others, ({"authToken": Secret(SECRET)},), NO),
]


@pytest.mark.parametrize(("function", "given", "wanted"), TAKEN)
def test_an_argument(function, given, wanted):
    """What it means; a refusal begins with ``connect``, has a hint, and no token."""
    if wanted is not NO:
        assert function(*given) == wanted
        return
    with pytest.raises(UsageError) as caught:
        function(*given)
    assert str(caught.value).startswith(("connect: ", "read size"))
    assert caught.value.hint
    assert SECRET not in str(caught.value)
