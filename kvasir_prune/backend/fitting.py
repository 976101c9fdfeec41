"""Many steps of a training in one call, by each backend's own gradients and loops.

Keras's `train_on_batch` costs two to four milliseconds of Python a step, several times what the
step of a small network computes; and its `fit` shuffles by a global state that no checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.backend.process import name

if TYPE_CHECKING:
    import keras

Steps = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]


def training_steps(model: keras.Model) -> Steps:
    """Return what trains a model, a step for every batch it is given.

    The bits of a step do not depend on how many are taken in one call.

    Args:
        model: compiled with a loss and an optimizer that is built; its output is what the loss
            takes, `(batch, classes)`. Changed in place by every call.

    Returns:
        A function of images, `(steps, batch, height, width, channel)`, and labels,
        `(steps, batch)`, integers. It returns the mean loss and the accuracy of each step, before
        its update, both `(steps,)`.
    """
    match name():
        case "tensorflow":
            return _on_tensorflow(model)
        case "jax":
            return _on_jax(model)
        case _:
            return _by_keras(model)


def _measured(model: keras.Model, labels: Any, outputs: Any) -> tuple[Any, Any]:
    """Return loss and accuracy of a batch, as scalars of the backend."""
    from keras import ops

    right = ops.equal(ops.argmax(outputs, axis=-1), ops.cast(labels, "int32"))
    return model.loss(labels, outputs), ops.mean(ops.cast(right, "float32"))


def _on_tensorflow(model: keras.Model) -> Steps:
    import tensorflow as tf

    def step(batch: tuple[Any, Any]) -> tuple[Any, Any]:
        images, labels = batch
        with tf.GradientTape() as tape:
            loss, accuracy = _measured(model, labels, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_weights)
        model.optimizer.apply(gradients, model.trainable_weights)
        return loss, accuracy

    # Open in the number of steps and images: the last stretch and the last batch are shorter, and
    # each set of shapes would be traced anew.
    signature = [
        tf.TensorSpec([None, None, *model.input_shape[1:]], tf.float32),
        tf.TensorSpec([None, None], tf.int64),
    ]

    def in_turn(*batches: Any) -> Any:
        kinds = (tf.float32, tf.float32)
        return tf.map_fn(step, batches, fn_output_signature=kinds, parallel_iterations=1)

    steps = tf.function(in_turn, input_signature=signature, autograph=False, jit_compile=False)

    def take(images: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        losses, accuracies = steps(images.astype(np.float32), labels.astype(np.int64))
        return losses.numpy(), accuracies.numpy()

    return take


def _on_jax(model: keras.Model) -> Steps:
    import jax

    def loss_of(trainable: Any, others: Any, images: Any, labels: Any) -> Any:
        outputs, others = model.stateless_call(trainable, others, images, training=True)
        loss, accuracy = _measured(model, labels, outputs)
        return loss, (accuracy, others)

    def step(state: Any, batch: tuple[Any, Any]) -> Any:
        trainable, others, optimizer = state
        (loss, (accuracy, others)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            trainable, others, *batch
        )
        trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
        return (trainable, others, optimizer), (loss, accuracy)

    # Not a scan: XLA's CPU code runs convolutions within loops on one thread.
    compiled = jax.jit(step)
    variables = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
    )

    def take(images: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        state = tuple([variable.value for variable in group] for group in variables)
        found = []
        for batch in zip(images, labels, strict=True):
            state, measured = compiled(state, batch)
            found.append(measured)
        for group, values in zip(variables, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        losses, accuracies = np.asarray(found, np.float32).T
        return losses, accuracies

    return take


def _by_keras(model: keras.Model) -> Steps:
    def take(images: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        found = []
        for batch, answers in zip(images, labels, strict=True):
            model.reset_metrics()
            logs = model.train_on_batch(batch, answers, return_dict=True)
            found.append((float(logs["loss"]), float(logs["accuracy"])))
        losses, accuracies = np.array(found, np.float32).T
        return losses, accuracies

    return take
