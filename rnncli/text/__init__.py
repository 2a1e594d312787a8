"""From text files to batches: lines, tokens, a vocabulary, ids, and (T, B) windows of them."""
