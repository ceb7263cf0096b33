"""What is shipped: wheel, editable install, units, project files."""
