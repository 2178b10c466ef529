"""The forms of ``calibration.json``, ``ensemble.json`` and tables of working points."""

from parttag.migrations.formats import Format

CALIBRATION = Format("calibration", steps=(), oldest=1)
ENSEMBLE = Format("ensemble", steps=(), oldest=1)
WORKING_POINTS = Format("table of working points", steps=(), oldest=1)
