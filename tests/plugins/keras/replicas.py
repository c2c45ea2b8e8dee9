"""A fit on two replicas of TensorFlow's MirroredStrategy; ``python replicas.py``."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from trainmon_keras import TrainmonCallback

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.linspace(0, 1, 100 * 64, dtype=np.float32).reshape(100, 8, 8, 1)
y = np.arange(100) % 3
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)])
    model.compile(
        keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
# 24 a batch, 12 a replica; the last batch is short.
model.fit(x, y, batch_size=24, epochs=2, verbose=0, callbacks=[TrainmonCallback("replicas")])
