"""Options of a training: its length, speed and device."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from parttag.data.loading.resident import Resident
from parttag.options import Options
from parttag.training.distributed import DeviceName


class TrainingOptions(Options):
    """How long, how fast and on what a network is trained."""

    epochs: PositiveInt = 20
    """Length of the training."""
    steps: PositiveInt | None = None
    """Length of the training in steps of the optimizer; if given, ``epochs`` is not used."""
    max_seconds: PositiveFloat | None = None
    """Stop after the step in which the training has taken longer, validations not counted: on a GPU
    by the clock, on a CPU in seconds of the processor, all threads together. The learning rate
    follows the planned length. null for no limit."""
    steps_per_epoch: PositiveInt | None = None
    """Steps between two validations; null for one pass over the training jets."""
    batch_size: PositiveInt = 512
    """Jets in a step, those of all ranks together."""
    drop_last: bool = False
    """Leave out the last batch of a pass if it is smaller, as weaver does."""
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    """bf16 is autocast: weights, sums and pair features stay fp32."""
    compile: bool | Literal["auto"] = "auto"
    """Compile the network with torch.compile; auto: on a GPU where a trial of it came out right."""
    graph: bool | Literal["auto"] = "auto"
    """Capture steps as CUDA graphs; auto: where network and kernels allow, and a trial came out
    right."""
    device: DeviceName = "auto"
    """Where to train; auto is a GPU if there is one."""
    resident: Resident = "auto"
    """Keep all training jets on the device; auto: if it is a GPU with enough free memory."""
    deterministic: bool = False
    """The same numbers in every run on the same GPU, more slowly; docs/how_to/gpu.md says for
    what it matters."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of initial weights, order of jets and dropout."""
    max_grad_norm: PositiveFloat | None = None
    """Clip the norm of the gradient of all parameters to this; null for no clipping."""
    weight_average: float | None = Field(default=None, gt=0, lt=1)
    """Validate and keep an average of the weights: after each step it keeps so much of itself
    (0.999: the last thousand steps or so). ``last.pt`` goes on with the weights themselves. null
    for none."""
    best_by: Literal["accuracy", "loss"] = "accuracy"
    """What makes the best epoch: highest accuracy or lowest loss of the validation. Where the
    objective has no accuracy it is the loss."""
    validate_every: PositiveInt = 1
    """Epochs between two validations; the last epoch always has one."""
    checkpoint_every: PositiveInt | None = None
    """Steps between two checkpoints within an epoch; null for one at its end only."""
    tensorboard: bool = False
    """Also write the metrics of each epoch for TensorBoard."""
    rank_timeout: float = Field(default=600.0, gt=0)
    """Seconds that ranks wait for one another before the run stops."""
