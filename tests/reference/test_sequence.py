"""The loop over time: what a cell is given at each step."""

import numpy as np
import pytest

from rnncli.reference.sequence import forward_over_time

STATE = np.arange(12.0).reshape(3, 4)
LAYOUTS = {
    "C order": STATE,
    "Fortran order": np.asfortranarray(STATE),
    "the last step of a sequence": np.stack([-STATE, STATE], axis=2)[:, :, -1],
    "every second column": np.repeat(STATE, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("state", LAYOUTS.values(), ids=LAYOUTS)
def test_the_first_step_is_given_its_state_as_a_later_one_is(state):
    """A product may round differently for other strides, and two windows would differ from one."""
    given = []

    def cell_forward(xt, a_prev, parameters):
        given.append(a_prev)
        return a_prev + xt, None, None

    forward_over_time(cell_forward, np.ones((3, 4, 2)), (state,), {})
    assert [a_prev.strides for a_prev in given] == [STATE.strides] * 2
    np.testing.assert_array_equal(given[0], STATE)
