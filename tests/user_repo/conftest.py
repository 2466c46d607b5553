"""shop/ is a user's repository: its tests run there, not here."""

collect_ignore = ["shop"]
