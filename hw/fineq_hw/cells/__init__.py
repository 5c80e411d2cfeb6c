"""Small circuits written cell by cell: selectors, storage, adder trees."""
