"""The practice: Keras models, compiled."""
