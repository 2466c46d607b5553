"""One model of routing, read from several dialects."""
