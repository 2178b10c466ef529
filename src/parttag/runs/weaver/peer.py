"""weaver-core's tensors of some jets: run by an interpreter that has it, alone.

    PEER_PYTHON peer.py DATA.yaml OUT.npz DATA.auto.yaml MOST FILES...

Needs weaver-core, nothing of parttag. Reads the first ``MOST`` jets that the selection leaves, as a
training reads them but without shuffling, and writes every group of inputs, the mask that its name
ends in, labels, weights and the rows of the jets, counted through all files. What is measured
automatically is written to ``DATA.auto.yaml``.
"""

import logging
import sys
from typing import Any


def read(config: str, auto: str, most: int, files: list[str]) -> dict[str, Any]:
    """Return the arrays by name."""
    import awkward as ak
    import numpy as np
    from weaver.utils import dataset as weaver  # type: ignore[import-not-found]

    data = weaver.DataConfig.load(config, load_observers=False)
    if data._missing_standardization_info:
        data = weaver.AutoStandardizer(files, data).produce(auto)
    has_histograms = data.weight_name and not data.use_precomputed_weights
    if has_histograms:
        data = weaver.WeightMaker(files, data).produce(auto)
    table = weaver._read_files(
        files,
        data.train_load_branches,
        [(0, 1)] * len(files),
        treename=data.treename,
        branch_magic=data.branch_magic,
        file_magic=data.file_magic,
    )
    table["_row_"] = np.arange(len(table))
    table["aux_training_"] = True
    table = weaver._apply_selection(table, data.selection, funcs=data.var_funcs)
    table = ak.to_packed(table[:most])  # its kernels look at whole buffers
    table = weaver._build_new_variables(table, data.train_var_funcs)
    found = {"row": ak.to_numpy(table["_row_"])}
    if data.weight_name is not None:
        found["weight"] = np.asarray(weaver._build_weights(table, data))
    inputs = weaver._finalize_inputs(table, data)
    for name, values in inputs.items():
        is_label = name in data.label_names
        found[f"label:{name}" if is_label else f"input:{name[1:]}"] = np.asarray(values)
    return found


def main() -> None:
    """Write the arrays."""
    import numpy as np

    logging.disable(logging.WARNING)
    config, out, auto, most, *files = sys.argv[1:]
    np.savez(out, **read(config, auto, int(most), files))


if __name__ == "__main__":
    main()
