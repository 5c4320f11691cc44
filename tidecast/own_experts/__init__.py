"""Experts of the user's own: their protocol, their source, and adapters for two libraries."""

from tidecast.own_experts.onnx_expert import OnnxExpert
from tidecast.own_experts.protocol import Expert
from tidecast.own_experts.sklearn_expert import SklearnExpert

__all__ = ["Expert", "OnnxExpert", "SklearnExpert"]
