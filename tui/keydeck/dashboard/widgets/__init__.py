"""Widgets: each is given what to draw and knows nothing of stores, clocks or screens."""
