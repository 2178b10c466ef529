"""Four-momenta for tests of kinematics."""

import torch


def massive_particles(count: int = 50, seed: int = 0) -> torch.Tensor:
    """Return particles of mass 0.1 to 5 GeV in every direction, in float64."""
    generator = torch.Generator().manual_seed(seed)
    double = {"generator": generator, "dtype": torch.float64}
    momenta = torch.randn(count, 3, **double) * 20
    mass = 0.1 + 5 * torch.rand(count, 1, **double)
    return torch.cat([momenta, (momenta.square().sum(1, keepdim=True) + mass**2).sqrt()], dim=1)
