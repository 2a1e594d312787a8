"""All values of encoded texts, for comparison with `==`."""


def facts(corpus):
    arrays = [corpus.ids, corpus.line_starts, corpus.oov_positions]
    return [
        *((array.dtype, array.tolist()) for array in arrays),
        dict(corpus.outside),
        *(corpus.characters, corpus.sha256, corpus.files),
    ]


def all_of(texts):
    vocabulary = texts.vocabulary
    return [vocabulary.words, vocabulary.counts.tolist(), {name: facts(each) for name, each in texts.named().items()}]
