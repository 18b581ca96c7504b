"""Speak HTTP to the remote; the only home of httpx.

| file | holds |
| --- | --- |
| ``address.py`` | URLs and tokens, as values or callables, and what of them may be shown |
| ``retry.py`` | when to try again, and after how long |
| ``traffic.py`` | counters |
| ``answers.py`` | statuses and foreign errors, as ours |
| ``redirect.py`` | where a redirect may lead |
| ``compression.py`` | whether pages are asked for compressed |
| ``resolve.py`` | name lookups that Ctrl-C can leave |
| ``in_flight.py`` | requests that another thread can end |
| ``slices.py`` | waits that hear every Ctrl-C |
| ``transport.py`` | a transport of the caller's |
| ``body.py`` | the body of an answer, a long one off its socket |
| ``stream.py`` | several bodies in one transaction |
| ``pull_response.py`` | the pages of one answer |
| ``http.py`` | HttpRemote: the two requests |
| ``legacy.py`` | LegacyRemote: the same, in the legacy protocol |
| ``legacy_answer.py`` | its frames and base files |
"""
