"""Reports and pictures of synthesis."""
