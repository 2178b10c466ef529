"""What the tasks of a network are worth: the reports of their kinds, by the names of the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from parttag.metrics.multi_label import MultiLabelReport
from parttag.metrics.particle_tasks import OriginReport, VertexReport
from parttag.metrics.regression import RegressionReport

TaskReport: TypeAlias = RegressionReport | OriginReport | VertexReport | MultiLabelReport

_KINDS: dict[str, type[TaskReport]] = {
    "regression": RegressionReport,
    "origin": OriginReport,
    "vertex": VertexReport,
    "multi_label": MultiLabelReport,
}


def read_task(content: Mapping[str, Any]) -> TaskReport:
    """Return the report of a task that ``metrics.json`` holds."""
    return _KINDS[str(content["kind"])].from_json(content)
