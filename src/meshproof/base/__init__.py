"""What every room stands on: errors, names, files, signals, timeouts and waiting."""
