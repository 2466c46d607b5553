"""What every check needs: documents, findings, output."""
