"""The forms of calibrations, ensembles, tables of working points and model cards."""

from parttag.migrations.formats import Format

CALIBRATION = Format("calibration", steps=(), oldest=1)
ENSEMBLE = Format("ensemble", steps=(), oldest=1)
WORKING_POINTS = Format("table of working points", steps=(), oldest=1)
MODEL_CARD = Format("model card", steps=(), oldest=1)
