"""The SAM 2 network, one block of the paper per file; tensors in, tensors out.

Module and parameter names follow the official state dict, so official weights load
strictly and without a mapping table.
"""
