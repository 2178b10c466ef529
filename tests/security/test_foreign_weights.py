"""Weights for import that are no dense real numbers of the file: each is refused by its name."""

import warnings
import zipfile

import pytest
import torch

from helpers.limits import memory_for
from helpers.weaver import weaver_golden, without_prefix
from parttag.errors import InputError
from parttag.models.weaver import read_network, read_state_dict

HUGE = 1 << 29  # as float32, 2 GiB


def _quietly(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


UNUSUAL = {
    "expanded": lambda: torch.zeros(1).expand(HUGE),
    "overlapping": lambda: torch.arange(64.0).as_strided((60, 60), (0, 1)),
    "sparse": lambda: torch.zeros(4).to_sparse(),
    "sparse, huge": lambda: torch.sparse_coo_tensor(
        torch.zeros(1, 0, dtype=torch.int64), torch.zeros(0), (HUGE,)
    ),
    "sparse rows": lambda: _quietly(lambda: torch.eye(3).to_sparse_csr()),
    "quantized": lambda: _quietly(
        lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
    ),
    "complex": lambda: torch.zeros(4, dtype=torch.complex64),
    "float8": lambda: torch.zeros(4).to(torch.float8_e4m3fn),
    "meta": lambda: torch.empty(4, device="meta"),
    "meta, huge": lambda: torch.empty(1 << 40, device="meta"),
    "nested": lambda: _quietly(lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
}


@pytest.fixture
def save(tmp_path):
    def write(content):
        path = tmp_path / "weights.pt"
        _quietly(lambda: torch.save(content, path))
        return path

    return write


@pytest.mark.parametrize("kind", UNUSUAL)
def test_a_tensor_that_is_not_dense_real_and_of_the_file_is_refused(kind, save):
    path = save({"mod.fc.0.bias": _quietly(UNUSUAL[kind])})
    assert path.stat().st_size < 5000
    with memory_for(1 << 30), pytest.raises(InputError, match=r"weights\.pt.*mod\.fc\.0\.bias"):
        read_state_dict(path)


def test_many_names_of_one_storage_are_not_many_weights(save):
    storage = torch.zeros(1 << 16)
    path = save({f"blocks.{n}.fc1.weight": storage for n in range(100)})
    with pytest.raises(InputError, match="share their numbers"):
        read_state_dict(path)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_whole_numbers_in_the_place_of_weights_are_refused(dtype, save):
    state = without_prefix(weaver_golden("0.5.3")[0])
    state["norm.weight"] = state["norm.weight"].to(dtype)
    with pytest.raises(InputError, match=r"norm\.weight holds (int64|bool)"):
        read_network(save(state), "kin")


def test_a_compressed_part_is_refused_before_it_is_decompressed(save, tmp_path):
    # torch stores what it writes; a compressed part may be a thousand times its size.
    path = save({"w": torch.zeros(1 << 24)})
    bomb = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert bomb.stat().st_size < 1 << 17
    with memory_for(1 << 28), pytest.raises(InputError, match=r"bomb\.pt.*compressed"):
        read_state_dict(bomb)
