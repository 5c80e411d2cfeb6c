"""Reports: every table, plot and page that the project makes, and the commands that make them."""
