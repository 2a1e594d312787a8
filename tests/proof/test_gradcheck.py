import numpy as np
import pytest
from support.models import architecture

from rnncli.model.cells import CELLS
from rnncli.model.engines import ENGINES
from rnncli.model.outputs import OUTPUTS
from rnncli.proof import gradcheck
from rnncli.proof.gradcheck import TOLERANCE, GradientCheck, check_case, relative_error, small, standard_cases


def test_the_standard_set_is_exact_in_both_engines():
    checks = list(gradcheck.run(standard_cases()))
    assert {(check.engine, check.cell) for check in checks} == {(e, c) for e in ENGINES for c in CELLS}
    assert len({(check.engine, check.cell, check.parameter) for check in checks}) == len(checks)
    assert TOLERANCE["complex"] == 1e-9
    for check in checks:
        assert check.passed, check
        assert check.max_relative_error < 1e-9, check
        assert check.max_absolute_error < 1e-10, check


def test_the_standard_set_has_every_part():
    cases = standard_cases()
    assert len(set(cases)) == len(cases)
    assert {(c.config.cell, c.mode) for c in cases} == {(x, m) for x in CELLS for m in ("sentences", "stream")}
    assert {c.architecture.layers for c in cases} == {1, 2, 3}
    assert {c.architecture.residual for c in cases if c.architecture.layers > 1} == {False, True}
    assert {c.architecture.embedding_size is None for c in cases} == {True, False}
    outputs = {(c.config.output.name, c.config.output.options) for c in cases}
    assert {name for name, _ in outputs} == set(OUTPUTS)
    assert {options.proposal for name, options in outputs if name == "sampled"} == {"log_uniform", "unigram"}
    for output in OUTPUTS:
        assert {c.mode for c in cases if c.config.output.name == output} == {"sentences", "stream"}
    shapes = next(c.architecture.shapes() for c in cases if c.config.output.name == "adaptive")
    assert shapes["output.Wya"] == (5, 4)  # three words, two clusters
    assert (shapes["output.P1"], shapes["output.P2"]) == ((2, 4), (1, 4))


def options_of(name, **options):
    return OUTPUTS[name].Options(**options)


@pytest.mark.parametrize(
    ("output", "options", "small_options"),
    [
        ("full", None, None),
        ("adaptive", options_of("adaptive"), options_of("adaptive", cutoffs=(3, 5))),
        ("adaptive", options_of("adaptive", cutoffs=()), options_of("adaptive", cutoffs=())),
        ("adaptive", options_of("adaptive", cutoffs=(5000,)), options_of("adaptive", cutoffs=(3,))),
        (
            "adaptive",
            options_of("adaptive", cutoffs=(1000, 2000, 3000), div_value=2.5),
            options_of("adaptive", cutoffs=(3, 5), div_value=2.5),
        ),
        ("sampled", options_of("sampled"), options_of("sampled", samples=5)),
        (
            "sampled",
            options_of("sampled", samples=2, proposal="unigram"),
            options_of("sampled", samples=2, proposal="unigram"),
        ),
    ],
)
def test_the_options_of_an_output_layer_are_cut_down_with_the_vocabulary(output, options, small_options):
    case = small("rnn", 1, False, "stream", output, options)
    expected = OUTPUTS[output].Options() if small_options is None else small_options
    assert (case.config.output.name, case.architecture.output_options) == (output, expected)
    assert all(check.passed for engine in ENGINES for check in check_case(case, engine))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", CELLS)
def test_every_parameter_and_every_state_is_checked(cell, engine):
    for layers, embedded, mode, *output in [
        (1, False, "stream"),
        (2, True, "sentences"),
        (1, True, "sentences", "adaptive", options_of("adaptive", cutoffs=(3, 5))),
        (1, False, "stream", "sampled", options_of("sampled", samples=5)),
    ]:
        case = small(cell, layers, embedded, mode, *output)
        checks = check_case(case, engine, "central")
        names = set(case.architecture.shapes()) | {f"state.{name}" for name in case.architecture.state_names()}
        assert {check.parameter for check in checks} == names
        assert {(check.engine, check.cell) for check in checks} == {(engine, cell)}
        assert all(check.passed and 0 < check.max_relative_error < TOLERANCE["central"] for check in checks)
        # A zero derivative would match any error.
        model = gradcheck.random_model(case.architecture, engine, 0)
        total = model.parameters.zeros_like()
        for batch, state in gradcheck.window_loop(model, gradcheck.batches_of(case.architecture, case.mode, 0)):
            total.vector += np.abs(model.backward_(model.forward(batch, state, gradcheck.noise_of(batch)))[0].vector)
        assert all(gradient.any() for _, gradient in total.items())


