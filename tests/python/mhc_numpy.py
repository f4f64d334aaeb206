"""mHC in NumPy, forward and backward, for test_vectors.py; with WRONG=<one of FAULTS> wrong as public ports were.

Arrays and their meaning: results/VECTORS.md. One site, T tokens: u = pre x, x_next = res x + post y. Here pre, post
and res are made of logits = alpha (x phi) / r + b.
"""
import os

import numpy as np

FAULTS = ("transposed", "rows_first", "post_without_2", "post_unscaled", "eps_swapped", "eps_outside", "max_constant")
WRONG = os.environ.get("WRONG", "")
assert WRONG in ("",) + FAULTS, WRONG

DESTINATION, SOURCE = 1, 2  # axes of a map [T][n][n]


def sigmoid(z):
    return np.exp(-np.logaddexp(0, -z))


def sinkhorn(logits, t_max, eps):
    """Maps of logits [T][n][n], destination first, and what the backward needs: one (axis, result, divisor) per step."""
    first, second = (SOURCE, DESTINATION) if WRONG == "rows_first" else (DESTINATION, SOURCE)
    shift_over = SOURCE if WRONG == "max_constant" else first  # each source's largest goes away in its own softmax
    power = np.exp(logits - logits.max(shift_over, keepdims=True))
    softmax = power / power.sum(first, keepdims=True)
    steps, m = [], softmax + eps
    for axis in ([second] + (t_max - 1) * [first, second]):
        divisor = m.sum(axis, keepdims=True) + eps
        m = m / divisor
        steps.append((axis, m, divisor))
    return m, (first, softmax, steps)


def sinkhorn_backward(grad, kept):
    first, softmax, steps = kept
    for axis, m, divisor in reversed(steps):
        grad = (grad - (grad * m).sum(axis, keepdims=True)) / divisor
    return softmax * (grad - (grad * softmax).sum(first, keepdims=True))


def mhc(about, x, phi, b, alpha, y, grad_x_next, grad_u):
    T, n, C = x.shape
    v4 = about["convention"] == "v4"
    norm_eps, eps = about["rms_eps"], about["sinkhorn_eps"] if v4 else 0.0
    if WRONG == "eps_swapped":
        norm_eps, eps = about["sinkhorn_eps"], about["rms_eps"] if v4 else 0.0
    flat, part = x.reshape(T, n * C), np.repeat([0, 1, 2], [n, n, n * n])

    square = (flat**2).mean(1, keepdims=True)
    r = np.sqrt(square) + norm_eps if WRONG == "eps_outside" else np.sqrt(square + norm_eps)
    product = flat @ phi / r
    logits = alpha[part] * product + b
    gate = sigmoid(logits[:, : 2 * n])
    two = 1 if WRONG == "post_without_2" else 2
    pre, post = gate[:, :n] + eps, two * gate[:, n:]
    matrix = logits[:, 2 * n :].reshape(T, n, n)
    res, kept = sinkhorn(matrix.transpose(0, 2, 1) if v4 else matrix, int(about["t_max"]), eps)

    weight = np.ones_like(post) if WRONG == "post_unscaled" else post
    mix = "tji,tjc->tic" if WRONG == "transposed" else "tij,tjc->tic"
    mix_back = "tij,tjc->tic" if WRONG == "transposed" else "tji,tjc->tic"
    out = {"pre": pre, "post": post, "res": res}
    out["u"] = np.einsum("ti,tic->tc", pre, x)
    out["x_next"] = np.einsum(mix, res, x) + weight[:, :, None] * y[:, None, :]

    # Backward of <grad_x_next, x_next> + <grad_u, u>; y is independent.
    out["grad_y"] = np.einsum("ti,tic->tc", weight, grad_x_next)
    grad_pre = np.einsum("tc,tic->ti", grad_u, x)
    grad_post = np.einsum("tic,tc->ti", grad_x_next, y) * (WRONG != "post_unscaled")
    grad_res = np.einsum("tic,tjc->tij", grad_x_next, x)
    grad_res = sinkhorn_backward(grad_res.transpose(0, 2, 1) if WRONG == "transposed" else grad_res, kept)
    grad_matrix = grad_res.transpose(0, 2, 1) if v4 else grad_res
    slope = gate * (1 - gate)
    grad_logits = np.concatenate(
        [grad_pre * slope[:, :n], two * grad_post * slope[:, n:], grad_matrix.reshape(T, n * n)], axis=1
    )
    out["grad_b"] = grad_logits.sum(0)
    out["grad_alpha"] = np.bincount(part, (grad_logits * product).sum(0), 3)
    q = alpha[part] * grad_logits / r
    out["grad_phi"] = flat.T @ q
    through_norm = flat * (alpha[part] * grad_logits * product).sum(1, keepdims=True) / (n * C * r**2)
    grad_flat = q @ phi.T - through_norm
    grad_direct = np.einsum(mix_back, res, grad_x_next) + pre[:, :, None] * grad_u[:, None, :]
    out["grad_x"] = grad_direct + grad_flat.reshape(x.shape)
    return out
