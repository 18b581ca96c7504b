"""The sync engine, one verb a file; each takes what it touches and returns a frozen report.

| file | verb |
| --- | --- |
| ``remote.py`` | what the engine needs of a remote, declared and not implemented |
| ``fetch.py`` | pages of one revision, all that were asked for or an error |
| ``bootstrap.py`` | the first pages of a new replica, resumable |
| ``ensure.py`` | the pages that one query touches |
| ``replica.py`` | a replica folder while this process owns it |
| ``export.py`` | a plain SQLite file for other tools |
| ``reports.py`` | what the verbs return |

Nothing here knows HTTP: a remote arrives as an argument.
"""
