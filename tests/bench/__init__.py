"""Tests of L{bench}, where it is pure."""
