"""Screens: each puts widgets together and owns cursor and filter."""
