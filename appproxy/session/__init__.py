"""Sessions: sealed cookies, records in the store, and the hand-over from the sign-in host."""
