"""Tests of the arithmetic of `headwater size`."""
