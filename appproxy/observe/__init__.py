"""What a daemon tells of itself: logs, metrics, and notices to the service manager."""
