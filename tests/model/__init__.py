"""The pure data that every folder shares."""
