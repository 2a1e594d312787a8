"""The course's equations, one time step at a time, with the course's names and shapes: the oracle for the fast code.

To be read together with notebooks 000 to 004; their errors are corrected (docs/errata.md). Arrays are (n_x, m) for a
step and (n_x, m, T_x) for a sequence. A backward function takes the cache that its forward function returned. No
function modifies its arguments, and all accept any dtype, also complex numbers for complex-step derivatives.

A training step with this package alone:

    a, y_pred, caches = rnn_forward(x, a0, parameters)
    cost = cross_entropy_cost(y_pred, y, mask)
    output = output_backward(a, y_pred, y, parameters, mask)
    gradients = rnn_backward(output["da"], caches) | output
    parameters, v, s = update_parameters_with_adam(parameters, gradients, v, s, t)
"""

from rnncli.reference.adam import initialize_adam, update_parameters_with_adam
from rnncli.reference.adaptive import adaptive_output_backward, adaptive_output_forward
from rnncli.reference.cost import cross_entropy_backward, cross_entropy_cost
from rnncli.reference.data import END, FRUIT_SENTENCES, PreparedSentences, build_vocabulary, prepare_sentences
from rnncli.reference.functional import sigmoid, softmax
from rnncli.reference.gru import gru_backward, gru_cell_backward, gru_cell_forward, gru_forward
from rnncli.reference.lstm import lstm_backward, lstm_cell_backward, lstm_cell_forward, lstm_forward
from rnncli.reference.names import H_NAMES, from_h_names, to_h_names
from rnncli.reference.output import output_backward, output_forward
from rnncli.reference.rnn import rnn_backward, rnn_cell_backward, rnn_cell_forward, rnn_forward
from rnncli.reference.sampled import (
    draw_words,
    log_uniform_proposal,
    sampled_output_backward,
    sampled_output_forward,
    unigram_proposal,
)
from rnncli.reference.simple_gru import (
    simple_gru_backward,
    simple_gru_cell_backward,
    simple_gru_cell_forward,
    simple_gru_forward,
)

__all__ = [
    "END",
    "FRUIT_SENTENCES",
    "H_NAMES",
    "PreparedSentences",
    "adaptive_output_backward",
    "adaptive_output_forward",
    "build_vocabulary",
    "cross_entropy_backward",
    "cross_entropy_cost",
    "draw_words",
    "from_h_names",
    "gru_backward",
    "gru_cell_backward",
    "gru_cell_forward",
    "gru_forward",
    "initialize_adam",
    "log_uniform_proposal",
    "lstm_backward",
    "lstm_cell_backward",
    "lstm_cell_forward",
    "lstm_forward",
    "output_backward",
    "output_forward",
    "prepare_sentences",
    "rnn_backward",
    "rnn_cell_backward",
    "rnn_cell_forward",
    "rnn_forward",
    "sampled_output_backward",
    "sampled_output_forward",
    "sigmoid",
    "simple_gru_backward",
    "simple_gru_cell_backward",
    "simple_gru_cell_forward",
    "simple_gru_forward",
    "softmax",
    "to_h_names",
    "unigram_proposal",
    "update_parameters_with_adam",
]
