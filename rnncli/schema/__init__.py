"""What a setting may be, and how written values become dataclasses, with every fault listed."""
