# SPDX-License-Identifier: Apache-2.0
"""Moves the records of a Chroma server or data directory to another server or into files, and proves that all arrived.

Needs nothing but Python, so that it runs where the collection's `bin/chromafleet-migrate` is copied to. Data streams
through in batches: memory holds the batches in flight, a temporary SQLite file what the proof needs.
"""
