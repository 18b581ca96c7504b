"""The dialect suite that SQLAlchemy ships, run by ``tests/connection/test_dialect.py``."""

from sqlalchemy.testing.suite import *  # noqa: F403 - a suite is collected by its names
