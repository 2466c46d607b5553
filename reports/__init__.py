"""One writer per report format; all read the run record."""
