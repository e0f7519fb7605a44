"""A home that is not real: invented keys with a past, and agents that work with them."""
