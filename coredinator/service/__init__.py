"""One supervised service, whatever its kind."""
