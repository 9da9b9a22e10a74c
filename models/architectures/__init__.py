"""One file for each family of architectures; `models.read` imports the one that a file needs."""
