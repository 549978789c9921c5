"""Protocols of retrieval benchmarks: ground truth from their own files, rankings in, their own measure out.

A protocol becomes a `protocol.Benchmark`; `protocol.measure` compares rankings with it. No network is run here.
"""
