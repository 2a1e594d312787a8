"""Training: one optimizer step, the loop over epochs, and what keeps a run from harm."""
