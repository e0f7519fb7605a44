"""A home that is not real: invented keys, and a small process that does to them what agents do."""
