"""Fixtures of the packages' tests: processes that end with their test."""

from tests.acceptance.conftest import launch

__all__ = ["launch"]
