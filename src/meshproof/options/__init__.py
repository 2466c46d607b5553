"""The options of every command and of pytest: one table, and where their values come from.

A room of its own, before `rules`: annotations have the ranges of the table, and the command must
not import `plugin`, which imports pytest. Everything here is light.
"""
