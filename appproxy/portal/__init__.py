"""The user's start page: a tile for each application that may be opened."""
