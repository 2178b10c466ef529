"""An example of a plug-in: importing it registers what it adds."""

from parttag_example.network import MeanNet
from parttag_example.objective import Focal

__all__ = ["Focal", "MeanNet"]
