"""The folded convolutions compute what PyTorch's compute, forwards and backwards."""

import pytest
import torch
from torch import nn

from fracture_vae.networks.folded import FoldedConvolution, FoldedTransposedConvolution

PAIRS = [
    (nn.Conv2d, FoldedConvolution),
    (nn.Conv3d, FoldedConvolution),
    (nn.ConvTranspose2d, FoldedTransposedConvolution),
    (nn.ConvTranspose3d, FoldedTransposedConvolution),
]


@pytest.mark.parametrize(("plain", "folded"), PAIRS)
@pytest.mark.parametrize("channels", [(1, 3), (2, 5), (5, 2), (3, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_output_and_gradients_equal_the_plain_convolution_s(
    plain: type[nn.Module], folded: type[nn.Module], channels: tuple[int, int], bias: bool
) -> None:
    torch.manual_seed(0)
    convolution = plain(*channels, kernel_size=4, stride=2, padding=1, bias=bias).double()
    dims = convolution.weight.dim() - 2
    x = torch.randn(2, channels[0], *(4, 6, 8)[:dims], dtype=torch.double)
    weighing = torch.randn_like(convolution(x))

    def found(module: nn.Module) -> list[torch.Tensor]:
        given = x.clone().requires_grad_()
        out = module(given)
        return [out, *torch.autograd.grad((out * weighing).sum(), [given, *convolution.parameters()])]

    for ours, theirs in zip(found(folded(convolution)), found(convolution), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=0)


@pytest.mark.parametrize(("plain", "folded"), PAIRS)
def test_a_state_dict_does_not_tell_them_apart(plain: type[nn.Module], folded: type[nn.Module]) -> None:
    convolution = plain(1, 2, kernel_size=4, stride=2, padding=1)
    assert {name: value.data_ptr() for name, value in folded(convolution).state_dict().items()} == {
        name: value.data_ptr() for name, value in convolution.state_dict().items()
    }


def test_another_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kernel of \(3, 3, 3\) does not fold"):
        FoldedConvolution(nn.Conv3d(1, 2, kernel_size=3, stride=2, padding=1))
