"""The compiled kernel of tree attention against attention under a dense mask."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_models import CPU, encode, lora_model, tiny_spec
from torch import Tensor

from t2s.data.pack import shared_pack
from t2s.errors import ConfigError
from t2s.model.kernel import TreeKernel, cxx, load_kernel
from t2s.model.lora import trainable
from t2s.model.module import pack_loss
from t2s.model.tree import attend_tree, tree_mask, use_kernel

pytestmark = pytest.mark.skipif(cxx() is None, reason="no C++ compiler")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> TreeKernel:
    return load_kernel(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest, kernel: TreeKernel) -> torch.dtype:
    kind: torch.dtype = request.param
    if not kernel.can(torch.empty(1, 1, 1, 16, dtype=kind)):
        pytest.skip("this processor does not multiply bfloat16 numbers")
    return kind


# What rounding may change, as a share: float32 has 24 binary digits, bfloat16 eight.
ROUNDING = {torch.float32: 3e-6, torch.bfloat16: 1e-2}


@pytest.fixture(autouse=True)
def no_kernel_left() -> Iterator[None]:
    yield
    use_kernel(None)


def relative(value: Tensor, expected: Tensor) -> float:
    return float((value.detach().float() - expected.detach().float()).norm() / expected.detach().float().norm())


def tensors(dtype: torch.dtype, layout: list[int], heads: int, kv_heads: int, width: int) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    tokens = sum(map(abs, layout))
    q, k, v, upstream = (torch.randn(1, tokens, h, width).to(dtype).transpose(1, 2) for h in (heads, kv_heads, kv_heads, heads))
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_(), upstream


def with_gradients(out: Tensor, q: Tensor, k: Tensor, v: Tensor, upstream: Tensor) -> tuple[Tensor, ...]:
    return (out.detach(), *torch.autograd.grad(out, (q, k, v), upstream))


@pytest.mark.parametrize(
    "layout",
    [
        [2, 40],
        [17],
        [7, 3],
        [1, 1, 1, 1],
        [40, 5, 17, 2, 9, 64, 1],
        [64, *range(1, 20)],
        [300, 150, 5, 260],
        [129, 65, 63, 16, 32],
        [40, 5, 17, -30, 9, 70, -1, 1],
    ],
    ids=str,
)
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(4, 4, 64), (9, 3, 64), (8, 1, 16), (2, 1, 128), (2, 1, 96), (1, 1, 256)])
def test_output_and_gradients_equal_a_dense_mask(
    kernel: TreeKernel, dtype: torch.dtype, layout: list[int], heads: int, kv_heads: int, width: int
) -> None:
    """The oracle is float64 on the same inputs."""
    q, k, v, upstream = tensors(dtype, layout, heads, kv_heads, width)
    use_kernel(kernel)
    ours = with_gradients(attend_tree(q, k, v, torch.tensor(layout), None), q, k, v, upstream)
    q, k, v = (x.detach().double().requires_grad_() for x in (q, k, v))
    dense = F.scaled_dot_product_attention(q, k, v, attn_mask=tree_mask(torch.tensor(layout), CPU), enable_gqa=True)
    for got, expected in zip(ours, with_gradients(dense, q, k, v, upstream.double()), strict=True):
        assert float((got.double() - expected).norm()) < ROUNDING[dtype] * max(1.0, float(expected.norm()))


def test_scores_far_apart_stay_finite(kernel: TreeKernel, dtype: torch.dtype) -> None:
    q, k, v, upstream = tensors(dtype, [200, 90, 40], 3, 1, 64)
    use_kernel(kernel)
    results = with_gradients(attend_tree(q * 200, k, v, torch.tensor([200, 90, 40]), None), q, k, v, upstream)
    assert all(bool(x.isfinite().all()) for x in results)
    weights = torch.softmax((q * 200).float()[0, 0, :200] @ k.float()[0, 0, :200].T / 8 + torch.full((200, 200), -torch.inf).triu(1), -1)
    assert relative(results[0][0, 0, :200], weights @ v.float()[0, 0, :200]) < ROUNDING[dtype]


def test_any_strides_are_read(kernel: TreeKernel, dtype: torch.dtype) -> None:
    layout = torch.tensor([30, 20, 10])
    q, k, v, upstream = tensors(dtype, [30, 20, 10], 4, 2, 64)
    use_kernel(kernel)
    expected = with_gradients(attend_tree(q, k, v, layout, None), q, k, v, upstream)
    odd = [x.detach().contiguous().transpose(2, 3).contiguous().transpose(2, 3).requires_grad_() for x in (q, k, v)]
    got = with_gradients(attend_tree(*odd, layout, None), *odd, upstream.contiguous())
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_one_figure_at_every_run(kernel: TreeKernel, dtype: torch.dtype) -> None:
    layout = [300, 150, 5, 260]
    q, k, v, upstream = tensors(dtype, layout, 9, 3, 64)
    use_kernel(kernel)
    first, *others = (with_gradients(attend_tree(q, k, v, torch.tensor(layout), None), q, k, v, upstream) for _ in range(5))
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_model_gets_the_same_gradients_from_it(
    kernel: TreeKernel, dtype: torch.dtype, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = lora_model(tiny_spec(architecture))
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)  # as the base is held
    pack = shared_pack(encode(tokenizer))
    calls: list[TreeKernel] = []
    compute = TreeKernel.backward
    monkeypatch.setattr(TreeKernel, "backward", lambda self, *tensors: (calls.append(self), compute(self, *tensors)))

    def gradients() -> tuple[float, Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            loss = pack_loss(model, pack)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item(), torch.cat([p.grad.flatten() for p in trainable(model).values() if p.grad is not None]).clone()

    expected_loss, expected = gradients()
    assert not calls
    use_kernel(kernel)
    loss, got = gradients()
    assert len(calls) == 2, "once a layer"
    # In bfloat16 the two round in other places.
    loss_share, gradient_share = (1e-6, 1e-5) if dtype == torch.float32 else (2e-3, 0.05)
    assert loss == pytest.approx(expected_loss, rel=loss_share)
    assert relative(got, expected) < gradient_share


def test_it_is_compiled_once_and_starts_at_once_do_not_hurt_each_other(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from t2s.model.kernel import load_kernel; load_kernel(Path(sys.argv[1]))"
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]
    (made,) = tmp_path.iterdir()
    before = made.stat().st_mtime_ns
    load_kernel(tmp_path)
    assert made.stat().st_mtime_ns == before


def test_a_failing_compiler_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "cxx"
    compiler.write_text("#!/bin/sh\necho 'x.cpp:1: fatal error: no such luck' >&2\nexit 1\n", encoding="utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(ConfigError, match="no such luck"):
        load_kernel(tmp_path / "kernels")
    assert not list(tmp_path.rglob("*.so"))
