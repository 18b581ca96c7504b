"""The replica's folder on disk: names, lock, metadata, durable writes.

| file | holds |
| --- | --- |
| ``folder.py`` | the replica folder and the names in it |
| ``durable.py`` | one durable write: temporary file, fsync, rename, fsync of the folder |
| ``lock.py`` | which process owns a folder |
| ``metadata.py`` | what is in force: revision, size, phase |
| ``scratch.py`` | private folders in the temporary folder |
| ``write_behind.py`` | a file written to disk while more of it arrives |
| ``signals.py`` | defer SIGINT until a critical section ends |
| ``failpoints.py`` | named places where a test ends the process |
"""
