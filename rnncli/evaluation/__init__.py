"""Uses of a trained model: the perplexity of a text, the next word, and continuations."""
