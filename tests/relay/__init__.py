"""Tests of the relay: principals, brokers, hubs, and relays of their own between edges and connectors."""
