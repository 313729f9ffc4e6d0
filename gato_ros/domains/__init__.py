"""Worlds to act in, each behind the one protocol of domain.py; registry.py finds them by name."""
