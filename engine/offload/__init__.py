"""Layers on a graphics processor: WGSL kernels that `wgpu` runs through Metal, Vulkan or DX12.

Nothing here is imported before a device is asked for, and only `device` imports wgpu.
"""
