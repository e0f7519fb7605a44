"""Snapshots over time. No Textual here."""
