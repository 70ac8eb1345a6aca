"""Servers that speak the vendors' own protocols on the loopback interface."""