def test_verdicts_of_several_models_are_merged_to_the_worst():
    cases = [small("rnn", 1, False, "stream"), small("rnn", 1, True, "stream")]
    merged = {check.parameter: check for check in gradcheck.run(cases) if check.engine == "fused"}
    alone = [check for case in cases for check in check_case(case, "fused")]
    assert set(merged) == {check.parameter for check in alone}
    for name, check in merged.items():
        assert check.max_relative_error == max(c.max_relative_error for c in alone if c.parameter == name)
        assert check.max_absolute_error == max(c.max_absolute_error for c in alone if c.parameter == name)
    good, bad = (
        GradientCheck("fused", "rnn", "w", 1e-12, 1e-12, True),
        GradientCheck("fused", "rnn", "w", np.nan, np.nan, False),
    )
    for worse in (good.worse(bad), bad.worse(good)):
        assert not worse.passed
        assert np.isnan(worse.max_relative_error)
        assert np.isnan(worse.max_absolute_error)


def test_relative_error_by_hand():
    a = np.array([1.0, 2.0, 0.0, 1e-9, -4.0])
    n = np.array([1.0, 2.5, 0.0, -1e-9, 4.0])
    # floor: 1e-5 of 4 for the elements below it
    np.testing.assert_allclose(relative_error(a, n), [0, 0.5 / 2.5, 0, 2e-9 / 4e-5, 8 / 4], rtol=1e-12)
    np.testing.assert_array_equal(relative_error(n, a), relative_error(a, n))
    np.testing.assert_array_equal(relative_error(np.zeros((2, 2)), np.zeros((2, 2))), np.zeros((2, 2)))
    np.testing.assert_array_equal(relative_error(np.zeros(2), np.array([0, 1e-30])), [0, 1])
    assert relative_error(np.array([[3e-5, 1.0]]), np.array([[2e-5, 1.0]]))[0, 0] == pytest.approx(1 / 3)


def test_a_gradient_that_is_not_a_number_does_not_pass(monkeypatch):
    error = relative_error(np.array([1.0, np.nan, 0.0]), np.array([1.0, 2.0, 0.0]))
    assert np.isnan(error[1])
    assert np.isnan(error.max())
    case = small("rnn", 1, False, "stream")
    assert all(check.passed for check in check_case(case, "fused"))
    monkeypatch.setattr(gradcheck, "_derivative", lambda value, x, method: np.full(x.shape, np.nan))
    for check in check_case(case, "fused"):
        assert not check.passed
        assert np.isnan(check.max_relative_error)


@pytest.mark.parametrize("method", TOLERANCE)
def test_a_gradient_that_is_a_little_wrong_does_not_pass(method, monkeypatch):
    """One element of one tensor is wrong by a thousandth: only that tensor fails."""
    exact = gradcheck._derivative

    def off(value, x, how):
        derivative = exact(value, x, how)
        if derivative.shape == (7,):  # output.by
            derivative[np.abs(derivative).argmax()] *= 1.001
        return derivative

    monkeypatch.setattr(gradcheck, "_derivative", off)
    checks = check_case(small("rnn", 1, False, "stream"), "fused", method)
    assert {check.parameter for check in checks if not check.passed} == {"output.by"}


@pytest.mark.parametrize("seed", [0, 1, 5])
@pytest.mark.parametrize("embedded", [False, True])
def test_the_text_has_pads_a_column_of_pads_an_empty_sentence_and_carried_states(embedded, seed):
    for mode in ("sentences", "stream"):
        case = small("lstm", 2, embedded, mode)
        batches = gradcheck.batches_of(case.architecture, case.mode, seed)
        masked = [batch for batch in batches if batch.mask is not None]
        assert masked
        assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)
        assert len(batches) > 1
        model = gradcheck.random_model(case.architecture, "fused", seed)
        states = [state for _, state in gradcheck.window_loop(model, batches)]
        assert not any(array.any() for layer in states[0] for array in layer)
        assert all(array.any() for state in states[1:] for layer in state for array in layer)
        if mode == "sentences":
            assert any(not batch.mask.any(axis=0).all() for batch in masked)
            first = batches[0]
            lengths = first.mask.sum(axis=0)
            assert any(lengths[b] == 1 and first.targets[0, b] == 0 for b in range(len(lengths)))  # an empty sentence
            assert (first.inputs[0] == 0).all()
        else:
            assert len(batches) > 2  # carried twice


def test_every_parameter_of_the_model_that_is_checked_is_away_from_zero():
    made = architecture(7, "gru", 2, 4, 3)
    vector = gradcheck.random_model(made, "fused", 0).parameters.vector
    assert vector.dtype == np.float64
    assert (vector != 0).all()
    assert np.abs(vector).max() <= 0.7
