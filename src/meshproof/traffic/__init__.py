"""Requests, their responses, and who sent each of them."""
