"""All tests that SQLAlchemy gives dialects."""

from sqlalchemy.testing.suite import *  # noqa: F403 - its classes are the tests
