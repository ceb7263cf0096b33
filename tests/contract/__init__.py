"""What the proxy as a whole promises, whatever parts it is put together from."""
