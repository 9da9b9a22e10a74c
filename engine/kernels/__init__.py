"""Kernels: one module per kind of work, compiled by `engine.jit`, written over `engine.simd`."""
