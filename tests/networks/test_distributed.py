"""Two processes train one codebook: the same on both, and the one a single process would have made."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from fracture_vae.networks import VQVAE, VectorQuantizer, VQVAEConfig, build_quantizer

needs_gloo = pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch without gloo")


def _codebook_on_a_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.manual_seed(rank)
    vectors = torch.load(f"{folder}/vectors.pt", weights_only=True)
    quantizer = VectorQuantizer(8, 3, restart_after=0)
    quantizer.initialise(vectors[:50] + rank)  # rank 1's are not used
    start = quantizer.codebook.clone()
    quantizer(vectors[100 * rank : 100 * (rank + 1)].T[None])
    usage = quantizer.usage()

    network = VQVAE(VQVAEConfig(channels=(4, 8)), build_quantizer("vq", num_codes=64, dim=4, restart_after=8))
    parallel = DistributedDataParallel(network)
    seen = []
    for step in range(4):
        parallel(torch.rand(1 + (rank + step) % 2, 1, 16, 16, 16)).sum().backward()  # ragged batches
        seen.append(network.quantizer.codebook.clone())
    local = network.quantizer.counts.sum().item()
    result = {"start": start, "codebook": quantizer.codebook, "used": usage.used, "books": torch.stack(seen)}
    torch.save({**result, "local": local}, f"{folder}/rank{rank}.pt")
    dist.barrier()
    os._exit(0)  # the group's destructor can wait for ever: it holds the interpreter, which the group's thread wants


@needs_gloo
def test_ranks_share_one_codebook(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(200, 3)
    torch.save(vectors, tmp_path / "vectors.pt")
    mp.spawn(_codebook_on_a_rank, args=(str(tmp_path),), nprocs=2)
    zero, one = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(zero["start"], one["start"])
    single = VectorQuantizer(8, 3, restart_after=0)
    single.codebook.copy_(zero["start"])
    single(vectors.T[None])
    for rank in (zero, one):
        assert torch.allclose(rank["codebook"], single.codebook, atol=1e-6)
        assert rank["used"] == single.usage().used
        assert rank["books"].isfinite().all()
        assert rank["local"] == (1 + 2 + 1 + 2) * 64  # DistributedDataParallel overwrote nobody's counts
    assert torch.equal(zero["books"], one["books"])
    assert (zero["books"][-1] != zero["books"][0]).any(1).float().mean() > 0.5  # restarts came through
