"""The stand on which everything is killed: trainings, relays, monitor, gateway, links and disks.

``python -m kills --help`` runs it by itself, as ``make torture`` does.
"""
