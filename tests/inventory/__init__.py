"""Tests of what exists beside the rules."""
