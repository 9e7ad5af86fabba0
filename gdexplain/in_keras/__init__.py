"""The practice: Keras models, compiled; each module says which part of Keras it leans on."""
