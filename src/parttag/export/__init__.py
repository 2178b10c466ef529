"""Trained runs as ONNX models: for CMSSW, Athena, and analyses without torch."""
