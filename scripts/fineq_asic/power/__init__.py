"""Power from Liberty tables and activity, and beside other tools."""
