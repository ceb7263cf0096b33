"""The tests: one folder for each folder of the package, and `integration` for real servers."""
