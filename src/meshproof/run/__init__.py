"""The record of a run, which every report lays out."""
