"""Provide what widgets share: views, paced updates, work in a thread, a snapshot for a saved notebook.

A view says ``open`` and ``close``. An update goes out when something happened, at most every ``PAUSE_S``;
each is answered by ``ready`` a while later, and if something happened meanwhile, that goes out then. So the
last state always arrives, and nothing is sent, polled or waited for while nothing happens.

Messages arrive in whatever thread the kernel takes them in (subshells), and observers tell in the thread that
does something, perhaps holding locks: there nobody waits for the widget's lock. ipykernel 7.0 can send from a
thread of ours only in the context of one of its own, so that of the last message is kept for it.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from contextlib import closing, suppress
from contextvars import copy_context
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anywidget
import apsw
from IPython import get_ipython
from IPython.display import display
from traitlets import Unicode

from turso_sync_nb.errors import Error, StoppedError
from turso_sync_nb.widgets.snapshots import Block, MimeBundle, bundle, line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyroaring import BitMap

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.engine.replica import Replica

    Content = dict[str, Any]
    Message = tuple[Content, Sequence[bytes]]

PAUSE_S: Final = 0.25
"""Between two updates: four a second is as much as a reader can follow."""

UNANSWERED_MAX: Final = 2_000
"""Updates without an answer, after which the view is taken for gone (a page reloaded, a browser closed)."""

VIEW: Final = "application/vnd.jupyter.widget-view+json"

EXPECTED: Final = (Error, apsw.Error, OSError)
"""Exceptions that a handler reports to its view; any other is a fault of ours, and shown as one."""

_STATIC: Final = Path(__file__).parent / "static"


_COMMENT: Final = re.compile(r"^[ \t]*(?:/\*[\s\S]*?\*/|//.*)", re.MULTILINE)
"""A comment of CSS or JavaScript that begins a line."""


@cache
def _read(name: str) -> str:
    """Return a static file without indentation and comments: each widget that a notebook saves has a copy."""
    text = _COMMENT.sub("", (_STATIC / name).read_text(encoding="utf-8"))
    return "\n".join(map(str.lstrip, text.splitlines()))


STYLE: Final = _read("widgets.css")
"""The style sheet of all widgets."""


_IMPORT: Final = re.compile(r'import \{ [^}]+ \} from "\./(\w+)\.js";')


def script(name: str) -> str:
    """Return the ES module of a widget as one text: the modules that it imports come before it, each once."""
    parts: dict[str, str] = {}

    def add(module: str) -> None:
        text = _read(f"{module}.js")
        for imported in _IMPORT.findall(text):
            if imported not in parts:
                add(imported)
        text = _IMPORT.sub("", text)
        parts[module] = text if module == name else re.sub("^export ", "", text, flags=re.MULTILINE)

    add(name)
    return "\n".join(parts.values())


class _Shown:
    """The widgets with an open view, of all replicas; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._widgets: list[LiveWidget] = []

    def add(self, widget: LiveWidget) -> None:
        """Add a widget."""
        with self._lock:
            self._widgets.append(widget)

    def discard(self, widget: LiveWidget) -> None:
        """Remove a widget; may be repeated."""
        with self._lock:
            self._widgets = [each for each in self._widgets if each is not widget]

    def of(self, replica: Replica) -> list[LiveWidget]:
        """Return those about a replica."""
        with self._lock:
            return [each for each in self._widgets if each.replica is replica]


_SHOWN: Final = _Shown()
"""The widgets that look again when another one did something."""


