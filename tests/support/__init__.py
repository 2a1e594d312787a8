"""What several tests start from, and what they compare with."""
