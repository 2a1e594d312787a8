"""Fixtures and reference results shared by several tests."""
