"""The monitor: takes telemetry of every training, keeps it, and shows it to every viewer.

One process, one event loop. :mod:`trainmon.monitor.server` is the way in.
"""
