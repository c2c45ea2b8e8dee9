"""A real training without a framework: a small network learns handwritten digits.

``python -m trainmon.demo`` trains; ``trainmon demo`` starts a monitor and a dashboard around it.
"""
