import numpy as np
import pytest

from rnncli.system.randomness import draw_seed, stream


def raw(*name):
    return stream(*name).bit_generator.random_raw(3).tolist()


def test_streams_keep_their_bits_for_ever():
    """A checkpoint stores the address of a stream: if the bits at an address changed, a resumed run would differ."""
    assert raw(1, "order", 0) == [18022209744418484837, 8508796070569097069, 13070524573997053642]
    assert raw(2**32 - 1, "dropout", 12, 3) == [9162722019032819636, 3462094537367146594, 17058245262578381738]
    assert stream(0, "initialisation").random(2).tolist() == [0.6884044039998767, 0.7065296311572212]


def test_every_part_of_the_address_matters():
    names = [(1, "order"), (2, "order"), (1, "dropout"), (1, "order", 0), (1, "order", 1), (1, "order", 0, 0)]
    names += [(1, "order", 1, 23), (1, "order", 12, 3), (1, "order1"), (-1, "order")]
    assert len({tuple(raw(*name)) for name in names}) == len(names)


def test_streams_of_different_purposes_are_uncorrelated():
    rows = np.array([stream(1, purpose, i).standard_normal(4000) for purpose in ("order", "dropout") for i in range(8)])
    between = np.corrcoef(rows)[~np.eye(16, dtype=bool)]
    assert abs(between).max() < 5 / np.sqrt(4000)


def test_numpy_integers_are_accepted_and_floats_refused():
    assert raw(np.int64(7), "order", np.uint8(2)) == raw(7, "order", 2)
    with pytest.raises(TypeError):
        stream(1, "order", 1.0)  # type: ignore[arg-type]


def test_drawn_seeds_are_short_and_differ():
    seeds = [draw_seed() for _ in range(100)]
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert len(set(seeds)) > 90
