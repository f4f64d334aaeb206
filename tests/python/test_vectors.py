"""Holds an implementation of mHC to a vector file: VECTORS=FILE.h5 MHC=your_module pytest test_vectors.py"""
import importlib, os, sys

import h5py
import numpy
import pytest

sys.path.insert(0, os.getcwd())  # before this file's folder, which holds another mhc_numpy
implementation = importlib.import_module(os.environ["MHC"])
cases = h5py.File(os.environ["VECTORS"], "r")["cases"]


@pytest.mark.parametrize("name", [name for name in cases if cases[name].attrs["op"] == "mhc"])
def test_vector(name):
    about, inputs = dict(cases[name].attrs), {k: v[()] for k, v in cases[name]["in"].items()}
    got, wrong = implementation.mhc(about, **inputs), []  # a dictionary with the names of out/
    for key, dataset in cases[name]["out"].items():
        want, value = dataset[()], numpy.asarray(got[key], dtype=numpy.float64)
        assert value.shape == want.shape, f"{key} has the shape {value.shape} instead of {want.shape}"
        error, tolerance = abs(value - want), max(about["atol"], about["rtol"] * abs(want).max())
        at = numpy.unravel_index(error.argmax(), error.shape)
        if not error[at] <= tolerance:
            wrong.append(f"{key}{list(map(int, at))} is {value[at]}, and not {want[at]} +- {tolerance}")
    assert not wrong, f"{implementation.__file__}: {len(wrong)} arrays are wrong:\n" + "\n".join(wrong)
