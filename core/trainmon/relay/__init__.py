"""The relay: its own process beside a training, which encodes, keeps, sends and watches.

``python -m trainmon.relay`` is started by the training's session and by nobody else. Nothing of it
runs in the training; what it knows comes through :mod:`trainmon.channel`, what it says goes to the
monitor over gRPC, and it ends when its work is done.
"""
