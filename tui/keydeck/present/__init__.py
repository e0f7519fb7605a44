"""From state to text: what a person reads. Pure, and without any screen library."""
