"""Reports and pictures of layouts."""
