"""What a trained model is asked: the perplexity of a text, and what comes next."""
