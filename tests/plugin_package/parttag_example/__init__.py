"""An example of a plug-in: importing it registers what it adds."""

from parttag_example.feature import abs_eta
from parttag_example.metric import undecided
from parttag_example.network import MeanNet
from parttag_example.objective import Focal
from parttag_example.reader import RowReader

__all__ = ["Focal", "MeanNet", "RowReader", "abs_eta", "undecided"]