class LiveWidget(anywidget.AnyWidget):
    """One widget about one replica; ``views`` are those that are open now."""

    _css = STYLE
    _own_id = Unicode().tag(sync=True)
    """By which a view finds its model, where anywidget lets no message through to it (``view.js``)."""
    title = ""

    def __init__(self, db: Connection, replica: Replica) -> None:
        own_id = uuid.uuid4().hex
        super().__init__(model_id=own_id, _own_id=own_id)
        self.db = db
        self.replica = replica
        self.views: set[str] = set()
        self.lock = threading.Lock()
        """Held while a message is made. Not re-entrant: a fetch for it may call its observer."""
        self.handlers: dict[str, Callable[[Content], None]] = {
            "open": self._open_view,
            "close": self._close_view,
            "ready": self._ready,
            "cancel": lambda _content: self.cancel(),
        }
        self._dirty = False
        self._unanswered = 0
        self._sent_s = 0.0
        self._revision = replica.metadata.revision
        self._work: _Work | None = None
        self._next: tuple[str, Callable[[Connection], str]] | None = None
        self._shown: tuple[Any, MimeBundle] | None = None
        self._context = copy_context()
        self.on_msg(lambda _widget, content, buffers: self.receive(content, buffers))

    # What a widget is made of

    def full_message(self, db: Connection) -> Message:
        """Return a message with the whole state, for a new view; ``db`` is a sibling."""
        raise NotImplementedError

    def update_message(self) -> Message | None:
        """Return a message with the changes since the last one, or None. No SQL: SQLite may be the caller."""
        raise NotImplementedError

    def look_message(self, db: Connection) -> Message | None:
        """Return a message that needs SQL, or None; asked for after a cell or work. ``db`` is a sibling."""
        del db
        return self.update_message()

    def has_changed(self) -> bool:
        """Return whether :meth:`look_message` may have something new, without SQL."""
        return True

    def snapshot(self, db: Connection) -> Block:
        """Return the present state in a static form, without its title; ``db`` is a sibling."""
        raise NotImplementedError

    def record_event(self, pages: BitMap | None) -> None:
        """Record that ``pages`` arrived, or, if None, a commit or a pull. Must not block."""

    def cell_began(self) -> None:
        """Record that a cell begins."""

    # Being shown

    def _ipython_display_(self) -> None:
        """Show the snapshot, and the widget, before which the snapshot hides while it is alive."""
        snapshot = self._snapshot_bundle()
        self._shown = (display(snapshot, raw=True, display_id=True), snapshot)
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        display({"text/plain": self.title, VIEW: view}, raw=True)

    def _snapshot_bundle(self) -> MimeBundle:
        try:
            with closing(self.db.sibling()) as db:
                body = self.snapshot(db)
        except EXPECTED as error:
            body = line(line_of(error))
        return bundle(self.title, body)

    def _renew_snapshot(self) -> None:
        now = self._snapshot_bundle()
        if self._shown is not None and now != self._shown[1]:
            self._shown = (self._shown[0], now)
            self._shown[0].update(now, raw=True)

    # Messages

    def receive(self, content: Content, buffers: Sequence[Any] = ()) -> None:
        """Do what a view asks; an error is told to it in a line.

        A user's request is acknowledged before it is done: a view without an ack says that it waits.
        """
        handler = self.handlers.get(str(content.get("type")))
        if handler is None:
            return
        self._context = copy_context()
        if "request" in content:
            self.send({"type": "ack", "request": content["request"]})
        try:
            with self.lock:
                handler({**content, "buffers": buffers} if buffers else content)
        except EXPECTED as error:
            self.tell(line_of(error), failed=True)

    def send(self, content: Content, buffers: Sequence[bytes] | None = None) -> None:
        """Send every view a message, from any thread."""
        self._context.copy().run(super().send, content, buffers)

    def tell(self, text: str | None, *, failed: bool = False, **more: Any) -> None:
        """Show a line in every view; ``None``: the one that is there stays."""
        self.send({"type": "status", "text": text, "failed": failed, "busy": self.doing, **more})

    def _open_view(self, content: Content) -> None:
        if not self.views:
            _SHOWN.add(self)
            self.replica.observers.add(self.replica_changed)
            self._listen_to_cells(register=True)
        self.views.add(str(content.get("view")))
        self._unanswered = 0
        self._revision = self.replica.metadata.revision
        with closing(self.db.sibling()) as db:
            message, buffers = self.full_message(db)
        self._post({**message, "busy": self.doing}, buffers)
        self._renew_snapshot()  # what happened between its cell and this is in it

    def _close_view(self, content: Content) -> None:
        self.views.discard(str(content.get("view")))
        if not self.views:
            _SHOWN.discard(self)
            self.replica.observers.discard(self.replica_changed)
            self._listen_to_cells(register=False)

    def _listen_to_cells(self, *, register: bool) -> None:
        shell = get_ipython()
        if shell is None:
            return
        for event, function in (("pre_run_cell", self._cell_begins), ("post_run_cell", self._cell_ended)):
            with suppress(ValueError):  # not registered
                shell.events.unregister(event, function)
            if register:
                shell.events.register(event, function)

    # Updates

    def replica_changed(self, pages: BitMap | None) -> None:
        """Record an event, and send an update unless the last one is less than ``PAUSE_S`` old.

        Nothing is sent while a message is being made: the answer to that one brings this event too.
        """
        self.record_event(pages)
        self._dirty = True
        if time.monotonic() - self._sent_s < PAUSE_S or not self.lock.acquire(blocking=False):
            return
        try:
            self._send_update()
        finally:
            self.lock.release()

    def _send_update(self) -> None:
        if self.views and self._unanswered < UNANSWERED_MAX:
            self._dirty = False
            message = self.update_message()
            if message is None and self._needs_look:
                message = ({"type": "moved"}, ())  # for its answer
            if message is not None:
                self._post(*message)

    @property
    def _needs_look(self) -> bool:
        """Whether a pull came since the last :meth:`look_message`, whoever made it."""
        return self.replica.metadata.revision != self._revision

    def _ready(self, _content: Content) -> None:
        self._unanswered = 0
        if self._needs_look and not self.db.closed:
            self._post_look()
        elif self._dirty:
            self._send_update()

    def _post(self, message: Content, buffers: Sequence[bytes] = ()) -> None:
        self._sent_s = time.monotonic()
        self._unanswered += 1
        self.send(message, list(buffers))

    def look_again(self) -> None:
        """Send :meth:`look_message`, and renew the snapshot."""
        if self.db.closed or not self.has_changed():
            return
        with self.lock:
            self._post_look()
        self._renew_snapshot()

    def _post_look(self) -> None:
        self._dirty, self._revision = False, self.replica.metadata.revision
        with closing(self.db.sibling()) as db:
            message = self.look_message(db)
        if message is not None:
            self._post(*message)

    def _cell_begins(self, *_: object) -> None:
        self.cell_began()

    def _cell_ended(self, *_: object) -> None:
        with suppress(*EXPECTED):  # nobody asked in this cell; the view's next question is answered
            self.look_again()

    # Work

    @property
    def doing(self) -> str:
        """The name of the work in a thread, or empty."""
        return self._work.name if self._work else ""

    def work(self, name: str, do: Callable[[Connection], str], *, quiet: bool = False) -> None:
        """Do something long on a sibling in a thread, one thing at a time; what it returns is told.

        ``quiet``: nobody asked for it, and what was told before stays unless it returns something. What a
        user asks for meanwhile comes after it.
        """
        if self._work is not None:
            if self._work.quiet and not quiet and self._next is None:
                self._next = name, do
                self.tell(f"{name} …")
                return
            self.tell(f"{name}: {self._work.name} is not done yet", failed=True)
            return
        self._work = _Work(name, self.db.sibling(), quiet=quiet)
        self.tell(None if quiet else f"{name} …")
        run = partial(self._context.copy().run, self._run, self._work, do)
        threading.Thread(target=run, name=f"turso-sync-nb {name}", daemon=True).start()

    def _run(self, work: _Work, do: Callable[[Connection], str]) -> None:
        failed, state = True, self.state()
        try:
            text, failed = do(work.db), False
        except (StoppedError, apsw.InterruptError):
            text = f"{work.name}: stopped"
        except EXPECTED as error:
            text = line_of(error)
        finally:
            work.db.close()
            with self.lock:
                self._work = None
                following, self._next = self._next, None
        if following is None:
            self.tell(text if text or not work.quiet else None, failed=failed)
        else:
            try:
                with self.lock:
                    self.work(*following)
            except EXPECTED as error:
                self.tell(line_of(error), failed=True)
        with suppress(*EXPECTED):
            self.work_ended()
        others = _SHOWN.of(self.replica) if self.state() != state else ()
        for widget in (self, *(each for each in others if each is not self)):
            with suppress(*EXPECTED):
                widget.look_again()

    def work_ended(self) -> None:
        """Start what was requested while the work ended; called in its thread."""

    def state(self) -> tuple[object, ...]:
        """Return what differs after anything was written, pulled or pushed."""
        log = self.replica.folder.wal
        written = (log.stat().st_size, log.stat().st_mtime_ns) if log.exists() else None
        return self.replica.metadata.revision, written, len(self.replica.pushed_log.pushed)

    def cancel(self) -> None:
        """Stop what is being done; nothing when nothing is."""
        self._next = None
        if self._work is not None:
            self._work.db.interrupt()


class _Work:
    """Work that runs in a thread."""

    def __init__(self, name: str, db: Connection, *, quiet: bool) -> None:
        self.name = name
        self.db = db
        self.quiet = quiet


def line_of(error: BaseException) -> str:
    """Return an error as one line: what it says, or its kind where that is nothing."""
    return " ".join(str(error).split()) or type(error).__name__
