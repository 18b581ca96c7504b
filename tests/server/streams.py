"""A client of streams over several bodies, as plain as can be."""

from __future__ import annotations

import json

from asking import post, sql

CLOSE = {"type": "close"}


class Stream:
    """One stream: each body carries the baton that the last answer gave."""

    def __init__(self, url, version="v2", **options):
        self.url, self.path, self.baton, self.options = url, f"/{version}/pipeline", None, options

    def send(self, *requests):
        """Return the results of one body, which must be answered."""
        response = self.post(*requests)
        assert response.status_code == 200, response.text
        body = response.json()
        self.baton = body["baton"]
        assert len(body["results"]) == len(requests)
        return body["results"]

    def post(self, *requests):
        """Return the answer to one body, whatever it is."""
        return post(self.url, self.path, json={"baton": self.baton, "requests": requests}, **self.options)


def kinds(results):
    """Return the type of each result."""
    return [result["type"] for result in results]


def cursor(url, *steps, baton=None):
    """Return the first line and the entries of a cursor; a step is a text, or a text and its condition."""
    made = [
        {"stmt": {"sql": step}} if isinstance(step, str) else {"stmt": {"sql": step[0]}, "condition": step[1]}
        for step in steps
    ]
    response = post(url, "/v3/cursor", json={"baton": baton, "batch": {"steps": made}})
    assert response.status_code == 200, response.text
    head, *entries = map(json.loads, response.text.splitlines())
    return head, entries


def values(url, text):
    """Return the values of one query, on a stream of its own."""
    return [tuple(cell.get("value") for cell in row) for row in sql(url, text)["rows"]]
