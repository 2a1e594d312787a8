"""Training: optimizer steps, the loop over epochs, divergence checks, and saving."""
