"""
The project's measurements, side by side with its peers: see C{bench/README.md}.
"""
