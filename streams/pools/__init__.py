"""Pools: several instances behind one port, so that a bad one costs nothing."""
