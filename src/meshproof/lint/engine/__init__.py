"""What every check works with: the input, the project, findings, output."""
